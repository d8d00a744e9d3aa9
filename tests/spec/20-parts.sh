#!/bin/bash
# 20 - the daemon's parts under load: families that grow, parts that are killed, stopped, restarted.
# Programs are traced by name with the real shim in a private machine (machine.sh). Claims:
#   20.1       a service that forks twice has as much room for its events as any other program
#   20.2       a collector that is killed costs nothing: every event is in the trace, and once
#   20.3-20.6  doorman killed, each stopped, both killed, the keeper killed: nobody waits for 2 s, loss is
#              counted or said to be unknown
#   20.9       both killed when a family's first process has gone and its child has another user's id
#   20.8       its successors are killed, too: the session is still there
#   20.10 20.11  it crashes by a fault of its own, at work or at birth: nothing is there twice
#   20.12      the keeper is stopped for a while
#   20.7       a second firstallocd is refused and harms nothing
# KILLS: how often (tests/long: more).
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 20 "the daemon's parts"

report() { "$FA" report --json "$1" >"$T/r.json"; }
value() { json "$T/r.json" "$1"; }
service() { # threads rounds: it leaves at once, so wait for its file
	"$P/daemonized" "$T/ready" "$1" "$2"
	wait_for 30 test -e "$T/ready"
}

daemonized() {
	rm -f "$T/ready"
	by_name daemonized "$T/d.falloc" service 200 400
	report "$T/d.falloc"
	same "$(value "j['lost']")" 0
	same "$(value "max(p['events'] for p in j['processes']) >= 200 * 400 * 2")" true
	same "$(value "j['events']['free'] >= 200 * 400")" true
	same "$(value "len(j['processes'])")" 2 # the one between makes no heap call
}
it 20.1 "a program that forks twice and then has 200 threads at once: nothing lost" daemonized

part() { $fa status --json >"$T/st.json" && json "$T/st.json" "j['daemon']['$1'] or 0"; }
# A new one is at work: status answers, and is of another process than $2.
replaced() {
	local now
	now=$(part "$1")
	[ "$now" != 0 ] && [ "$now" != "$2" ]
}
kill_part() { # part signal times: while a program runs
	local pid
	for _ in $(seq "$3"); do
		pid=$(part "$1")
		kill -"$2" "$pid"
		wait_for 20 replaced "$1" "$pid"
	done
}
# How many events there are beside the rounds that the program counts: the same each time.
counts() { value "[j['events'][k] - ${rounds:-0} for k in ('alloc', 'free')] + [j['lost']]"; }
touch "$T/stop"
"$FA" run -o "$T/own.falloc" -- "$P/steady" 4 "$T/stop" 2>/dev/null >"$T/own"
read -r rounds _ <"$T/own"
report "$T/own.falloc"
own=$(counts)

begin() { # session [options]: with the program flagged, and started in the background
	rm -f "$T/$1.falloc" "$T/stop"
	$fa enable steady >/dev/null
	$fa start "$1" -o "$T/$1.falloc" --min-free 0 "${@:2}" >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$P/steady" 4 "$T/stop" >"$T/steady" & program=$!
	wait_for 20 traced_now $program
	rm -f /etc/ld.so.preload
}
# The program's longest call is below two seconds, the trace ends properly and has each event once.
finish() { # session
	sleep 0.2
	touch "$T/stop"
	wait $program
	read -r rounds slowest <"$T/steady"
	echo "$rounds rounds, the slowest $slowest ms"
	[ "$slowest" -lt 2000 ]
	$fa stop "$1" >"$T/o"
	cat "$T/o"
	$fa disable steady >/dev/null
	report "$T/$1.falloc"
	"$FA" dump --no-events "$T/$1.falloc" >"$T/dump"
	tail -n 1 "$T/dump" | grep -q 'end .*reason='
	same "$(counts)" "$own"
	same "$(sed -n 's/.* end .*events=\([0-9]*\).*/\1/p' "$T/dump")" "$(value "sum(j['events'][k] for k in ('alloc', 'free', 'realloc'))")"
	same "$(value "len(j['processes'])")" 1
	same "$(grep -c ' process ' "$T/dump")" 1
	! grep -q incomplete "$T/dump" || return 1
}

recording() { # session: since now
	local before now
	before=$(recorded "$1")
	more() { now=$(recorded "$1") && [ "$now" -gt "$before" ]; }
	wait_for 20 more "$1"
}
recorded() {
	$fa status --json >"$T/st.json" && json "$T/st.json" "[s['events'] for s in j['sessions'] if s['name'] == '$1'][0]"
}

kills=${KILLS:-5}
collector_killed() {
	begin c
	kill_part collector KILL $kills
	finish c
}
it 20.2 "kill -9 of the collector, again and again, while a program records: each event once" collector_killed

