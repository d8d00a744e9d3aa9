#!/bin/bash
# 1 - scale and luck: what needs more than seconds. For `make test-long`.
. "$(dirname "$0")/../spec/lib.sh"
O=$T/t.falloc

killed_at_random() { # 200 SIGKILLs at random moments: what a program says it has done is in the trace
	cat >"$T/k.c" <<-'C'
		#include <stdio.h>
		#include <stdlib.h>
		#include <unistd.h>
		int main(void)
		{
			for (long i = 1;; i++) {
				if (malloc(100) == NULL)
					return 1;
				/* the number of calls that have returned, where the parent sees it after our death */
				if (pwrite(1, &i, sizeof(i), 0) != sizeof(i))
					return 1;
			}
		}
	C
	gcc -O0 -fno-builtin -w -o "$T/k" "$T/k.c"
	for i in $(seq 200); do
		rm -f "$O"
		"$FA" run -o "$O" -- timeout -s KILL 0.$(printf '%03d' $((RANDOM % 60 + 3))) "$T/k" >"$T/n" 2>/dev/null || true
		"$FA" report --json --view total --size 100,101 "$O" >"$T/r.json"
		done_calls=$(od -An -t d8 -N 8 "$T/n" | tr -d ' ')
		traced=$(json "$T/r.json" "sum(r['blocks'] for r in j['rows'])")
		echo "calls that returned: ${done_calls:-0}, in the trace: $traced"
		[ "$traced" -ge "${done_calls:-0}" ] && [ "$traced" -le $((${done_calls:-0} + 1)) ]
	done
}
it 1.1 "200 SIGKILLs at random moments: every event whose call had returned is in the trace" killed_at_random

many_events() {
	gcc -O2 -w -o "$T/pairs" "$SRC/tests/bench/pairs.c"
	/usr/bin/env time -f '%M' -o "$T/mem" "$FA" run -o "$O" -- "$T/pairs" 50000000 8 >"$T/out"
	"$FA" report --json "$O" >"$T/r.json"
	same "$(json "$T/r.json" "(j['lost'], j['events']['alloc'] - j['events']['free'] == j['outstanding']['blocks'], j['events']['alloc'] >= 50000000)")" "(0, True, True)"
	echo "peak memory of run and its program: $(cat "$T/mem") KiB"
	[ "$(tail -n 1 "$T/mem")" -lt 100000 ]
}
it 1.2 "100 million events: none lost, memory stays flat" many_events

many_children() {
	cat >"$T/f.c" <<-'C'
		#include <stdlib.h>
		#include <sys/wait.h>
		#include <unistd.h>
		int main(void)
		{
			for (int i = 0; i < 10000; i++) {
				pid_t p = fork();
				if (p == 0) {
					void *q = malloc(4321);
					_exit(q == NULL);
				}
				if (waitpid(p, NULL, 0) != p)
					return 1;
			}
			return 0;
		}
	C
	gcc -O0 -fno-builtin -w -o "$T/f" "$T/f.c"
	"$FA" run -o "$O" -- "$T/f"
	"$FA" report --json --view total --size 4321,4322 "$O" >"$T/r.json"
	"$FA" report --json "$O" >"$T/s.json"
	same "$(json "$T/r.json" "sum(r['blocks'] for r in j['rows'])") $(json "$T/s.json" "(len(j['processes']), j['lost'])")" "10000 (10001, 0)"
}
it 1.3 "10,000 fork children one after the other are all in the trace" many_children
results
