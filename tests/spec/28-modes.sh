#!/bin/bash
# 28 - what becomes of a session's events: LogFileMode, in ETW's words. Programs are traced by name in a
# private machine (machine.sh). Claims:
#   28.1        sequential: at MaximumFileSize the session ends, and the trace is whole
#   28.2-28.4   circular: the newest events, and all that they need; after kill -9 of the collector, too
#   28.5-28.6   append: the trace goes on; what is of another boot, damaged or in use is refused
#   28.7-28.9   buffering: save, and the ring goes on; limits
#   28.10       preallocate: the room is there, and given back
#   28.11       mixes that make no sense are refused with the reason
#   28.12       autologgers
#   28.13-28.14 query: counters, what was asked for and what holds; a loss by its cause, with what helps
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 28 "modes of sessions"
lib=$T/m/libfirstalloc_preload.so
mkdir "$T/small"
modes_leave() { umount -l "$T/small" 2>/dev/null; leave_machine; }
trap modes_leave EXIT

report() { "$FA" report --json "$1" >"$T/r.json" 2>"$T/e"; }
value() { json "$T/r.json" "$1"; }
begin() { # session options: with the programs flagged
	touch "$T/stop" # of a claim that failed
	$fa enable threads --starts 1000 >/dev/null
	$fa enable noisy --starts 1000 >/dev/null
	$fa stop "$1" >/dev/null 2>&1 || true # of a claim that failed
	$fa start "$1" --min-free 0 "${@:2}"
}
traced() { echo "$lib" >/etc/ld.so.preload; "$@"; rm -f /etc/ld.so.preload; }
run_threads() { same "$(traced "$P/threads" 4 "$1")" "threads ok"; }
noisy() { # in the background; the preload line stays until it is attached
	rm -f "$T/stop"
	echo "$lib" >/etc/ld.so.preload
	"$P/noisy" 2 "$T/stop" >"$T/noisy" & program=$!
	wait_for 30 traced_now $program
	rm -f /etc/ld.so.preload
}
end_noisy() { touch "$T/stop"; wait $program; read -r rounds <"$T/noisy"; }
part() { $fa status --json >"$T/st.json" && json "$T/st.json" "j['daemon']['$1'] or 0"; }
replaced() { local now; now=$(part collector); [ "$now" != 0 ] && [ "$now" != "$1" ]; }
kill_collector() { local pid; pid=$(part collector); kill -9 "$pid"; wait_for 5 replaced "$pid"; }
session_value() { $fa status --json >"$T/st.json"; json "$T/st.json" "[s for s in j['sessions'] if s['name'] == '$1'][0]$2"; }
overwritten() { [ "$(session_value "$1" "['buffers_overwritten']")" -gt 40 ]; }
# Every stream of a trace runs on without gap or overlap from where it begins: FILE
whole_streams() {
	"$FA" dump --json --no-events "$1" >"$T/dump"
	python3 - "$T/dump" <<'PY'
import json, sys
at, n = {}, 0
for line in open(sys.argv[1], errors='replace'):
    j = json.loads(line)
    if j['record'] != 'events':
        continue
    key = (j['process'], j['thread'])
    here = (j['buffer'], j['offset'])
    n += 1
    if key in at:
        seq, end = at[key]
        assert here == (seq, end) or here == (seq + 1, 0), (key, here, at[key])
    at[key] = (here[0], here[1] + j['bytes'])
assert n > 10, n
PY
}
# Of the trace that T/r.json is of: it has its end, nothing is damaged, without sense, or lost.
sound() { same "$(value "(j['session']['ended'], j['warnings'], j['lost'])")" "(True, [], 0)"; }

size_reached() {
	rm -f "$T/s.falloc"
	begin s -o "$T/s.falloc" --max-file-size 512K
	run_threads 300000
	ended() { same "$(session_value s "['end']")" 'its size limit was reached'; }
	wait_for 5 ended
	$fa stop s >/dev/null 2>&1
	[ "$(stat -c %s "$T/s.falloc")" -le $((512 << 10)) ]
	"$FA" dump --no-events "$T/s.falloc" | tail -n 1 | grep -q 'its size limit was reached'
	report "$T/s.falloc"
	same "$(value "j['events']['alloc'] > 1000 and j['unknown_frees'] == 0")" true
}
it 28.1 "sequential: at MaximumFileSize the session ends with the reason, the trace is whole" size_reached

