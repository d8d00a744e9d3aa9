#!/bin/bash
# 27 - running processes: woken by PID or by a session, traced from their next heap call on, let go, woken again.
#
# tests/programs/live is started with the shim in it and no rule for it; it does what it is told on its stdin and
# says when it has done it, so that nothing here waits for a time. Needs root.
OWN_PIDS=yes # whoever is flagged on this machine is woken
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 27 "running processes"
cycles=${CYCLES:-30}
. "$(dirname "$0")/live.sh"
start() { rm -f "$W/$1.falloc"; $fa start "$1" -o "$W/$1.falloc" --min-free 0 "${@:2}"; }
state() { $fa status --json >"$T/st.json"; json "$T/st.json" "[p['state'] for p in j['processes'] if p['pid'] == $1]"; }
# how many arenas are mapped, and KB of them that are there
arenas() { awk '/^3fa[01][0-9a-f]*-/ { n++; on = 1; next } /^[0-9a-f]+-[0-9a-f]+ / { on = 0 } on && $1 == "Rss:" { rss += $2 } END { print n + 0, rss + 0 }' "/proc/$1/smaps"; }

# what its process block says, whatever firstallocd does
is_dormant() { $fa status --json --pid "$1" >"$T/st.json"; cat "$T/st.json"; ! grep -q '"reason": "TRACED"' "$T/st.json"; }
is_given_back() { arenas "$1"; [ "$(arenas "$1")" = "1 0" ]; }
has_maps() { [ "$(wc -l <"/proc/$1/maps")" -le "$2" ]; }

by_pid() {
	launch a "$T/m/live"
	start s --pid "$(pid a)" >"$T/o"
	grep -q "pid $(pid a) (live): attached, from its next heap call on" "$T/o"
	same "$(state "$(pid a)")" "['waiting']"
	tell a "alloc 1000"
	tell a "free 10"
	tell a "old 7"
	tell a "grow"
	wait_for 10 is_traced "$(pid a)"
	$fa stop s >"$T/o"
	grep -q '1,018 events, 0 lost, 1 process' "$T/o"
	same "$(report s "$counts")" "(1000, 1, 17, 8, 0, 0, 0)"
	same "$(json "$T/r.json" "(j['outstanding']['blocks'], j['outstanding']['bytes'], j['processes'][0]['origin'])")" \
		"(991, 99900, 'woken')"
	"$FA" report "$W/s.falloc" >"$T/o"
	grep -q '8 frees of blocks that are older than the trace' "$T/o"
	grep -q 'obey  live.c' "$T/o"
}
it 27.1 "by PID: an idle process, from its very next heap call on; frees of older blocks are a class of their own" by_pid

again() {
	tell a "alloc 50"
	$fa status --pid "$(pid a)" >"$T/o"
	cat "$T/o"
	grep -q 'session ended' "$T/o"
	wait_for 10 is_given_back "$(pid a)"
	start s --pid "$(pid a)" >"$T/o"
	tell a "alloc 20"
	wait_for 10 is_traced "$(pid a)"
	$fa stop s
	same "$(report s "$counts")" "(20, 0, 0, 0, 0, 0, 0)"
	tell a "alloc 1"
	finish a
}
it 27.2 "after the stop it is dormant, its arena gives its pages back, and it can be attached again" again

reasons() {
	launch a "$T/m/live"
	echo 'int main(void) { for (;;) __builtin_ia32_pause(); }' | gcc -static -o "$T/m/static" -x c -
	"$T/m/static" & local static=$!
	sleep 1000 & local before=$!
	local status=0
	start s --pid "$(pid a),$static" --pid $before --pid 4194000 >"$T/o" 2>"$T/e" || status=$?
	kill $static $before
	cat "$T/o" "$T/e"
	same $status 2
	grep -q "pid $(pid a) (live): attached" "$T/o"
	grep -q "pid $static (static): not attached: statically linked" "$T/e"
	grep -q "pid $before (sleep): not attached: the shim is not in it: it was started before" "$T/e"
	grep -q "pid 4194000: not attached: there is no such process" "$T/e"
	tell a "alloc 3"
	wait_for 10 is_traced "$(pid a)"
	$fa stop s
	same "$(report s "$counts")" "(3, 0, 0, 0, 0, 0, 0)"
	finish a
}
it 27.3 "a line and a reason for each PID, the others go on, and the exit status says 'in part'" reasons

