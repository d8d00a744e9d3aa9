#!/bin/bash
# 42 - counters of threads, sizes of buffers, filters of readers.
#
#   42.1-42.3  events and losses of each thread: what it made is what is in the trace and what is counted as lost
#   42.4-42.5, 42.8  a reader's filters are firstallocd's work
#   42.6-42.7  MinimumBuffers and MaximumBuffers, asked for and held; names of sessions
#
# tests/programs/losers counts the calls of each of its threads in a file, so that the sums can be made after a SIGKILL,
# too. Events are lost because the trace's disk is slow (FA_FAULT) and buffers are few. Needs root.
OWN_PIDS=yes # whoever is flagged on this machine is woken
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 42 "counters"
lib=$T/m/libfirstalloc_preload.so
W=$T/m/w2
mkdir -m 777 "$W"
part() { $fa status --json >"$T/st.json" && json "$T/st.json" "j['daemon']['$1'] or 0"; }
replaced() { local now; now=$(part collector); [ "$now" != 0 ] && [ "$now" != "$1" ]; }
kill_collector() { local pid; pid=$(part collector); kill -9 "$pid"; wait_for 5 replaced "$pid"; }
# A daemon whose writes to traces take 5 ms each
slow_daemon() {
	kill "$(cat "$R/run/firstalloc/firstallocd.pid" 2>/dev/null)" 2>/dev/null || true
	wait_for 20 test ! -e "$R/run/firstalloc/control"
	FA_FAULT="3 -5 .falloc" "$B/tests/faults/firstallocd" --root "$R"
}
# So many that a thread's events do not fit the 2 MB of an arena: each loses some, in whatever order they run.
many=250000
# start options of losers, policy count: $program is its PID, its input ends with `release`
start() {
	rm -f "$W"/*
	mkfifo "$W/in"
	$fa enable losers --starts 100 >/dev/null
	$fa start s -o "$W/s.falloc" --min-free 0 --policy count --buffer-size 8K --maximum-buffers 32 >/dev/null
	echo "$lib" >/etc/ld.so.preload
	"$P/losers" "$W/counts" "$@" <"$W/in" >"$W/out" & program=$!
	exec 7>"$W/in"
	wait_for 20 executes $program "$P/losers"
	rm -f /etc/ld.so.preload
}
ends() { exec 7>&-; wait $program; }
# sums FILE KEY: of each thread that losers counted, (calls, in the trace or recorded, lost, lost by cause), from the
# JSON of query or of report --view threads; and one line: all that is not as it has to be
sums() {
	python3 - "$W/counts" "$1" "$2" "${3:-exact}" <<'PY'
import json, struct, sys
raw = open(sys.argv[1], 'rb').read()
made = {}
for at in range(0, len(raw), 24):
    tid, begun, returned = struct.unpack_from('<QQQ', raw, at)
    made[tid] = (begun, returned)
j = json.load(open(sys.argv[2]))
key, exact = sys.argv[3], sys.argv[4] == 'exact'
rows = j['threads'] if 'threads' in j else [t for p in j['processes'] for t in p['threads']]
rows = {t['tid']: t for t in rows}
wrong, lost_all, losers = [], 0, 0
for tid, (begun, returned) in made.items():
    t = rows.get(tid)
    if t is None:
        wrong.append(f'{tid}: {begun} calls, and not told')
        continue
    lost = t[key]
    n = t['events'] + lost
    lost_all += lost
    losers += lost > 0
    if sum(t['lost_by_cause'].values()) != lost:
        wrong.append(f'{tid}: {lost} lost, by cause {t["lost_by_cause"]}')
    if not (returned <= n <= begun) or (exact and returned != begun):
        wrong.append(f'{tid}: {returned} to {begun} calls, {t["events"]} recorded + {lost} lost = {n}')
    if not t['name'].startswith('loser-'):
        wrong.append(f'{tid}: is called {t["name"]}')
if lost_all == 0 or losers < 2:
    wrong.append('nothing was lost: nothing was tried')
print(len(made), 'threads', 'right' if not wrong else wrong)
PY
}
report() { "$FA" report --json --tolerate-lost --view threads "$W/s.falloc" >"$T/r.json"; }
are_right() { $fa query s --json >"$T/q.json" && [ "$(sums "$T/q.json" EventsLost)" = "4 threads right" ]; }
is_done() { grep -q done "$W/out"; }
# The same from C
from_c() {
	FA_LIB=$B/libfirstalloc.so.0 ROOT=$R python3 - "$T/q.json" <<'PY'
import ctypes, json, os, sys
class Counters(ctypes.Structure):
    _fields_ = [('size', ctypes.c_uint32), ('thread', ctypes.c_uint32), ('pid', ctypes.c_int32), ('tid', ctypes.c_int32)] + \
        [(k, ctypes.c_uint64) for k in ('events', 'lost', 'no_buffer', 'nested', 'damaged')] + [('name', ctypes.c_char * 16)]
lib = ctypes.CDLL(os.environ['FA_LIB'])
lib.fa_set_root(os.environ['ROOT'].encode())
n, few = ctypes.c_uint32(), (Counters * 1)()
few[0].size = ctypes.sizeof(Counters)
assert lib.fa_query_threads(ctypes.c_uint64(0), b's', few, 1, ctypes.byref(n)) == 0 and n.value == 5, n.value
row = (Counters * n.value)()
row[0].size = ctypes.sizeof(Counters)
assert lib.fa_query_threads(ctypes.c_uint64(0), b's', row, n, ctypes.byref(n)) == 0
row[0].size = 8
assert lib.fa_query_threads(ctypes.c_uint64(0), b's', row, n, ctypes.byref(n)) == 2
assert lib.fa_query_threads(ctypes.c_uint64(0), b'none', None, 0, ctypes.byref(n)) == 9
want = {(p['pid'], t['tid']): (t['thread'], t['events'], t['EventsLost'], t['lost_by_cause'].get('no-buffer', 0), t['name'])
        for p in json.load(open(sys.argv[1]))['processes'] for t in p['threads']}
got = {(c.pid, c.tid): (c.thread, c.events, c.lost, c.no_buffer, c.name.decode()) for c in row}
print('the same' if got == want else (got, want))
PY
}

# The trace has its end, what was lost is known, and is the sum of the threads' losses.
whole() {
	"$FA" report --json --tolerate-lost "$W/s.falloc" >"$T/w.json"
	same "$(json "$T/w.json" "(j['session']['ended'], j['lost_unknown'], j['lost'])")" \
		"(True, False, $(json "$T/r.json" "sum(t['lost'] for t in j['threads'])"))"
}

by_thread() {
	slow_daemon
	start 4 $many
	wait_for 60 is_done
	wait_for 20 are_right || { sums "$T/q.json" EventsLost; return 1; }
	same "$(from_c)" "the same"
	$fa query s >"$T/text"
	same "$(grep -c 'thread .* lost (no-buffer: .*loser-[0-3]$' "$T/text")" 4
	$fa status --threads | grep -c 'thread .*loser-[0-3]$' | grep -qx 4
	! $fa status | grep -q loser- || return 1
	ends
	$fa stop s
	report
	same "$(sums "$T/r.json" lost)" "4 threads right"
	same "$("$FA" dump --records thread_lost --json "$W/s.falloc" | python3 -c 'import json,sys; print(sum(json.loads(l)["count"] for l in sys.stdin))')" \
		"$(json "$T/r.json" "sum(t['lost'] for t in j['threads'])")"
	whole
	"$FA" report --tolerate-lost --view threads "$W/s.falloc" | grep -c 'loser-' | grep -qx 4
}
it 42.1 "each thread: calls = recorded + lost, by cause, in query, status, the library, the file, dump and report" by_thread

loses() { $fa query s --json >"$T/q.json" && [ "$(json "$T/q.json" "sum(t['EventsLost'] > 0 for p in j['processes'] for t in p['threads']) >= 4")" = true ]; }
target_killed() {
	slow_daemon
	start 4 0
	wait_for 60 loses
	kill -9 $program
	ends || true
	$fa stop s
	report
	same "$(sums "$T/r.json" lost killed)" "4 threads right"
	whole
}
it 42.2 "the same of a program that was killed by SIGKILL" target_killed

collector_killed() {
	slow_daemon
	start 4 $many
	wait_for 60 loses
	kill_collector
	wait_for 60 is_done
	kill_collector
	wait_for 20 are_right || { sums "$T/q.json" EventsLost; return 1; }
	ends
	$fa stop s
	report
	same "$(sums "$T/r.json" lost)" "4 threads right"
	whole
}
it 42.3 "the same when the collector is killed while events are lost" collector_killed

# --- readers ---
readers() { $fa query r --json >"$T/q.json" && same "$(json "$T/q.json" "len(j['consumers'])")" "$1"; }
# What a tail gave, and what of the trace it has to have given: kinds of events, as a Python set; a condition on (pid, image,
# size); in the order of each thread
narrow() {
	python3 - "$1" "$2" "$3" "$4" <<'PY'
import json, sys
def heap(path, key):
    threads, image, size = {}, {}, []
    for line in open(path):
        j = json.loads(line)
        kind = j[key]
        if kind == 'process':
            image[j.get('process') or j['id']] = (j['pid'], j.get('image') or j['exe'].split('/')[-1])
        if kind not in ('alloc', 'realloc', 'free'):
            continue
        pid, name = (j['pid'], j['image']) if 'image' in j else image[j['process']]
        address = j.get('address') or j.get('addr') or j.get('new')
        threads.setdefault((pid, j.get('tid') or j.get('thread')), []).append((kind, address, j.get('size'), name))
    return threads
kinds, condition = eval(sys.argv[3]), sys.argv[4]
want = {}
for (pid, thread), events in heap(sys.argv[1], 'record').items():
    kept = [e for e in events if e[0] in kinds and eval(condition, {'pid': pid, 'image': e[3], 'size': e[2]})]
    if kept:
        want[(pid, len(want))] = kept
got = heap(sys.argv[2], 'event')
a, b = sorted(map(str, want.values())), sorted(map(str, got.values()))
print(sum(map(len, want.values())), 'events', 'right' if a == b and a else f'wrong: {sum(map(len, got.values()))} given')
PY
}
# tails: one without a filter and four with, of a session of two programs
filtered() {
	local n=0 all
	rm -f "$W"/*
	for image in threads known; do $fa enable $image --starts 100 >/dev/null; done
	$fa start r -o "$W/r.falloc" --min-free 0 >/dev/null
	for options in "" "--image known" "--events alloc,realloc" "--size 100,1K --events alloc,free" "--events mark" "--events free"; do
		# shellcheck disable=SC2086
		"$FA" --root "$R" tail r --json --for 60s $options >"$W/tail.$n" & pids[n]=$!
		n=$((n + 1))
	done
	wait_for 10 readers 6
	echo "$lib" >/etc/ld.so.preload
	"$P/threads" 4 3000
	"$P/known" >/dev/null
	rm -f /etc/ld.so.preload
	$fa mark here
	all=0
	read_all() { $fa query r --json >"$T/q.json" && same "$(json "$T/q.json" "[c['queued_bytes'] for c in j['consumers']]")" "[0, 0, 0, 0, 0, 0]"; }
	wait_for 20 read_all
	all=$(json "$T/q.json" "j['events']")
	same "$(json "$T/q.json" "[c['events'] + c['events_unwanted'] for c in j['consumers']]")" "[$all, $all, $all, $all, $all, $all]"
	same "$(json "$T/q.json" "sorted(c['events_unwanted'] for c in j['consumers'])[0]")" 0
	same "$(json "$T/q.json" "sorted(c['events'] for c in j['consumers'])[0]")" 0
	$fa stop r
	wait "${pids[@]}"
	"$FA" dump --json "$W/r.falloc" >"$T/dump"
	for claim in "0 {'alloc','realloc','free'} True" "1 {'alloc','realloc','free'} image=='known'" "2 {'alloc','realloc'} True" \
		"3 {'alloc'} 100<=size<1024" "5 {'free'} True"; do
		# shellcheck disable=SC2086
		set -- $claim
		[[ "$(narrow "$T/dump" "$W/tail.$1" "$2" "$3")" = *right ]] || { echo "$claim"; narrow "$T/dump" "$W/tail.$1" "$2" "$3"; return 1; }
	done
	same "$(grep -c . "$W/tail.4") $(grep -c '"text": "here"' "$W/tail.4")" "1 1"
}
it 42.4 "tail --image, --events, --size: what firstallocd leaves out is what was not asked for, and all else comes" filtered

# A reader that is stopped while millions of events pass: of those that it asked for, few, none is lost.
busy() {
	rm -f "$W"/*
	$fa enable threads --starts 100 >/dev/null
	$fa enable known --starts 100 >/dev/null
	$fa start r --real-time --min-free 0 >/dev/null
	"$FA" --root "$R" tail r --json --for 60s --image known >"$W/narrow" & narrow=$!
	"$FA" --root "$R" tail r --json --for 60s >"$W/all" & all=$!
	wait_for 10 readers 2
	kill -STOP $narrow $all
	echo "$lib" >/etc/ld.so.preload
	"$P/known" >/dev/null
	"$P/threads" 4 700000
	"$P/known" >/dev/null
	rm -f /etc/ld.so.preload
	$fa query r --json >"$T/q.json"
	same "$(json "$T/q.json" "[c['events_lost'] > 1000 for c in j['consumers'] if c['pid'] == $all]")" "[True]"
	same "$(json "$T/q.json" "[(c['events_lost'], c['RealTimeBuffersLost'], c['events'] > 0) for c in j['consumers'] if c['pid'] == $narrow]")" "[(0, 0, True)]"
	same "$(json "$T/q.json" "j['RealTimeBuffersLost'] - sum(c['RealTimeBuffersLost'] for c in j['consumers'])")" 0
	given=$(json "$T/q.json" "[c['events'] for c in j['consumers'] if c['pid'] == $narrow][0]")
	kill -CONT $narrow $all
	caught_up() { $fa query r --json >"$T/q.json" && same "$(json "$T/q.json" "[c['queued_bytes'] for c in j['consumers'] if c['pid'] == $narrow]")" "[0]"; }
	wait_for 20 caught_up
	kill -9 $all
	$fa stop r >/dev/null
	wait $narrow
	same "$(grep -cE '"event": "(alloc|realloc|free)"' "$W/narrow")" "$given"
	! grep -q '"event": "lost"' "$W/narrow" || return 1
}
it 42.5 "a reader that asks for little of a busy session and does not read loses nothing; who asks for all does, counted" busy

# --- sizes ---
pair() { json "$T/q.json" "tuple((j[k]['requested'], j[k]['effective']) for k in ('BufferSize', 'MinimumBuffers', 'MaximumBuffers', 'FlushTimer'))"; }
has_buffers() { $fa query b --json >"$T/q.json" && [ "$(json "$T/q.json" "j['NumberOfBuffers']")" -ge "$1" ]; }
# An arena has 2 MB, then 4, 8, 16, ...: that is 16 of 128 KB, and so on.
sizes() {
	rm -f "$W"/*
	mkfifo "$W/in"
	$fa enable losers --starts 100 >/dev/null
	$fa start b -o "$W/b.falloc" --min-free 0 --buffer-size 128K --minimum-buffers 60 --maximum-buffers 200 --flush-timer 3 >/dev/null
	$fa query b --json >"$T/q.json"
	same "$(pair)" "((128, 128), (60, 64), (200, 128), (3, 3))"
	same "$(json "$T/q.json" "j['NumberOfBuffers']")" 0
	echo "$lib" >/etc/ld.so.preload
	"$P/losers" "$W/counts" 1 10 <"$W/in" >"$W/out" & program=$!
	exec 7>"$W/in"
	wait_for 20 is_done
	rm -f /etc/ld.so.preload
	wait_for 20 has_buffers 250 # of 16 KB: in 8 MB, with stacks and modules. In 2 MB fewer than 80
	$fa update b --max-buffers 80 >/dev/null
	$fa query b --json >"$T/q.json"
	same "$(pair)" "((128, 128), (60, 64), (80, 64), (3, 3))"
	ends
	$fa stop b
	"$FA" dump --records session --json "$W/b.falloc" >"$T/s"
	same "$(json "$T/s" "[j[p + k] for k in ('buffer_size', 'minimum_buffers', 'maximum_buffers', 'flush_timer') for p in ('requested_', '')]")" \
		"[131072, 131072, 60, 64, 200, 128, 3, 3]"
}
it 42.6 "MinimumBuffers are a program's from its attach on; what was asked for and what holds stand in query and in the file" sizes

names() {
	rm -f "$W"/*
	$fa start Nightly -o "$W/n.falloc" --min-free 0 >/dev/null
	! $fa start nightLY -o "$W/m.falloc" --min-free 0 2>"$T/e" || return 1
	grep -q 'there already' "$T/e"
	same "$($fa query NIGHTLY --json | json /dev/stdin "j['name']")" Nightly
	! $fa query nightl 2>/dev/null || return 1
	$fa stop nightly
	! $fa query Nightly 2>/dev/null || return 1
}
it 42.7 "names of sessions: capital or small letters make no other session" names

# What is beside the heap is filtered by process and kind as well.
beside() {
	rm -f "$W"/*
	$fa enable spaces --flags vm --starts 100 >/dev/null
	$fa start r --real-time --min-free 0 >/dev/null
	local n=0
	for options in "" "--image spaces --events space" "--events alloc" "--image known"; do
		# shellcheck disable=SC2086
		"$FA" --root "$R" tail r --json --for 60s $options >"$W/tail.$n" & pids[n]=$!
		n=$((n + 1))
	done
	wait_for 10 readers 4
	echo "$lib" >/etc/ld.so.preload
	"$P/spaces" >/dev/null
	rm -f /etc/ld.so.preload
	$fa stop r
	wait "${pids[@]}"
	calls() { grep -c '"event": "space"' "$W/tail.$1" || true; }
	[ "$(calls 0)" -gt 0 ]
	same "$(calls 1) $(calls 2) $(calls 3)" "$(calls 0) 0 0"
}
it 42.8 "the same of what is beside the heap" beside
results