circular() {
	rm -f "$T/c.falloc"
	begin c -o "$T/c.falloc" --mode circular --max-file-size 1M
	run_threads 1000 # over before the ring is full: overwritten
	noisy
	wait_for 20 overwritten c
	end_noisy
	$fa stop c >"$T/o"
	same "$(grep -c ' 0 lost' "$T/o")" 1
	[ "$(stat -c %s "$T/c.falloc")" -le $((1 << 20)) ]
	whole_streams "$T/c.falloc"
	report "$T/c.falloc"
	sound
	same "$(value "[p['image'] for p in j['processes']]")" "['noisy']"
	same "$(value "j['processes'][0]['incomplete']")" true
	# The end is there, and most of what fits: the file is never emptier than three quarters.
	same "$(value "j['processes'][0]['status']")" 0
	[ "$(stat -c %s "$T/c.falloc")" -ge $((700 << 10)) ]
	same "$(value "0 < j['events']['alloc'] < $rounds")" true
	same "$(value "min(p['outstanding_bytes'] for p in j['processes']) >= 0")" true
	"$FA" report "$T/c.falloc" | grep -q 'ran before the trace began'
}
it 28.2 "circular: a file of at most MaximumFileSize has the newest events, each stream without a gap" circular

needed() { # FILE
	"$FA" dump --json "$1" >"$T/dump"
	# A node, module or thread that is used is defined.
	python3 - "$T/dump" <<'PY'
import json, sys
nodes, modules, threads, processes = set(), set(), set(), {}
used = 0
for line in open(sys.argv[1], errors='replace'):
    j = json.loads(line)
    r = j['record']
    if r == 'process': processes[j['process']] = j['arena']
    elif r == 'nodes': nodes.update(n['id'] for n in j['nodes'])
    elif r == 'module': modules.add(j['module'])
    elif r == 'thread': threads.add((j['process'], j['thread']))
    elif r in ('alloc', 'realloc', 'free'):
        assert (j['process'], j['thread']) in threads, j
        if j.get('stack'):
            used += 1
            assert j['stack'] in nodes, j
assert used > 1000 and modules and processes
PY
}
it 28.3 "circular: stacks, modules, threads that the surviving events need are in the file" needed "$T/c.falloc"

circular_killed() {
	rm -f "$T/c.falloc"
	begin c -o "$T/c.falloc" --mode circular --max-file-size 1M
	noisy
	for _ in 1 2 3; do
		kill_collector
		n=$(session_value c "['buffers_written']")
		more() { [ "$(session_value c "['buffers_written']")" -gt $((n + 10)) ]; }
		wait_for 20 more
	done
	wait_for 20 overwritten c
	kill_collector
	end_noisy
	$fa stop c >"$T/o"
	same "$(grep -c ' 0 lost' "$T/o")" 1
	whole_streams "$T/c.falloc"
	needed "$T/c.falloc"
	report "$T/c.falloc"
	sound
	same "$(value "len(j['processes'])")" 1
	# what it was told in all, and what the program did
	same "$("$FA" dump "$T/c.falloc" | sed -n 's/.* end .*events=\([0-9]*\).*/\1/p' | awk -v r=$rounds '{ print ($1 >= 2 * r) }')" 1
}
it 28.4 "kill -9 of the collector, again and again: the circular trace has no gap and nothing twice" circular_killed

append() {
	rm -f "$T/a.falloc"
	begin a -o "$T/a.falloc" --mode append # makes it
	run_threads 1000
	$fa stop a >/dev/null
	report "$T/a.falloc"
	one=$(value "j['events']['alloc']")
	begin a -o "$T/a.falloc" --mode append
	run_threads 1000
	kill_collector
	run_threads 1000
	$fa stop a >/dev/null
	report "$T/a.falloc"
	sound
	same "$(value "(len(j['processes']), j['unknown_frees'])")" "(3, 0)"
	same "$(value "[p['events'] for p in j['processes']] == [j['processes'][0]['events']] * 3")" true
	same "$(value "j['events']['alloc']")" $((3 * one))
}
it 28.5 "append: an ended trace goes on, its processes and the new ones side by side" append