rights() {
	launch a as $ALICE "$T/m/live"
	launch b as $BOB "$T/m/live"
	as $ALICE sh -c "cd $W && rm -f s.falloc; $fa start s -o $W/s.falloc --min-free 0 --pid $(pid a),$(pid b)" >"$T/o" 2>"$T/e" && return 1
	cat "$T/o" "$T/e"
	grep -q "pid $(pid a) (live): attached" "$T/o"
	grep -q "pid $(pid b).*not attached: not permitted" "$T/e"
	tell a "alloc 5"
	tell b "alloc 5"
	wait_for 10 is_traced "$(pid a)"
	as $ALICE $fa stop s
	same "$(report s "$counts")" "(5, 0, 0, 0, 0, 0, 0)"
	start r --pid "$(pid b)"
	tell b "alloc 6"
	wait_for 10 is_traced "$(pid b)"
	$fa stop r
	same "$(report r "$counts")" "(6, 0, 0, 0, 0, 0, 0)"
	finish a
	finish b
}
it 27.4 "a user attaches to own processes, root to those of all" rights

filtered() {
	launch a "$T/m/live" -f -t 2
	start s --pid "$(pid a)"
	tell a "alloc 30"
	wait_for 10 is_traced "$(pid a)"
	$fa stop s
	tell a "alloc 1"
	start s --pid "$(pid a)"
	wait_for 10 is_traced "$(pid a)"
	$fa stop s
	finish a
}
it 27.5 "a process that has forbidden itself all but what malloc does lives on, and is traced" filtered

stopped() {
	launch a "$T/m/live"
	kill -STOP "$(pid a)"
	start s --pid "$(pid a)" >"$T/o"
	grep -q attached "$T/o"
	kill -CONT "$(pid a)"
	tell a "alloc 4"
	wait_for 10 is_traced "$(pid a)"
	$fa stop s
	same "$(report s "$counts")" "(4, 0, 0, 0, 0, 0, 0)"
	finish a
}
it 27.6 "a stopped process is not waited for, and is traced when it goes on" stopped

namespaces() {
	launch a unshare --pid --fork --mount-proc "$T/m/live"
	local outside
	outside=$(pgrep -P "$(cat "$W/a.job")")
	same "$(pid a)" 1
	start s --pid "$outside"
	tell a "alloc 9"
	wait_for 10 is_traced "$outside"
	$fa stop s
	same "$(report s "$counts")" "(9, 0, 0, 0, 0, 0, 0)"
	finish a
}
it 27.7 "a process in a pid and mount namespace of its own" namespaces

other_program() {
	launch a "$T/m/live"
	start s --pid "$(pid a)"
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	tell a "exec $T/m/live x"
	rm -f /etc/ld.so.preload
	same "$(grep -c ready "$W/a.out")" 2
	tell a "alloc 100"
	$fa stop s >"$T/o"
	grep -q ' 0 events' "$T/o"
	finish a
}
it 27.8 "a process that executes another program before it obeys: that one is not hit" other_program

