#!/bin/bash
# 5 - 100,000 signals of each kind at random moments of a traced program. (8.1 to 8.3 are the short ones.)
. "$(dirname "$0")/../spec/lib.sh"
O=$T/t.falloc

interrupted() { # how
	local sent=0
	rm -f "$T/err"
	for _ in $(seq 20); do
		rm -f "$O"
		LD_PRELOAD=$P/guest_bump "$FA" run -o "$O" -- "$P/guest_signals" "$1" 30 5000 >"$T/out" 2>"$T/err"
		same "$(cat "$T/out")" "signals ok"
		"$FA" report --json "$O" >"$T/r.json"
		same "$(json "$T/r.json" "j['lost']")" 0
		sent=$((sent + $(sed -n 's/^\([0-9]*\) signals.*/\1/p' "$T/err")))
		[ $sent -lt 100000 ] || break
	done
	echo "$sent signals"
	[ $sent -ge 100000 ]
}
it 5.1 "handlers that allocate" interrupted alloc
it 5.2 "handlers that leave by siglongjmp" interrupted jump
it 5.3 "handlers that switch to another stack and back" interrupted context
results
