# lib.sh - for tests/spec/*.sh: numbered claims, each a command that must succeed.
#   it 2.1 "a sentence" command [args]   runs it; its output is shown when it fails
#   skip 2.2 "a sentence" "why"          cannot be tried here
#   results                              last line of every spec: "N passed, N failed, N skipped"
#   add_results FILE                     of another spec, or another part of this one, that wrote its output there
set -u
B=$(realpath "${B:-build}")
SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
FA=$B/firstalloc
P=$B/tests/programs
T=$(mktemp -d /tmp/firstalloc-spec.XXXXXX)
trap 'chmod -R u+w "$T" 2>/dev/null; rm -rf "$T"' EXIT
passed=0 failed=0 skipped=0
# Itself: the name may be a script that picks a version, each time anew.
PYTHON=$(python3 -c 'import sys; print(sys.executable)')
python3() { "$PYTHON" "$@"; }

it() {
	local number=$1 claim=$2
	shift 2
	# Not `if ( ... )`: there bash would ignore set -e, and only the last command would count.
	( set -e; "$@" ) >"$T/.out" 2>&1
	if [ $? = 0 ]; then
		echo "ok $number $claim"
		passed=$((passed + 1))
	else
		echo "not ok $number $claim"
		sed 's/^/    /' "$T/.out" | tail -n 25
		failed=$((failed + 1))
	fi
}

skip() {
	echo "skip $1 $2: $3"
	skipped=$((skipped + 1))
}

results() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ]
}

add_results() {
	local p f s
	read -r p _ f _ s _ <<<"$(tail -n 1 "$1" | grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' | tr -d ,)"
	if [ -z "${s:-}" ]; then # it did not come to its end
		cat "$1"
		failed=$((failed + 1))
		return
	fi
	sed '$d' "$1"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# same A B: two files or texts are equal; shows the difference
same() {
	[ "$1" = "$2" ] || { printf 'expected: %s\n     got: %s\n' "$2" "$1"; return 1; }
}

# json FILE EXPR: a Python expression over the object `j`. Thousands of times: -I -S begins in half the time.
json() {
	python3 -I -S -c 'import json,sys
j=json.load(open(sys.argv[1])); v=eval(sys.argv[2]); print(v if not isinstance(v,bool) else str(v).lower())' "$1" "$2"
}

# executes PID FILE: the child that bash has forked is this program by now. To wait for before it is looked at.
executes() { [ "/proc/$1/exe" -ef "$2" ]; }
# asleep PID: a `sleep` is at its work, with all that is loaded into it
asleep() { grep -Eq '^(35|230) ' "/proc/$1/syscall"; } # nanosleep, clock_nanosleep

# ended PID: there is none, or it waits only for its parent
ended() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"; }

# wait_for SECONDS command: until it succeeds
wait_for() {
	local tries=$(($1 * 20)) pause=0.01 # most things are there soon
	shift
	while ! "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep $pause
		pause=0.05
	done
}
