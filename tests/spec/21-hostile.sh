#!/bin/bash
# 21 - hostile processes: flagged programs of another user that attack arena, block and doorbell with the
# real shim in them (what needs no shim is in 13-users). Claims, for each attack:
#   21.1-21.9  honest programs beside it are attached and lose nothing; no part dies; the collector's
#              memory and descriptors stay bounded; no file changes but the trace; and the attacker
#              itself, whose own arena it is, runs to its end
# ATTACK_MS: how long each lasts (tests/long: longer).
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 21 "hostile processes"
ms=${ATTACK_MS:-1200}
ALICE=23451 BOB=23452
as() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
mkdir -m 755 "$T/m/bin"
cp "$P/hostile" "$P/threads" "$T/m/bin/"
part() { $fa status --json >"$T/st.json" && json "$T/st.json" "j['daemon']['$1']"; }
head -c 2M /dev/urandom >"$R/secret"
chmod 644 "$R/secret"

$fa enable hostile threads >/dev/null
$fa start s -o "$T/s.falloc" --min-free 0 >/dev/null
collector=$(part collector)
descriptors=$(ls "/proc/$collector/fd" | wc -l)

# The honest ones: always the same number of events.
honest() {
	for _ in 1 2 3 4; do
		as $BOB "$T/m/bin/threads" 4 5000 >/dev/null
	done
}
memory_of() { sed -n "s/^$1:[^0-9]*\([0-9]*\).*/\1/p" "/proc/$collector/status"; }
attack() { # runs of the attack at once, its arguments
	local n=$1 sum
	shift
	sum=$(sha256sum <"$R/secret")
	$fa stop t >/dev/null 2>&1 || true # of an attack that got through
	rm -f "$T/t.falloc"
	$fa start t -o "$T/t.falloc" --min-free 0 >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	: >"$T/attack"
	attackers=()
	for _ in $(seq "$n"); do
		"$@" >>"$T/attack" 2>&1 & attackers+=($!)
	done
	sleep 0.2
	honest
	for p in "${attackers[@]}"; do wait "$p" || echo "an attacker ended with $?" >>"$T/attack"; done
	rm -f /etc/ld.so.preload
	cat "$T/attack"
	same "$(grep -c '^hostile ok' "$T/attack")" "$n"
	$fa stop t
	"$FA" report --json --tolerate-lost "$T/t.falloc" >"$T/r.json"
	same "$(json "$T/r.json" "[(p['events'], p['lost']) for p in j['processes'] if p['image'] == 'threads']")" "$honest"
	# It was traced indeed, but by what it has broken.
	same "$(json "$T/r.json" "sum(p['events'] for p in j['processes'] if p['image'] == 'hostile') > 1")" true
	same "$(sha256sum <"$R/secret")" "$sum"
	same "$(part restarts)" 0
	same "$(part collector)" "$collector"
	echo "collector: $(grep -E "VmHWM|Rss" /proc/$collector/status | tr -s "\n\t " " "), $(ls /proc/$collector/fd | wc -l) descriptors"
	# Its own memory, and at the most with two arenas of 256 MB, which are the attackers'.
	[ "$(memory_of RssAnon)" -lt 100000 ]
	[ "$(memory_of VmHWM)" -lt 620000 ]
	few() { [ "$(ls "/proc/$collector/fd" | wc -l)" -le $((descriptors + 4)) ]; }
	wait_for 20 few
}
# threads, alone: 4 * 5000 of each, and what libc needs for 4 threads
"$FA" run -o "$T/one.falloc" -- "$P/threads" 4 5000 >/dev/null
"$FA" report --json "$T/one.falloc" >"$T/r.json"
one=$(json "$T/r.json" "(j['processes'][0]['events'], 0)")
honest="[$one, $one, $one, $one]"

it 21.1 "words of the arena overwritten at random" attack 2 as $ALICE "$T/m/bin/hostile" scribble $ms
it 21.2 "header, process table and buffer headers overwritten with likely values" attack 2 as $ALICE "$T/m/bin/hostile" counters $ms
it 21.3 "the arena's pages given back to the kernel, again and again" attack 2 as $ALICE "$T/m/bin/hostile" punch $ms
it 21.4 "a child that dropped its rights attacks the arena of its root parent, who comes through" attack 2 "$T/m/bin/hostile" child $ms $ALICE
it 21.5 "the process block overwritten" attack 1 as $ALICE "$T/m/bin/hostile" block $ms
it 21.6 "a root-owned file, a memfd cut short and an arena by turns at one place, while it rings" attack 2 as $ALICE "$T/m/bin/hostile" swap $ms "$R/secret"
it 21.7 "mappings of all sizes offered as arenas" attack 2 as $ALICE "$T/m/bin/hostile" offers $ms
it 21.8 "a program that executes itself while it is attached" attack 2 as $ALICE "$T/m/bin/hostile" exec $((ms / 10))
explained() { # status reads the block of a process that writes nonsense into it
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	setpriv --reuid $ALICE --regid $ALICE --clear-groups "$T/m/bin/hostile" block 600000 >/dev/null & p=$!
	rm -f "$T/explained"
	loaded() { executes $p "$T/m/bin/hostile" && grep -q libfirstalloc "/proc/$p/maps"; }
	wait_for 20 loaded
	rm -f /etc/ld.so.preload
	for _ in $(seq 20); do
		$fa status --pid $p --json >>"$T/explained" 2>&1 && s=0 || s=$?
		[ "$s" -lt 126 ]
	done
	kill $p # it has been there all the time
	wait $p || true
}
it 21.9 "status --pid of a process that overwrites its block ends with a word, not a signal" explained
$fa stop s >/dev/null
results