collector_crashed() {
	begin f
	for _ in 1 2 3 4; do
		kill_part collector SEGV 1
		recording f
	done
	finish f
}
it 20.10 "a collector that crashes, again and again, after it had come to work: each event once" collector_crashed

doorman_killed() {
	begin d
	kill_part doorman KILL $kills
	kill_part collector KILL 1 # the new doorman has what the old one had
	finish d
}
it 20.3 "the same with the doorman, and then the collector: nothing lost" doorman_killed

# Each event is in the trace or is counted, and neither twice. (As counts(), of what may have been lost.)
accounted() {
	same "$(value "j['events']['alloc'] + j['events']['free'] + j['lost'] - 2 * $rounds")" "$(awk -F'[][, ]+' '{ print $2 + $3 }' <<<"$own")"
}
stopped() {
	begin p
	for part in doorman collector; do kill_part $part STOP $((2 + kills / 20)); done
	sleep 0.2
	touch "$T/stop"
	wait $program
	read -r rounds slowest <"$T/steady"
	echo "the slowest $slowest ms"
	[ "$slowest" -lt 2000 ]
	$fa stop p
	$fa disable steady >/dev/null
	report "$T/p.falloc" 2>/dev/null || true # its status tells of losses
	accounted
}
it 20.4 "doorman and collector stopped: replaced within 2 s; what was lost is counted exactly" stopped

both_kill() { # in the same moment: the first would be replaced before the second dies
	local doorman collector
	doorman=$(part doorman) collector=$(part collector)
	kill -STOP "$(part keeper)"
	kill -9 $doorman $collector
	kill -CONT "$(cat "$R/run/firstalloc/firstallocd.pid")"
	wait_for 20 replaced doorman $doorman
	wait_for 20 replaced collector $collector
}
both_killed() {
	begin b
	for _ in $(seq $(((kills + 1) / 2))); do
		both_kill
		recording b
	done
	kill_part doorman KILL 1 # what was found is known to those who follow
	kill_part collector KILL 1
	finish b
}
it 20.5 "doorman and collector killed at once, again and again: found and adopted anew, each event once" both_killed

# A program of root's that grows beyond its first arena, whose child takes another user's id; then it ends itself.
# The session of that user does not get to see it.
orphan_found() {
	rm -f "$T/o.falloc" "$T/stop" "$T/ready"
	cp "$P/heirs" "$T/m/heirs"
	$fa enable heirs >/dev/null
	$fa start o -o "$T/o.falloc" --min-free 0 >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$T/m/heirs" 23453 "$T/stop" "$T/ready" & program=$!
	wait $program # it ends, its child goes on
	rm -f /etc/ld.so.preload
	wait_for 20 test -s "$T/ready"
	child=$(cat "$T/ready")
	mkdir -m 777 -p "$T/m/u3"
	setpriv --reuid 23453 --regid 23453 --clear-groups $fa start own -o "$T/m/u3/own.falloc" --min-free 0 >/dev/null
	both_kill
	recording o
	$fa status --json >"$T/st.json"
	same "$(json "$T/st.json" "[(p['pid'], p['uid'], p['state']) for p in j['processes']]")" "[($child, 23453, 'traced')]"
	touch "$T/stop"
	gone() { [ ! -d "/proc/$child" ]; }
	wait_for 20 gone
	$fa stop own >/dev/null
	$fa stop o >/dev/null
	$fa disable heirs >/dev/null
	same "$("$FA" report --json "$T/m/u3/own.falloc" | json /dev/stdin "len(j['processes'])")" 0
	report "$T/o.falloc"
	rounds=$(cat "$T/ready.rounds")
	same "$(value "[(p['pid'], p['lost']) for p in j['processes']]")" "[($program, 0), ($child, 0)]"
	same "$("$FA" report --json --view total --size 77,78 "$T/o.falloc" | json /dev/stdin "sum(r['blocks'] for r in j['rows'])")" "$rounds"
}
it 20.9 "both killed: found in a child with another user's id as well, and still its maker's" orphan_found

keeper_killed() {
	for _ in $(seq "${KEEPER_KILLS:-$(((kills + 4) / 5))}"); do
		begin k
		pids="$(part doorman) $(part collector)"
		kill -9 "$(part keeper)"
		for p in $pids; do wait_for 20 ended $p; done
		touch "$T/stop"
		wait $program
		read -r rounds slowest <"$T/steady"
		[ "$slowest" -lt 2000 ]
		"$FA" dump --no-events "$T/k.falloc" | tail -n 1 | grep -q 'end .*reason='
		by_name steady "$T/n.falloc" "$P/steady" 4 "$T/stop" >"$T/steady"
		read -r rounds _ <"$T/steady"
		report "$T/n.falloc"
		same "$(counts)" "$own"
	done
}
it 20.6 "kill -9 of the keeper: programs go on, the trace ends properly, a new one works at once" keeper_killed

