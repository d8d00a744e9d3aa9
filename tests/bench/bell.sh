#!/bin/bash
# bell.sh - how long does a start wait at the doorbell while another user attacks it? The time of the ring of
# one honest program after the other (tests/programs/fake_gate.c: from its open until it goes on), alone,
# beside two busy loops (the floor: what any system call that waits for another process costs then), and
# beside each attack of tests/programs/attack_bell.c. Needs root. RINGS: how many of each (300).
. "$(dirname "$0")/../spec/machine.sh"
. "$(dirname "$0")/../spec/lib.sh"
[ "$(id -u)" = 0 ] || { echo "bell.sh: needs root"; exit 1; }
private_machine
rings=${RINGS:-300}
ALICE=23471 BOB=23472
as() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
mkdir "$T/m/bin"
cp "$P/fake_gate" "$P/attack_bell" "$T/m/bin/"
gate=$T/m/bin/fake_gate bell=$T/m/bin/attack_bell
$fa start bench -o "$T/m/bench.falloc" --min-free 0 >/dev/null

measure() { # name, then the attack
	local name=$1 attack=
	shift
	if [ $# -gt 0 ]; then
		setsid -w setpriv --reuid $ALICE --regid $ALICE --clear-groups "$@" & attack=$!
		sleep 0.3
	fi
	as $BOB bash -c "for _ in \$(seq $rings); do '$gate' -n 2; done" >"$T/o"
	if [ -n "$attack" ]; then
		kill -KILL -- -$attack # its session
		wait $attack 2>/dev/null
	fi
	sed -n 's/^answer 1 .* us \([0-9]*\).*/\1/p' "$T/o" | sort -n >"$T/us"
	awk -v name="$name" -v all="$rings" '{ us[NR] = $1 } END {
		printf "%-34s %4d of %d traced, median %6d us, 99 %% %6d, worst %6d\n",
			name, NR, all, us[int((NR + 1) / 2)], us[int(NR * 0.99) ? int(NR * 0.99) : 1], us[NR] }' "$T/us"
}

measure "alone"
measure "two busy loops" bash -c 'while :; do :; done & while :; do :; done'
measure "32 processes that ring" "$bell" many 100000000 32
measure "500 processes that ring" "$bell" many 100000000 500
measure "32 that ring with an arena" bash -c "for _ in \$(seq 32); do while '$gate' -n 2; do :; done >/dev/null & done; wait"
measure "4 that hold 64,000 mappings" "$bell" slow 100000 4
measure "16 that hold 64,000 mappings" "$bell" slow 100000 16
$fa status --json >"$T/st.json"
echo "parts replaced meanwhile: $(json "$T/st.json" "j['daemon']['restarts']")"
$fa stop bench >/dev/null
