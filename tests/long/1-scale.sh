#!/bin/bash
# 1 - scale and luck: what needs more than seconds. For `make test-long`.
. "$(dirname "$0")/../spec/lib.sh"
O=$T/t.falloc

. "$(dirname "$0")/../spec/killed.sh"
it 1.1 "1,000 SIGKILLs at random moments: every event whose call had returned is in the trace" killed_at_random 1000

many_events() {
	gcc -O2 -w -o "$T/pairs" "$SRC/tests/bench/pairs.c"
	/usr/bin/env time -f '%M' -o "$T/mem" "$FA" run -o "$O" -- "$T/pairs" 500000000 8 >"$T/out"
	/usr/bin/env time -f '%M' -o "$T/report_mem" "$FA" report --json "$O" >"$T/r.json"
	rm "$O"
	same "$(json "$T/r.json" "(j['lost'], j['events']['alloc'] - j['events']['free'] == j['outstanding']['blocks'], j['events']['alloc'] >= 500000000)")" "(0, True, True)"
	echo "peak memory of run and its program: $(cat "$T/mem") KiB"
	[ "$(tail -n 1 "$T/mem")" -lt 100000 ] && [ "$(tail -n 1 "$T/report_mem")" -lt 100000 ]
}
if [ "$(df --output=avail -k "$T" | tail -n 1)" -gt 8000000 ]; then
	it 1.2 "10^9 events in one session: none lost, the memory of run and report stays flat" many_events
else
	skip 1.2 "10^9 events in one session" "needs 8 GB of disk"
fi

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

traced() { # [option of run...] -- command...
	"$FA" run -o "$O" "$@"
	/usr/bin/env time -f '%M' -o "$T/mem" "$FA" report --json "$O" >"$T/s.json"
	echo "memory of the report: $(tail -n 1 "$T/mem") KiB; $(json "$T/s.json" "(j['events'], j['lost'], j['outstanding'], j['warnings'])")"
}

alive() {
	traced -- "$P/stacks" alive 500
	same "$(json "$T/s.json" "(j['threads'], j['lost'], j['events']['alloc'] >= 500000, j['outstanding']['blocks'] < 500)")" "(501, 0, True, True)"
}
it 1.4 "500 threads alive together: nothing lost" alive

stacks() {
	traced -- "$P/stacks" new 1000000 20 # 4,000,000 frames; the table has room for 4,194,304
	"$FA" report --json --view total --by function --function '^new_[ab]$' "$O" >"$T/r.json"
	same "$(json "$T/r.json" "(sum(r['stacks'] for r in j['rows']), sum(r['blocks'] for r in j['rows']), j['warnings'])")" "(2000000, 2000000, [])"
}
it 1.5 "2,000,000 distinct stacks, each whole" stacks

live() {
	traced -- "$P/stacks" live 20000000
	same "$(json "$T/s.json" "(j['outstanding']['blocks'] >= 20000000, j['lost'])")" "(True, 0)"
	[ "$(tail -n 1 "$T/mem")" -lt 2000000 ] # 100 bytes a block
}
it 1.6 "20 million live blocks" live

deep() { # depth of recursion, --depth, is it marked?
	(ulimit -s unlimited && traced --depth "$2" -- "$P/stacks" deep 1000 "$1")
	"$FA" report --json --view total --function '^deep$' "$O" >"$T/r.json"
	same "$(json "$T/r.json" "(sum(r['blocks'] for r in j['rows']), all(r['truncated'] for r in j['rows']), len(j['rows']))") $(json "$T/s.json" "j['lost']")" "(1000, $3, 1) 0"
}
it 1.7 "stacks of 500 frames are whole with --depth 512" deep 500 512 False
it 1.8 "recursion of a million frames is cut and marked" deep 1000000 64 True
results
