#!/bin/bash
# 22 - traces that cannot be written. Whatever happens to the file: the session ends with a reason where
# it has to, programs run on, and what was written reads. Claims:
#   22.1-22.3  run: any of the first 50 writes fails; the disk is full
#   22.4-22.8  a session of firstallocd: the same; too little space; a folder that is read-only
#   22.9       a trace that is removed or replaced under its writer
# WRITES: which writes of a session fail, for tests/long.
# The programs of tests/faults fail their N-th write and all after it (src/base/io.c).
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 22 "traces that cannot be written"
faulty=$B/tests/faults
lib=$T/m/libfirstalloc_preload.so
FULL=28 IO=5
mkdir "$T/small"
faulty_leave() { umount -l "$T/small" 2>/dev/null; leave_machine; }
trap faulty_leave EXIT

report() { "$FA" report --json --tolerate-lost "$1" >"$T/r.json" 2>"$T/e"; }
value() { json "$T/r.json" "$1"; }

run_fails() { # errno
	for n in $(seq 50); do
		rm -f "$T/f.falloc"
		FA_FAULT="$n $1 .falloc" "$faulty/firstalloc" run --library "$lib" -o "$T/f.falloc" -- \
			"$P/threads" 4 300000 >"$T/o" 2>"$T/e" && status=0 || status=$?
		same "$status" 125
		grep -q "$T/f.falloc: $2" "$T/e"
		[ $n -lt 3 ] || same "$(cat "$T/o")" "threads ok"
		[ $((n % 6)) != 2 ] || report "$T/f.falloc"
		[ $((n % 6)) != 2 ] || [ $n -lt 6 ] || same "$(value "j['events']['alloc'] > 1000")" true
	done
}
it 22.1 "run: any of the first 50 writes fails: the program runs on, the trace reads up to there" run_fails $FULL "No space left"

run_full() {
	mount -t tmpfs -o size=256k tmpfs "$T/small"
	"$FA" run -o "$T/small/f.falloc" -- "$P/threads" 4 300000 >"$T/o" 2>"$T/e" && status=0 || status=$?
	same "$status" 125
	same "$(cat "$T/o")" "threads ok"
	report "$T/small/f.falloc"
	same "$(value "j['events']['alloc'] > 1000")" true
	"$FA" dump "$T/small/f.falloc" >"$T/o"
	tail -n 1 "$T/o" | grep 'end .*text="No space left on device"'
	umount "$T/small"
}
it 22.2 "run: a full disk: the trace ends properly, with the reason" run_full

run_readonly() {
	mount -t tmpfs -o ro tmpfs "$T/small"
	! "$FA" run -o "$T/small/f.falloc" -- touch "$T/started" 2>"$T/e" || return 1
	umount "$T/small"
	grep -q 'Read-only file system' "$T/e"
	[ ! -e "$T/started" ]
}
it 22.3 "run: into a read-only folder: refused before the program starts" run_readonly

daemon_with() { # environment for a daemon of its own
	kill "$(cat "$R/run/firstalloc/firstallocd.pid" 2>/dev/null)" 2>/dev/null || true
	wait_for 20 test ! -e "$R/run/firstalloc/control"
	env "$@" "$faulty/firstallocd" --root "$R"
}
traced() { # file options: a session into it, the program in it, the session's state in $T/st.json
	$fa enable threads >/dev/null
	$fa stop w >/dev/null 2>&1 || true # of a claim that failed
	$fa start w -o "$1" "${@:2}" >"$T/o" 2>"$T/e" || return 1
	echo "$lib" >/etc/ld.so.preload
	"$P/threads" 4 ${rounds:-100000} >"$T/out"
	rm -f /etc/ld.so.preload
	same "$(cat "$T/out")" "threads ok"
}
ended() { $fa status --json >"$T/st.json"; same "$(json "$T/st.json" "[(s['state'], s['end']) for s in j['sessions']]")" "[('ended', '$1')]"; }
stops() { $fa stop w >"$T/o" 2>"$T/e" || true; cat "$T/o" "$T/e"; }