# Nobody may wait for it but who changes rules: who starts meanwhile is traced, sessions go on and end. When it goes on
# it takes nobody for silent.
keeper_stopped() {
	local keeper parts session=h
	begin $session
	keeper=$(part keeper) parts="$(part doorman) $(part collector)"
	kill -STOP "$keeper"
	touch "$T/over"
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	timeout 60 "$P/steady" 1 "$T/over" >"$T/other"
	rm -f /etc/ld.so.preload
	recording $session
	touch "$T/stop"
	wait $program
	timeout 60 $fa stop $session
	kill -CONT "$keeper"
	for file in steady other; do
		read -r rounds slowest <"$T/$file"
		echo "$file: $rounds rounds, the slowest $slowest ms"
		[ "$slowest" -lt 2000 ]
	done
	$fa disable steady >/dev/null
	report "$T/$session.falloc"
	same "$(value "(len(j['processes']), j['lost'], any(p['lost_unknown'] for p in j['processes']))")" "(2, 0, False)"
	by_name steady "$T/after.falloc" "$P/steady" 1 "$T/over" >/dev/null # its work is done again
	same "$(part doorman) $(part collector)" "$parts"
}
it 20.12 "the keeper stopped: programs start and are traced, sessions end, and nobody is replaced when it goes on" keeper_stopped

twice() {
	begin t
	! "$B/firstallocd" --root "$R" 2>"$T/o" || return 1
	grep -q 'another firstallocd is running already' "$T/o"
	finish t
}
it 20.7 "a second firstallocd is refused; the first goes on" twice

# Its successors, too, before they have read what they were given. Each is started later than the one before.
births=$((kills < 12 ? 8 : 12))
kill_at_birth() { # session signal
	local keeper doorman pid n=0 killed= end=$((SECONDS + 30))
	keeper=$(part keeper) doorman=$(part doorman)
	while [ $n -lt $births ] && [ $SECONDS -lt $end ]; do
		for pid in $(cat "/proc/$keeper/task/$keeper/children"); do
			case " $doorman$killed " in *" $pid "*) continue ;; esac # it may not have ended yet
			kill -$2 "$pid" 2>/dev/null && n=$((n + 1)) killed="$killed $pid"
		done
	done
	[ $n -ge 6 ]
	there() { [ "$(part collector)" != 0 ]; }
	wait_for 20 there
	$fa status --json >"$T/st.json"
	same "$(json "$T/st.json" "[s['name'] for s in j['sessions']]")" "['$1']"
	recording $1
	touch "$T/stop"
	wait $program
	read -r rounds _ <"$T/steady"
	$fa stop $1
	"$FA" dump --no-events "$T/$1.falloc" | tail -n 1 | grep -q 'end .*reason='
	report "$T/$1.falloc" 2>/dev/null || true
}
killed_at_birth() {
	begin b
	kill_at_birth b KILL
	accounted
}
it 20.8 "collectors that are killed as soon as they begin: the session goes on, nothing twice or uncounted" killed_at_birth

# By faults of their own: then nothing is believed of what they have left.
# Nobody reads until the program has had a second of a processor, however long that takes it: more than its arena holds.
overrun() {
	local stopped from
	stopped="$(part keeper) $(part collector)" # the keeper would replace it
	ticks() { awk '{ print $14 + $15 }' "/proc/$program/stat"; }
	kill -STOP $stopped
	from=$(ticks)
	worked() { [ $(($(ticks) - from)) -ge "$(getconf CLK_TCK)" ]; }
	wait_for 60 worked
	kill -CONT $stopped
}
crashed_at_birth() {
	begin e --policy count --maximum-buffers 32
	overrun
	lossy() { recorded e >"$T/o" && [ "$(json "$T/st.json" "[s['events_lost'] for s in j['sessions']][0]")" -gt 0 ]; }
	wait_for 20 lossy
	kill_at_birth e SEGV
	local all=$((2 * rounds + $(awk -F'[][, ]+' '{ print $2 + $3 }' <<<"$own")))
	echo "$(value "(j['events'], j['lost'], [p['lost_unknown'] for p in j['processes']])") of $all"
	same "$(value "any(p['lost_unknown'] for p in j['processes'])")" true
	same "$(value "j['lost'] > 0")" true
	same "$(value "j['events']['alloc'] + j['events']['free'] + j['lost'] <= $all")" true
}
it 20.11 "collectors that crash as soon as they begin: no event and no loss twice, and what is not known is said to be so" crashed_at_birth

results
