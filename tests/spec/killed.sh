# killed.sh - killed_at_random N: N SIGKILLs at random moments. What the program says it has done is in the trace.
killed_at_random() {
	local i
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
	for i in $(seq "$1"); do
		rm -f "$T/k.falloc"
		"$FA" run -o "$T/k.falloc" -- timeout -s KILL 0.$(printf '%03d' $((RANDOM % 60 + 3))) "$T/k" >"$T/k.n" 2>/dev/null || true
		"$FA" report --json --view total --size 100,101 "$T/k.falloc" >"$T/k.json"
		echo "$(od -An -t d8 -N 8 "$T/k.n") $(tr -d '\n' <"$T/k.json")"
	done >"$T/k.all"
	python3 - "$T/k.all" "$1" <<-'P'
		import json, sys
		lines = open(sys.argv[1]).read().splitlines()
		bad = 0
		for line in lines:
		    before, _, after = line.partition("{")
		    returned = int(before.split()[0]) if before.split() else 0
		    traced = sum(r["blocks"] for r in json.loads("{" + after)["rows"])
		    if not returned <= traced <= returned + 1:
		        print("calls that returned:", returned, "in the trace:", traced)
		        bad += 1
		sys.exit(bad != 0 or len(lines) != int(sys.argv[2]))
	P
}
