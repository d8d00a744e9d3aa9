#!/bin/bash
# 31 - fork children that use the heap long after all that was known of their family has ended; and what the doorman
# remembers, and for how many he waits.
#
# Nobody sees such a child before: so its arena stays until the kernel says that nobody has it mapped. Each claim waits
# for a second before the child is let go, which is twice what a family whose processes have ended was given once.
# Needs root (machine.sh). The last claim is tried where the proc connector is silent: the spec runs itself in a pid
# namespace for it.
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 31 "fork children that are late"
mkdir "$T/m/proc" && mount -t proc proc "$T/m/proc" # also for when there is no /proc
cp "$P/late_heirs" "$T/m/late"
$fa enable late >/dev/null
part() { $fa status --json | json /dev/stdin "j['daemon']['$1']"; }
. "$(dirname "$0")/live.sh"
launch_live() { launch "$1" ${as:-} "$T/m/live"; }
start() { rm -f "$T/$1.falloc" "$T/go"; $fa start "$1" -o "$T/$1.falloc" --min-free 0 "${@:2}" >/dev/null; }
# fork_off GENERATIONS CHILDREN: its first process has ended when this returns
fork_off() {
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	${as:-} "$T/m/late" "$T/go" "$@" || return 1
	rm -f /etc/ld.so.preload
}
heirs() { find "$T/m/proc"/[0-9]*/exe -maxdepth 0 -lname "$T/m/late" 2>/dev/null | grep -o '[0-9]*/exe' | cut -d / -f 1; }
living() { same "$(heirs | wc -l)" "$1"; }
# Of which the doorman keeps the descriptor.
arenas() { same "$(find "$T/m/proc/$doorman/fd" -lname '/dev/zero*' | wc -l)" "$1"; }
blocks() { # of the children
	$fa stop "$1" >/dev/null
	"$FA" report --json --tolerate-lost --view total --size 77,78 "$T/$1.falloc" >"$T/r.json"
	json "$T/r.json" "sum(r['blocks'] for r in j['rows'])"
}
whole() { "$FA" report --json "$T/$1.falloc" | json /dev/stdin "(j['lost'], any(p['lost_unknown'] for p in j['processes']), len(j['processes']))"; }

late() { # GENERATIONS CHILDREN
	start a
	doorman=$(part doorman)
	fork_off "$@"
	wait_for 20 living "$2"
	sleep 1.2
	arenas 1
	touch "$T/go"
	wait_for 20 living 0
	wait_for 20 arenas 0
	same "$(blocks a)" "${2}000"
	same "$(whole a)" "(0, False, $(($2 + 1)))"
}
if [ -n "${SILENT:-}" ]; then
	it 31.8 "where the proc connector is silent, too: a child that is late is traced, and its arena goes with its end" late 2 2
	kill "$(part keeper)"
	wait_for 20 test ! -e "$R/run/firstalloc/control"
	umount "$T/m/proc"
	results
	exit
fi
it 31.1 "a child that first uses the heap long after its parent has ended is traced; with its end the arena goes" late 1 1
it 31.2 "the same of one whose parent and grandparent ended without having used it, in a session of its own" late 3 1
it 31.3 "a hundred such children have one arena, and are all traced" late 2 100

ends() {
	start b
	doorman=$(part doorman)
	fork_off 2 3
	wait_for 20 living 3
	sleep 1.2
	arenas 1
	kill -9 "$(heirs | head -n 1)" # one of them: it may be the one that was asked
	sleep 1.2
	arenas 1
	kill -9 $(heirs)
	wait_for 20 arenas 0
	same "$(blocks b)" 0
	same "$(whole b)" "(0, False, 1)"
}
it 31.4 "the arena is kept as long as one of them lives, and goes when they end without a call" ends

runs() { same "$(part "$1" 2>/dev/null | grep -c '[0-9]')" 1 && [ "$(part "$1")" != "$2" ]; }
killed() {
	local part old
	start c
	fork_off 1 2
	wait_for 20 living 2
	sleep 1.2
	for part in collector doorman collector; do
		old=$(part $part)
		kill -9 "$old"
		wait_for 20 runs $part "$old"
		sleep 1.2
	done
	doorman=$(part doorman)
	wait_for 20 arenas 1
	kill -9 "$(part collector)" "$doorman" # they are found in the children alone
	wait_for 20 runs doorman "$doorman"
	doorman=$(part doorman)
	wait_for 20 arenas 1
	sleep 1.2
	touch "$T/go"
	wait_for 20 living 0
	wait_for 20 arenas 0
	same "$(blocks c)" 2000
	same "$(whole c)" "(0, False, 3)"
}
it 31.5 "collector and doorman killed, one after the other and at once: they are traced all the same" killed

restart() { kill "$(part keeper)"; wait_for 20 test ! -e "$R/run/firstalloc/control"; }
limits() {
	local as="setpriv --reuid 23451 --regid 23451 --clear-groups"
	printf '[Daemon]\nArenasPerUser = 3\n' >"$R/etc/firstalloc/firstalloc.ini"
	restart
	start d
	for i in 1 2 3; do fork_off 1 1; done
	wait_for 20 living 3
	sleep 1.2
	fork_off 1 1
	$fa status --json >"$T/st.json"
	same "$(json "$T/st.json" "[(m['image'], m['reason']) for m in j['coverage']['missed']]")" "[('late', 'LIMIT')]"
	touch "$T/go"
	wait_for 20 living 0
	same "$(blocks d)" 3000
	rm "$R/etc/firstalloc/firstalloc.ini"
	restart
}
it 31.6 "they count for their user's limit of arenas: who is over it is refused, and listed" limits