refused() { # text options
	! $fa start bad --min-free 0 "${@:2}" >"$T/o" 2>"$T/e" || { $fa stop bad; return 1; }
	cat "$T/e"
	grep -q "$1" "$T/e"
}
append_refused() {
	"$B/tests/unit/test_trace" sample "$T/other.falloc" 1 8 120
	before=$(md5sum <"$T/other.falloc")
	refused 'another boot' --mode append -o "$T/other.falloc"
	same "$(md5sum <"$T/other.falloc")" "$before"
	refused 'circular trace' --mode append -o "$T/c.falloc"
	cp "$T/a.falloc" "$T/damaged.falloc"
	printf 'xxxx' | dd of="$T/damaged.falloc" bs=1 seek=200 conv=notrunc status=none
	refused 'is damaged' --mode append -o "$T/damaged.falloc"
	echo text >"$T/text.falloc"
	refused 'is no trace' --mode append -o "$T/text.falloc"
	begin a -o "$T/a.falloc" --mode append
	refused 'another session writes' --mode append -o "$T/a.falloc"
	$fa stop a >/dev/null
	report "$T/a.falloc"
	sound
	same "$(value "len(j['processes'])")" 3
}
it 28.6 "append: another boot, damage, a file in use: refused with the reason, and left as it was" append_refused

buffering() {
	rm -f "$T"/b?.falloc
	begin b --mode buffering --ring-size 1M
	run_threads 1000
	$fa save b -o "$T/b1.falloc" >"$T/o"
	grep -q 'saved in' "$T/o"
	report "$T/b1.falloc"
	sound
	same "$(value "(j['unknown_frees'], j['events']['alloc'] >= 4000)")" "(0, True)"
	cp "$T/r.json" "$T/r1.json"
	kill_collector # the keeper has the ring
	$fa save b -o "$T/b2.falloc"
	report "$T/b2.falloc"
	same "$(value "(j['events'], len(j['processes']))")" "$(json "$T/r1.json" "(j['events'], len(j['processes']))")"
	noisy
	wait_for 20 overwritten b
	$fa save b -o "$T/b3.falloc"
	end_noisy
	$fa save b -o "$T/b4.falloc"
	$fa stop b >"$T/o"
	for n in 3 4; do
		[ "$(stat -c %s "$T/b$n.falloc")" -le $((1 << 20)) ]
		whole_streams "$T/b$n.falloc"
		needed "$T/b$n.falloc"
		report "$T/b$n.falloc"
		sound
		same "$(value "([p['image'] for p in j['processes']], j['processes'][0]['incomplete'])")" "(['noisy'], True)"
	done
	same "$(od -An -tu8 -j16 -N8 "$T/b3.falloc" | tr -d ' ')" 0 # any reader can read it
}
it 28.7 "buffering: save writes the ring, which goes on, and which outlives the collector" buffering

save_refused() {
	begin s -o "$T/s2.falloc"
	! $fa save s -o "$T/no.falloc" 2>"$T/e" || return 1
	grep -q 'does not buffer' "$T/e"
	[ ! -e "$T/no.falloc" ]
	! $fa save nosuch -o "$T/no.falloc" 2>"$T/e" || return 1
	grep -q 'no session called' "$T/e"
	$fa stop s
	begin b --mode buffering --ring-size 1M
	! $fa save b -o "$T/b1.falloc" 2>"$T/e" || return 1
	grep -q 'File exists' "$T/e"
	[ -s "$T/b1.falloc" ]
	mount -t tmpfs -o size=32k tmpfs "$T/small"
	run_threads 20000
	! $fa save b -o "$T/small/full.falloc" 2>"$T/e" || return 1
	umount "$T/small"
	grep -q 'too little space' "$T/e"
	$fa save b -o "$T/b5.falloc" # the ring has not suffered
	$fa stop b
	report "$T/b5.falloc"
	same "$(value "j['events']['alloc'] > 1000")" true
}
it 28.8 "save: refused with the reason, no file is left, and the ring is as it was" save_refused