busy() {
	launch a "$T/m/live" -t 8
	local fds maps i
	for i in $(seq "$cycles"); do
		start s --pid "$(pid a)" >/dev/null
		wait_for 20 is_traced "$(pid a)"
		$fa stop s >"$T/o"
		[ "$i" = 1 ] && fds=$(ls "/proc/$(pid a)/fd" | wc -l)
		[ "$i" = 2 ] && maps=$(wc -l <"/proc/$(pid a)/maps")
		grep -q ' 0 lost, 1 process' "$T/o" || { cat "$T/o"; return 1; }
		same "$(report s "(j['unknown_frees'], j['implied_frees'], j['lost'], j['events']['alloc'] > 0)")" "(0, 0, 0, True)"
	done
	same "$(ls "/proc/$(pid a)/fd" | wc -l)" "$fds"
	wait_for 10 has_maps "$(pid a)" $((maps + 2)) # the heap's own come and go
	wait_for 10 is_given_back "$(pid a)"
	finish a
}
it 27.9 "$cycles attach and detach cycles of 8 busy threads: all is counted, no descriptor and no page more, one mapping left" busy

flag_first() {
	$fa enable live >/dev/null
	launch a "$T/m/live"
	start one >"$T/o"
	cat "$T/o"
	grep -q '1 running was woken' "$T/o"
	tell a "alloc 11"
	wait_for 10 is_traced "$(pid a)"
	$fa stop one
	tell a "alloc 1"
	start two >"$T/o"
	grep -q '1 running was woken' "$T/o"
	tell a "alloc 12"
	wait_for 10 is_traced "$(pid a)"
	$fa stop two
	same "$(report one "$counts")" "(11, 0, 0, 0, 0, 0, 0)"
	same "$(report two "$counts")" "(12, 0, 0, 0, 0, 0, 0)"
	start other --image somebody-else >"$T/o"
	! grep -q woken "$T/o" || return 1
	$fa stop other
	finish a
	$fa disable live >/dev/null
}
it 27.10 "flag first, session later: a session's start wakes the flagged that run, and so does the next" flag_first

named_only() {
	$fa enable live >/dev/null
	launch a "$T/m/live"
	launch b "$T/m/live"
	start s --pid "$(pid a)" >"$T/o"
	tell a "alloc 2"
	tell b "alloc 2"
	wait_for 10 is_traced "$(pid a)"
	same "$(state "$(pid b)")" "['waiting']"
	start all --pid 0 >"$T/o"
	tell b "alloc 3"
	wait_for 10 is_traced "$(pid b)"
	$fa stop s
	$fa stop all
	same "$(report s "$counts")" "(2, 0, 0, 0, 0, 0, 0)"
	same "$(report all "j['events']['alloc']")" 3
	finish a
	finish b
	$fa disable live >/dev/null
}
it 27.11 "--pid: only those; --pid 0: the flagged ones" named_only

no_daemon() {
	$fa enable live >/dev/null
	kill "$(cat "$R/run/firstalloc/firstallocd.pid")"
	wait_for 20 sh -c "$fa status | grep -q 'not running'"
	launch a "$T/m/live"
	start s >"$T/o"
	cat "$T/o"
	grep -q '1 running was woken' "$T/o"
	tell a "alloc 8"
	wait_for 10 is_traced "$(pid a)"
	$fa stop s
	same "$(report s "$counts")" "(8, 0, 0, 0, 0, 0, 0)"
	finish a
	$fa disable live >/dev/null
}
it 27.12 "a flagged process that started while no firstallocd ran is woken, too" no_daemon

live() {
	local image=live-$$ # it looks at the whole machine, and others may test there
	cp "$T/m/live" "$T/m/$image"
	start s >/dev/null
	launch a "$T/m/$image"
	launch b "$T/m/$image"
	$fa enable "$image" --live --stacks none >"$T/o"
	cat "$T/o"
	grep -q '2 running instances are flagged' "$T/o"
	tell a "alloc 21"
	tell b "alloc 22"
	wait_for 10 is_traced "$(pid a)"
	wait_for 10 is_traced "$(pid b)"
	$fa stop s
	same "$(report s "sorted(p['events'] for p in j['processes'])")" "[21, 22]"
	"$FA" dump "$W/s.falloc" >"$T/o"
	same "$(grep -c 'origin=woken.* stacks=0x0' "$T/o")" 2
	finish a
	finish b
	$fa disable "$image" >/dev/null
}
it 27.13 "enable --live: the instances that run are flagged as the rule says, and a session that wants them gets them" live

