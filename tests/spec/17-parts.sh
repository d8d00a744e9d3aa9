#!/bin/bash
# 17 - the daemon's parts under load: families that grow, parts that are killed, stopped, restarted.
# Programs are traced by name with the real shim in a private machine (machine.sh). Claims:
#   17.1       a service that forks twice has as much room for its events as any other program
#   17.2-17.5  a collector that is killed costs nothing: every event is in the trace, and once
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
if [ "$(id -u)" != 0 ]; then
	skip 17 "the daemon's parts" "needs root"
	results
	exit
fi
private_machine

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
it 17.1 "a program that forks twice and then has 200 threads at once: nothing lost" daemonized

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
		wait_for 4 replaced "$1" "$pid"
	done
}
# How many events there are beside the rounds that the program counts: the same each time.
counts() { value "[j['events'][k] - ${rounds:-0} for k in ('alloc', 'free')] + [j['lost']]"; }
touch "$T/stop"
read -r rounds _ < <("$FA" run -o "$T/own.falloc" -- "$P/steady" 4 "$T/stop" 2>/dev/null)
report "$T/own.falloc"
own=$(counts)

begin() { # session [options]: with the program flagged, and started in the background
	rm -f "$T/$1.falloc" "$T/stop"
	$fa enable steady >/dev/null
	$fa start "$1" -o "$T/$1.falloc" --min-free 0 "${@:2}" >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$P/steady" 4 "$T/stop" >"$T/steady" & program=$!
	sleep 0.3
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
	"$FA" dump "$T/$1.falloc" | grep -av ' alloc \| free ' >"$T/dump"
	tail -n 1 "$T/dump" | grep -q 'end .*reason='
	same "$(counts)" "$own"
	same "$(sed -n 's/.* end .*events=\([0-9]*\).*/\1/p' "$T/dump")" "$(value "sum(j['events'][k] for k in ('alloc', 'free', 'realloc'))")"
	same "$(value "len(j['processes'])")" 1
	same "$(grep -c ' process ' "$T/dump")" 1
	! grep -q incomplete "$T/dump"
}

collector_killed() {
	begin c
	kill_part collector KILL 10
	finish c
}
it 17.2 "kill -9 of the collector ten times while a program records: each event once" collector_killed

results
