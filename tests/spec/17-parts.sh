#!/bin/bash
# 17 - the daemon's parts under load: families that grow, parts that are killed, stopped, restarted.
# Programs are traced by name with the real shim in a private machine (machine.sh). Claims:
#   17.1       a service that forks twice has as much room for its events as any other program
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
results