same_name() {
	launch a "$T/m/live"
	start s >/dev/null
	rm -f "$W/user.falloc"
	$fa start s --user -o "$W/user.falloc" --min-free 0 --pid "$(pid a)" >/dev/null
	tell a "alloc 13"
	wait_for 10 is_traced "$(pid a)"
	$fa stop --all >/dev/null
	same "$(report user "$counts")" "(13, 0, 0, 0, 0, 0, 0)"
	same "$(report s "j['events']['alloc']")" 0
	finish a
}
it 27.14 "a process comes into the session that was started for it, not into another of that name" same_name
late_child() {
	launch a "$T/m/live" -t 2
	start s --pid "$(pid a)"
	wait_for 10 is_traced "$(pid a)"
	tell a fork
	local child
	child=$(pgrep -P "$(pid a)")
	$fa stop s
	wait_for 10 is_given_back "$(pid a)"
	tell a "alloc 3"
	$fa status --pid "$child" >"$T/o"
	cat "$T/o"
	! grep -q ' traced' "$T/o" || return 1
	is_dormant "$child"
	start s --pid "$child"
	tell a "alloc 4"
	wait_for 10 is_traced "$child"
	$fa stop s
	same "$(report s "$counts")" "(4, 0, 0, 0, 0, 0, 0)"
	finish a
}
it 27.15 "a fork child that first calls the heap when the arena is gone already: dormant, and attached when it is asked for" late_child

ghosts() { # threads of the parent that were at work in the shim are in the child's memory, and nowhere else
	local i child
	for i in 1 2 3 4 5 6; do
		launch a "$T/m/live" -t 8
		start s --pid "$(pid a)"
		wait_for 10 is_traced "$(pid a)"
		tell a fork
		child=$(pgrep -P "$(pid a)")
		[ $((i % 2)) = 0 ] || tell a "alloc 1"
		$fa stop s
		tell a "alloc 1" # it sees that it is over
		start s --pid "$child"
		tell a "alloc 4"
		wait_for 10 is_traced "$child"
		$fa stop s
		same "$(report s "$counts")" "(4, 0, 0, 0, 0, 0, 0)"
		finish a
	done
}
it 27.16 "a fork child of busy threads is attached when it is asked for, whatever they were at" ghosts

orphan() { # the process that was attached to has ended, its child goes on
	launch a "$T/m/live"
	start s --pid "$(pid a)"
	tell a "alloc 3000"
	wait_for 10 is_traced "$(pid a)"
	tell a fork
	local child
	child=$(pgrep -P "$(pid a)")
	tell a "alloc 3000"
	kill -9 "$(pid a)"
	$fa stop s
	tell a "alloc 1"
	wait_for 10 is_nearly_given_back "$child"
	finish a
}
is_nearly_given_back() { [ "$(arenas "$1" | cut -d' ' -f2)" -le 4 ]; } # its header
it 27.17 "a child whose parent has ended: the pages of the arena go back all the same" orphan

two_lives() {
	cp "$P/two_lives" "$T/m/"
	LD_PRELOAD=$T/m/libfirstalloc_preload.so "$T/m/two_lives" >"$T/lives" & local job=$!
	wait_for 20 grep -q ready "$T/lives"
	start s --pid $job
	wait $job || { cat "$T/lives"; return 1; }
	grep -q ok "$T/lives"
	$fa stop s >"$T/o"
	grep -q ' 0 events, 0 lost, 0 processes' "$T/o" || { cat "$T/o"; return 1; }
}
it 27.18 "a process that executes another program while its old memory lives on and says 'obeyed': the other is not hit" two_lives

results
