#!/bin/bash
# 23 - a signal at each instruction of malloc, realloc and free, as the tracer is in their way.
#
# Claims: 23.1 to 23.6: wherever a handler comes in that allocates, leaves by siglongjmp or forks, the program goes on, and
# the trace has each call that it made once. An allocator stands behind that handlers may call. Of the
# steps some are left out, by strides that have no divisor in common with anything: STRIDE=1 does all. 23.7: a wait that a filter may forbid.
. "$(dirname "$0")/lib.sh"

O=$T/t.falloc
BEFORE=160 # rounds to warm up
# stepped HOW WHAT STRIDE: R rounds, J left by a jump, F forks; the calls of realloc and free in the trace
stepped() {
	LD_PRELOAD=$P/guest_bump "$FA" run -o "$O" -- "$P/stepper" "$1" "$2" "${STRIDE:-$3}" >"$T/out" 2>"$T/err" || {
		cat "$T/out" "$T/err"
		return 1
	}
	same "$(cat "$T/out")" stepped
	read -r R J F < <(grep -E '^[0-9]+ [0-9]+ [0-9]+$' "$T/err")
	"$FA" report --json "$O" >"$T/r.json" || true
	realloc=$(json "$T/r.json" "j['events']['realloc']")
	free=$(json "$T/r.json" "j['events']['free']")
	lost=$(json "$T/r.json" "j['lost']")
	echo "$R rounds, $J jumps, $F forks: $realloc realloc, $free free, $lost lost"
	[ "$R" -gt 20 ]
}
between() { [ "$1" -ge "$2" ] && [ "$1" -le "$3" ] || { echo "$1 is not between $2 and $3"; return 1; }; }
allocates() { # each round but the last is interrupted once
	stepped alloc "$@"
	same "$realloc $free $lost" "$((BEFORE + 2 * R - 1)) $((BEFORE + 2 * R - 1)) 0"
}
jumps() { # of a call that was left, the event may be there or not
	stepped jump "$@"
	same "$J $lost" "$((R - 1)) 0"
	between "$realloc" $((BEFORE + R)) $((BEFORE + R + J))
	between "$free" $((BEFORE + R)) $((BEFORE + R + J))
}
forks() { # a child makes five rounds of its own, after what it finds of the interrupted one
	stepped fork "$@"
	same "$F" $((R - 1))
	between $((realloc + lost)) $((BEFORE + R + 5 * F)) $((BEFORE + R + 6 * F))
	between $((free + lost)) $((BEFORE + R + 5 * F)) $((BEFORE + R + 6 * F))
	between "$lost" 0 3
}
alone() {
	bash -c 'exec "$0" run -o "$1" -- "$2" $$' "$FA" "$O" "$P/guest_alone" >"$T/out" || cat "$T/out"
	same "$(cat "$T/out")" "alone ok"
	[ "$("$FA" report --json "$O" >"$T/r.json"; json "$T/r.json" "j['events']['alloc'] + j['lost'] > 1000000")" = true ]
}
it 23.1 "handlers that allocate, calls from one place" allocates same 11
it 23.2 "the same, from places in turns" allocates turns 47
it 23.3 "handlers that leave by siglongjmp" jumps turns 43
it 23.4 "the same, each call from a new place" jumps new 37
it 23.5 "a fork in the handler: the child comes back into the call" forks turns 37
it 23.6 "the same, each call from a new place" forks new 31
it 23.7 "a fork child of threads that forbids itself futex may wait for buffers" alone
results
