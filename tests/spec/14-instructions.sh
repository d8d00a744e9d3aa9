#!/bin/bash
# 14 - what an event costs, in instructions: a number that no busy machine can change.
#
# tests/programs/events does N heap calls of one kind under callgrind, natively and traced; the
# difference of two N, less the same of the native run, is what firstalloc added to one call. The
# numbers that were measured last stand in instructions.txt; 5 % more is a failure, 5 % less is a
# reason to write them anew: UPDATE=1 tests/spec/14-instructions.sh.
. "$(dirname "$0")/lib.sh"

KEPT=$SRC/tests/spec/instructions.txt
SHIM=$B/libfirstalloc_preload.so

instructions() { # command...: of the program under callgrind
	"$@" 2>&1 | sed -n 's/^==[0-9]*== Collected : //p' | tail -n 1
}
grind() { # how, kind, N
	local vg=(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$P/events" "$2" "$3")
	case $1 in
	native) instructions "${vg[@]}" ;;
	dormant) instructions env LD_PRELOAD="$SHIM" "${vg[@]}" ;;
	traced | untimed)
		local time=()
		[ "$1" = traced ] || time=(--stamp none)
		# --only: what valgrind was before it became the program is of no interest
		instructions "$FA" run "${time[@]}" --only events -o "$T/t.falloc" -- "${vg[@]}"
		"$FA" report --json "$T/t.falloc" >"$T/r.json"
		# a process that is traced no more to the end would look cheap
		[[ $2 == space || $2 == lock || $2 == loader ]] || [ "$(json "$T/r.json" "sum(j['events'].values()) >= $3")" = true ]
		;;
	esac
}

# per_event HOW KIND: tenths of an instruction that HOW adds to one turn of KIND
per_event() {
	local few=1000 many=5000 a b c d
	a=$(grind native "$2" $few) && b=$(grind native "$2" $many) || return 1
	c=$(grind "$1" "$2" $few) && d=$(grind "$1" "$2" $many) || return 1
	echo $((((d - c) - (b - a)) * 10 / (many - few)))
}

within() { # how, kind
	local now kept
	now=$(per_event "$1" "$2") || return 1
	if [ -n "${UPDATE:-}" ]; then
		echo "$1-$2 $((now / 10)).$((now % 10))" >>"$T/new"
		return 0
	fi
	kept=$(awk -v k="$1-$2" '$1 == k {print $2 * 10}' "$KEPT")
	echo "$1 $2: $now tenths of an instruction, kept: $kept"
	[ -n "$kept" ] && [ $((now * 100)) -le $((kept * 105)) ]
}

why=
command -v valgrind >/dev/null || why="valgrind is not installed"
compiler=$(readelf -p .comment "$SHIM" | sed -n 's/.*\] *\(.*\)$/\1/p' | head -n 1)
if [ -z "$why" ] && [ -z "${UPDATE:-}" ] && ! grep -qxF "# $compiler" "$KEPT"; then
	why="the numbers are of another compiler than $compiler"
fi

claim() { # number, how, kind, sentence
	if [ -n "$why" ]; then
		skip "$1" "$4" "$why"
	else
		it "$1" "$4" within "$2" "$3"
	fi
}

claim 14.1 dormant pair "a dormant malloc and free cost the instructions they did"
claim 14.2 traced free "a recorded free"
claim 14.3 traced same "an allocation from the place of the one before"
claim 14.8 traced zeroed "the same by calloc"
claim 14.9 traced resized "a block made smaller by realloc"
claim 14.12 untimed same "an allocation from the place of the one before, without time"
claim 14.4 traced similar "an allocation with three other frames than the one before"
claim 14.5 traced known "an allocation with one of 512 stacks in turns"
claim 14.6 traced new "an allocation with a stack that is new"

claim 14.13 dormant space "a dormant munmap"
claim 14.14 dormant lock "a dormant mutex"
claim 14.15 dormant loader "a dormant dlopen"
claim 14.10 traced space "a munmap where only the heap is traced"
claim 14.11 traced lock "a mutex where only the heap is traced"
claim 14.16 traced loader "a dlopen where only the heap is traced"

four_a_call() {
	now=$(per_event dormant pair)
	echo "$now tenths"
	[ "$now" -le 80 ]
}
if [ -n "$why" ]; then
	skip 14.7 "dormant: at most four instructions a call" "$why"
else
	it 14.7 "dormant: at most four instructions a call" four_a_call
fi

if [ -n "${UPDATE:-}" ]; then
	{
		echo "# Instructions that firstalloc adds to one call: 14-instructions.sh. The compiler:"
		echo "# $compiler"
		cat "$T/new"
	} >"$KEPT"
fi
results