session_fails() { # numbers
	for n in "$@"; do
		error=$FULL why='too little space is left on the disk'
		[ $((n % 2)) = 0 ] || { error=$IO; why='the file could not be written'; }
		rm -f "$T/f.falloc"
		daemon_with FA_FAULT="$n $error .falloc"
		if ! traced "$T/f.falloc" --min-free 0 --buffer-size 4K; then
			[ $n -le 2 ] # the header, or the preface: it says so at once
			grep -q 'its trace file' "$T/e"
			continue
		fi
		wait_for 20 ended "$why"
		stops | grep -q "$why"
		report "$T/f.falloc"
		[ $n -lt 30 ] || same "$(value "j['events']['alloc'] > 1000")" true
		same "$($fa status --json | json /dev/stdin "j['daemon']['restarts']")" 0
	done
}
it 22.4 "a session whose N-th write fails ends with the reason; its program runs on" session_fails ${WRITES:-1 2 3 6 17 50}

disk_full() {
	daemon_with A=b
	mount -t tmpfs -o size=128k tmpfs "$T/small"
	rounds=400000 traced "$T/small/f.falloc" --min-free 0
	wait_for 20 ended 'too little space is left on the disk'
	"$FA" dump "$T/small/f.falloc" >"$T/o"
	tail -n 1 "$T/o" | grep 'end .*text="too little space is left on the disk"'
	report "$T/small/f.falloc"
	same "$(value "j['events']['alloc'] > 1000")" true
	stops
	umount "$T/small"
}
it 22.5 "a full disk: the trace ends properly, with the reason" disk_full

min_free() {
	mount -t tmpfs -o size=8m tmpfs "$T/small"
	! $fa start w -o "$T/small/n.falloc" --min-free 9M 2>"$T/e" || return 1
	grep -q 'must stay free' "$T/e"
	head -c 3M /dev/zero >"$T/small/other"
	rounds=1000000 traced "$T/small/f.falloc" --min-free 4M
	wait_for 20 ended 'too little space is left on the disk'
	[ "$(df --output=avail -B1 "$T/small" | tail -n 1)" -ge $((4 << 20)) ]
	report "$T/small/f.falloc"
	same "$(value "j['events']['alloc'] > 1000")" true
	"$FA" dump --no-events "$T/small/f.falloc" | tail -n 1 | grep -q 'end .*reason='
	stops
	umount "$T/small"
}
it 22.6 "MinFree: a session neither begins nor goes on where less would be left" min_free

readonly_folder() {
	mount -t tmpfs -o ro tmpfs "$T/small"
	! $fa start w -o "$T/small/f.falloc" --min-free 0 2>"$T/e" || return 1
	umount "$T/small"
	grep -q 'Read-only file system' "$T/e"
}
it 22.7 "a read-only folder: refused, with the reason" readonly_folder

others() {
	rm -f "$T/g.falloc"
	mount -t tmpfs -o size=128k tmpfs "$T/small"
	$fa start good -o "$T/g.falloc" --min-free 0 >/dev/null
	traced "$T/small/f.falloc" --min-free 0
	$fa stop good >"$T/o"
	same "$(grep -c ' 0 lost' "$T/o")" 1
	report "$T/g.falloc"
	same "$(value "j['events']['alloc'] >= 400000 and j['lost'] == 0")" true
	stops
	umount "$T/small"
}
it 22.8 "a session that fails takes nothing from another with the same program" others

replaced() {
	rm -f "$T/f.falloc"
	$fa enable threads >/dev/null
	$fa start w -o "$T/f.falloc" --min-free 0 >/dev/null
	rm "$T/f.falloc"
	echo precious >"$T/f.falloc"
	echo "$lib" >/etc/ld.so.preload
	"$P/threads" 4 50000 >"$T/out"
	rm -f /etc/ld.so.preload
	$fa stop w >"$T/o"
	grep -q ' 0 lost' "$T/o"
	same "$(cat "$T/f.falloc")" precious
	same "$(ls "$T"/f.falloc*)" "$T/f.falloc"
}
it 22.9 "a trace that is removed and replaced: what took its place is not touched" replaced
results