hidden() {
	start e
	doorman=$(part doorman)
	fork_off 1 1
	wait_for 20 living 1
	mount -t tmpfs none /proc
	wait_for 20 arenas 0
	umount /proc
	touch "$T/go"
	wait_for 20 living 0
	same "$(blocks e)" 0
	same "$(whole e)" "(0, True, 1)"
}
it 31.7 "where it cannot be told whether there are some, the arena goes, and the trace says that loss is unknown" hidden

all_traced() { for p in $(heirs); do is_traced "$p" || return 1; done; }
# They have not used the heap when their session stops, so nobody has seen them: who starts the next one does.
outlive() {
	start k
	rm -f "$T/end"
	fork_off 2 3 "$T/end"
	wait_for 20 living 3
	$fa stop k >/dev/null
	same "$(whole k)" "(0, False, 1)"
	rm -f "$T/go"
	$fa start m -o "$T/m.falloc" --min-free 0 >"$T/o"
	grep -q '^3 running were woken' "$T/o"
	$fa status --json >"$T/st.json"
	same "$(json "$T/st.json" "sorted(p['pid'] for p in j['processes'])")" "[$(heirs | sort -n | paste -sd , | sed 's/,/, /g')]"
	touch "$T/go"
	wait_for 20 all_traced
	touch "$T/end"
	wait_for 20 living 0
	same "$(blocks m)" 3000
	same "$(whole m)" "(0, False, 3)"
}
it 31.11 "a child that has not used the heap when its session stops is woken and traced by the next" outlive

# Where the arena says that the process's block lies: overwritten, as a program may.
scribble() { # pid
	local at
	printf '#include <stdio.h>\n#include "format/arena_format.h"\nint main(void) { printf("%%zu", offsetof(struct fa_arena_header, block)); }' |
		gcc -I "$SRC/src" -I "$SRC" -o "$T/offset" -x c -
	at=$(sed -n 's/^\([0-9a-f]*\)-.* rw-s .*zero (deleted)$/\1/p' "/proc/$1/maps" | head -n 1)
	python3 -c 'import sys
with open(f"/proc/{sys.argv[1]}/mem", "r+b", 0) as m:
	m.seek(int(sys.argv[2], 16) + int(sys.argv[3]))
	m.write(b"\x11" * 8)' "$1" "$at" "$("$T/offset")"
}
remembered() {
	cp "$P/live" "$T/m/late" # by the same rule
	start f
	launch a "$T/m/late"
	wait_for 20 is_traced "$(pid a)"
	scribble "$(pid a)"
	doorman=$(part doorman)
	kill -9 "$doorman"
	wait_for 20 runs doorman "$doorman"
	tell a "alloc 5" # recorded, so what the doorman did not know it has been told
	$fa stop f >/dev/null
	$fa disable late >/dev/null
	tell a "alloc 1"
	# Who starts a session looks for sleeping processes, too: this one sees none.
	unshare -m sh -c "mount -t tmpfs none /proc && $fa start g -o $T/g.falloc --min-free 0" >/dev/null
	tell a "alloc 3"
	wait_for 20 is_traced "$(pid a)"
	$fa stop g >/dev/null
	same "$("$FA" report --json "$T/g.falloc" | json /dev/stdin "j['events']['alloc']")" 3
	finish a
}
it 31.9 "a new doorman believes what the one before him knew of a process, and not what its arena says by then" remembered

orders() {
	printf '[Daemon]\nArenasPerUser = 3\n' >"$R/etc/firstalloc/firstalloc.ini"
	restart
	local i pids=
	launch_live r
	start h --pid "$(pid r)"
	for i in 1 2 3 4; do
		as="setpriv --reuid 23451 --regid 23451 --clear-groups" launch_live "o$i"
		pids=$pids,$(pid "o$i")
	done
	as 23451 $fa start own -o "$W/own.falloc" --min-free 0 --pid "${pids#,}" >"$T/o" 2>"$T/e" && return 1
	cat "$T/o" "$T/e"
	same "$(grep -c 'attached, from its next heap call on' "$T/o")" 3
	grep -q "pid $(pid o4) .*not attached: too many of the caller's processes are waited for" "$T/e"
	launch_live s
	start j --pid "$(pid s)" # others may
	for i in o1 o2 o3 o4 r s; do tell $i "alloc 1"; done
	for i in o1 o2 o3 r s; do wait_for 20 is_traced "$(pid $i)"; done
	for i in o1 o2 o3 o4 r s; do finish $i; done
	for i in h j; do $fa stop $i >/dev/null; done
	as 23451 $fa stop own >/dev/null
}
it 31.10 "a user over the limit has no more processes woken; others have" orders

restart
umount "$T/m/proc"
(unset FA_PRIVATE; SILENT=yes OWN_PIDS=yes exec bash "$0") >"$T/silent" 2>&1
add_results "$T/silent"
results
