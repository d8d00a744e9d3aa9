#!/bin/bash
# 42 - counters of threads, sizes of buffers, filters of readers.
#
#   42.1-42.4  events and losses of each thread: what it made is what is in the trace and what is counted as lost
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
results