users_ring() {
	own() { setpriv --reuid 4321 --regid 4321 --clear-groups "$FA" --root "$R" "$@"; }
	own start u1 --mode buffering --ring-size 40M
	! own start u2 --mode buffering --ring-size 40M 2>"$T/e" || return 1
	grep -q 'at most 64 MB together' "$T/e"
	! own save nosuch 2>/dev/null || return 1
	(cd "$T" && ! own save u1 -o /etc/mine.falloc 2>"$T/e")
	grep -q 'Permission denied' "$T/e"
	own stop u1
}
it 28.9 "buffering: a user has at most 64 MB of rings" users_ring

preallocate() {
	mount -t tmpfs -o size=8m tmpfs "$T/small"
	for mode in sequential circular; do
		begin p -o "$T/small/p.falloc" --mode $mode --preallocate --max-file-size 4M
		[ $(($(stat -c %b "$T/small/p.falloc") * 512)) -ge $((4 << 20)) ]
		[ "$(stat -c %s "$T/small/p.falloc")" -lt $((1 << 20)) ]
		run_threads 1000
		$fa stop p
		[ $(($(stat -c %b "$T/small/p.falloc") * 512)) -le $((1 << 20)) ]
		report "$T/small/p.falloc"
		sound
		same "$(value "j['events']['alloc'] >= 4000")" true
		rm "$T/small/p.falloc"
	done
	refused 'too little\|less space' -o "$T/small/p.falloc" --preallocate --max-file-size 16M
	[ ! -e "$T/small/p.falloc" ]
	umount "$T/small"
}
it 28.10 "preallocate: MaximumFileSize is reserved or the session is refused; the rest is given back" preallocate

mixes() {
	refused 'circular needs a MaximumFileSize' --mode circular -o "$T/x"
	refused 'circular needs a MaximumFileSize' --mode circular --max-file-size 512K -o "$T/x"
	refused 'preallocation needs a MaximumFileSize' --preallocate -o "$T/x"
	refused 'not preallocated' --mode append --preallocate --max-file-size 1M -o "$T/x"
	refused 'preallocation is of a file' --mode buffering --preallocate
	refused 'MaximumFileSize is of a file' --mode buffering --max-file-size 1M
	refused 'has no file' --mode buffering -o "$T/x"
	refused '1 MB to 1 GB' --mode buffering --ring-size 64K
	refused 'for --mode buffering' --ring-size 1M
	mkfifo "$T/pipe"
	cat "$T/pipe" >/dev/null &
	refused 'a pipe takes a sequential' --mode circular --max-file-size 1M -o "$T/pipe"
	[ ! -e "$T/x" ]
}
it 28.11 "mixes that make no sense are refused with the reason, and leave no file" mixes

autologgers() {
	kill "$(cat "$R/run/firstalloc/firstallocd.pid")"
	wait_for 5 test ! -e "$R/run/firstalloc/control"
	cat >"$R/etc/firstalloc/firstalloc.ini" <<-INI
	[Autologger ring]
	Start = 1
	LogFileMode = circular, preallocate
	MaxFileSize = 2
	MinFree = 1
	[Autologger memory]
	Start = 1
	LogFileMode = buffering
	MinimumBuffers = 32
	[Autologger wrong]
	Start = 1
	LogFileMode = circular
	INI
	"$B/firstallocd" --root "$R"
	same "$($fa status --json | json /dev/stdin "sorted((s['name'], s['mode']) for s in j['sessions'])")" "[('memory', 'buffering'), ('ring', 'circular')]"
	grep -q 'circular needs' "$R/var/lib/firstalloc/autologger/wrong.status"
	$fa autologger show ring | grep -q 'LogFileMode = circular, preallocate'
	run_threads 1000
	kill_collector
	run_threads 1000
	$fa save memory -o "$T/memory.falloc"
	$fa stop --all
	for f in "$T/memory.falloc" "$R/var/log/firstalloc/ring.falloc"; do
		report "$f"
		sound
		same "$(value "(len(j['processes']), j['events']['alloc'] >= 8000)")" "(2, True)"
	done
}
it 28.12 "autologgers: circular and buffering, and what is wrong is told" autologgers

