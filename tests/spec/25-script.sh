#!/bin/bash
# 25-script.sh - `firstalloc run` of a script: many small programs, one after the other. Needs no root.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$T" || exit 1

# What runs a command and prints the most memory that it, or a program of it, had at once, in KB.
peak() {
	python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=sys.stderr, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$@"
}

# 300 arenas of the dead, which `run` once kept for half a second, would be 25 MB.
no_heap_of_the_dead() {
	local one many
	one=$(peak "$FA" run -o a -- true)
	many=$(peak "$FA" run -o a -- sh -c 'i=0; while [ $i -lt 600 ]; do /bin/true; i=$((i + 1)); done')
	echo "one program: $one KB, 600: $many KB"
	same "$("$FA" dump a --no-events | grep -c ' process .*exe="[^"]*/true"')" 600
	[ $((many - one)) -lt 16000 ]
}
it 25.1 "600 programs in turn: each is traced, and the memory of the dead is not kept" no_heap_of_the_dead

# The first segment under `run` has room for 4,096 frames and 8 buffers.
grows() {
	taskset -c "$1" "$FA" run -o a -- "$P/stacks" new 50000 20
	"$FA" report --json --view total --by function --function '^new_[ab]$' a >total
	"$FA" report --json a >all
	same "$(json total "(sum(r['stacks'] for r in j['rows']), j['warnings'])") $(json all "j['lost']")" "(100000, []) 0"
}
it 25.2 "an arena of \`run\` begins small and grows in time: 100,000 stacks are whole, no event is lost" grows "$(taskset -pc $$ | sed 's/.*: \([0-9]*\).*/\1/')"
results
