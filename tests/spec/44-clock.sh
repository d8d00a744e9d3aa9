#!/bin/bash
# 44 - a kernel that gives up its TSC while sessions run: the file that says so is another one here. Claims:
#   44.60  who was recorded goes on, also with a new collector; who starts then is listed with the reason, in the
#          trace, too
#   44.61  a session that is started when those before have ended has the new clock, and all counts
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 44.60 "a kernel that changes its clock"
SOURCE=/sys/devices/system/clocksource/clocksource0/current_clocksource
echo tsc >"$T/source"
if ! mount --bind "$T/source" $SOURCE 2>/dev/null; then
	skip 44.60 "a kernel that changes its clock" "no file $SOURCE"
	results
	exit
fi

collector() { $fa status --json >"$T/st.json" && json "$T/st.json" "j['daemon']['collector'] or 0"; }
another() {
	local now
	now=$(collector)
	[ "$now" != 0 ] && [ "$now" != "$1" ]
}
counts() { "$FA" report --json "$1" >"$T/r.json"; json "$T/r.json" "[(p['pid'], p['events_by_kind']['alloc'], p['lost']) for p in j['processes']]"; }
own() { awk '{ printf "[(%d, %d, 0)]", $1, $2 }' "$1"; }

# By its number: others of that name, of other tests, are seen here, too.
listed() {
	$fa status --json >"$T/st.json"
	same "$(json "$T/st.json" "[e['reason'] for e in j['coverage']['missed'] if e['pid'] == $(cut -d ' ' -f 1 "$T/second")]")" "['CLOCK']"
}

given_up() {
	local pid old
	$fa enable service >/dev/null
	$fa start one -o "$T/one.falloc" --min-free 0 >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$P/service" "$T/first" 10 stay &
	pid=$!
	wait_for 20 traced_now $pid
	echo hpet >"$T/source"
	old=$(collector)
	kill -9 "$old"
	wait_for 20 another "$old"
	wait_for 20 traced_now $pid
	"$P/service" "$T/second" 10
	rm /etc/ld.so.preload
	wait_for 20 listed || { cat "$T/st.json"; return 1; }
	kill $pid
	wait $pid
	$fa stop one >/dev/null
	same "$(counts "$T/one.falloc")" "$(own "$T/first")"
	"$FA" dump "$T/one.falloc" >"$T/d"
	grep -q 'machine .*tsc' "$T/d"
	grep 'coverage .*service' "$T/d"
}
it 44.60 "who was recorded goes on, new collector or not; who starts then is listed, and why" given_up

anew() { # NAME CLOCK
	$fa start "$1" -o "$T/$1.falloc" --min-free 0 >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$P/service" "$T/own.$1" 10
	rm /etc/ld.so.preload
	$fa stop "$1" >/dev/null
	same "$(counts "$T/$1.falloc")" "$(own "$T/own.$1")"
	"$FA" dump "$T/$1.falloc" | grep "machine .*$2"
}
both_ways() {
	anew two monotonic
	echo tsc >"$T/source"
	anew three tsc
}
it 44.61 "a session that is started then has the new clock, and every event; and again" both_ways
umount $SOURCE
results