query() {
	rm -f "$T/q.falloc"
	begin q -o "$T/q.falloc" --max-file-size 1M --buffer-size 1M --flush-timer 2s
	noisy
	recorded() { $fa query q --json >"$T/q.json" && same "$(json "$T/q.json" "j['BuffersWritten'] > 1 and j['events'] > 1000 and len(j['processes']) == 1")" true; }
	wait_for 20 recorded
	same "$(json "$T/q.json" "(j['BufferSize'], j['FlushTimer'], j['MaximumFileSize'], j['LogFileMode'])")" "({'requested': 1024, 'effective': 64}, {'requested': 2, 'effective': 2}, 1, 'sequential')"
	same "$(json "$T/q.json" "(j['EventsLost'], j['LogBuffersLost'], j['lost_by_cause'], j['remedies'])")" "(0, 0, {}, [])"
	same "$(json "$T/q.json" "j['NumberOfBuffers'] > j['FreeBuffers'] > 0")" true
	same "$(json "$T/q.json" "[(p['image'], p['events'] > 0, p['EventsLost']) for p in j['processes']]")" "[('noisy', True, 0)]"
	$fa query q >"$T/o"
	grep -q 'BufferSize  *64 KB (asked for: 1,024 KB)' "$T/o"
	grep -q 'EventsLost  *0$' "$T/o"
	end_noisy
	$fa stop q
	rm "$T/q.falloc"
	$fa start q -o "$T/q.falloc" --min-free 0 --buffer-size 2M
	same "$($fa query q --json | json /dev/stdin "(j['BufferSize'], j['MaximumBuffers'], j['NumberOfBuffers'])")" "({'requested': 2048, 'effective': 1024}, {'requested': None, 'effective': None}, 0)"
	$fa stop q
	! $fa query q 2>"$T/e" || return 1
	grep -q "no session called 'q'" "$T/e"
}
it 28.13 "query: ETW's counters, of the session and its processes; what was asked for and what holds" query

# The collector does not read for a second, until the keeper replaces it, and the program does not wait.
count_loss() {
	rm -f "$T/l.falloc" "$T/stop" "$T/own.falloc"
	touch "$T/stop"
	read -r rounds slowest < <("$FA" run -o "$T/own.falloc" -- "$P/steady" 8 "$T/stop")
	rm -f "$T/stop"
	report "$T/own.falloc"
	own=$(value "j['events']['alloc'] + j['events']['free'] - 2 * $rounds") # beside the rounds
	$fa enable steady --starts 1000 >/dev/null
	begin l -o "$T/l.falloc" --policy count
	rm -f "$T/stop"
	echo "$lib" >/etc/ld.so.preload
	"$P/steady" 8 "$T/stop" >"$T/steady" & program=$!
	here() { $fa query l --json >"$T/q.json" && same "$(json "$T/q.json" "[p['events'] > 0 for p in j['processes']]")" "[True]"; }
	wait_for 20 here
	rm -f /etc/ld.so.preload
	for _ in $(seq 10); do
		pid=$(part collector)
		kill -STOP "$pid"
		wait_for 20 replaced "$pid"
		wait_for 20 here
		[ "$(json "$T/q.json" "j['EventsLost']")" = 0 ] || break
	done
	touch "$T/stop"
	wait $program
	read -r rounds slowest <"$T/steady"
	same "$(json "$T/q.json" "j['EventsLost'] == sum(j['lost_by_cause'].values()) > 0")" true
	same "$(json "$T/q.json" "[list(j['lost_by_cause']), len(j['remedies'])]")" "[['no-buffer'], 1]"
	$fa stop l
	"$FA" report --json --tolerate-lost "$T/l.falloc" >"$T/r.json"
	same "$(value "j['events']['alloc'] + j['events']['free'] + j['lost'] - 2 * $rounds")" "$own"
	! grep -q 'newer version' "$T/r.json" || return 1
}
it 28.14 "policy count: what the program produced = what is in the trace + what was lost, by its cause" count_loss
results
