#!/bin/bash
# 35 - sessions that are changed while they run, that switch files, that are many.
#
# tests/programs/live (live.sh) does what it is told and says when it has done it, so that nothing here waits for a
# time. Needs root.
#   35.1-35.8    update: stacks, PIDs, timer and buffers; what the trace says of it; rights; a killed collector; from C
#   35.9-35.15   another file by update; newfile mode
#   35.18-35.20  any order of flag and session (ORDERS: so many steps); 8 sessions of one process; 64 at once
#   35.21-35.23  packed when it is stopped
#   35.16-35.17  a burst into a slow disk; BURST: pairs of each of two threads, for tests/long
OWN_PIDS=yes # whoever is flagged on this machine is woken
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 35 "sessions that change"
. "$(dirname "$0")/live.sh"
start() { rm -f "$W/$1".*falloc; $fa start "$1" -o "$W/$1.falloc" --min-free 0 "${@:2}"; }
attached() { # NAME by name of launch: it is in a session, and has an arena
	tell "$1" "alloc 1"
	wait_for 10 is_traced "$(pid "$1")"
}
# (with a stack, without) of each kind of event: FILE
stacks_of() {
	"$FA" dump --json "$1" >"$T/dump"
	python3 - "$T/dump" <<'PY'
import json, sys
n = {k: [0, 0] for k in ('alloc', 'realloc', 'free')}
for line in open(sys.argv[1], errors='replace'):
    j = json.loads(line)
    if j['record'] in n:
        n[j['record']][0 if j.get('stack') else 1] += 1
print(*(f'{k} {a}+{b}' for k, (a, b) in n.items()))
PY
}
part() { $fa status --json >"$T/st.json" && json "$T/st.json" "j['daemon']['$1'] or 0"; }
replaced() { local now; now=$(part collector); [ "$now" != 0 ] && [ "$now" != "$1" ]; }
kill_collector() { local pid; pid=$(part collector); kill -9 "$pid"; wait_for 5 replaced "$pid"; }
query() { $fa query "$1" --json >"$T/q.json"; json "$T/q.json" "$2"; }
sound() { same "$(report "$1" "(j['session']['ended'], j['warnings'], j['lost'])")" "(True, [], 0)"; }

stacks() {
	launch a "$T/m/live"
	start s --pid "$(pid a)" >/dev/null
	attached a
	tell a "alloc 19"
	$fa update s --stacks none
	tell a "alloc 30"
	tell a "free 5"
	$fa update s --stacks all
	tell a "alloc 40" # as the first: a thread's first free after a change may be without
	tell a "free 7"
	$fa update s --stacks realloc
	tell a "grow"
	tell a "alloc 11"
	$fa update s --stacks rule
	tell a "alloc 10"
	tell a "free 3"
	$fa stop s
	same "$(stacks_of "$W/s.falloc")" "alloc 70+41 realloc 1+0 free 7+8"
	sound s
	finish a
}
it 35.1 "update: the events that carry stacks, from the next heap call on, also of frees, and back" stacks

begun_with() {
	launch a "$T/m/live"
	start s --pid "$(pid a)" --stacks free >/dev/null
	attached a
	$fa update s --flush-timer 2s # as each change, it tells the program what holds
	tell a "alloc 6"
	tell a "free 4"
	$fa stop s
	same "$(stacks_of "$W/s.falloc" | tr ' ' '\n' | tail -n 1)" "4+0"
	same "$(stacks_of "$W/s.falloc" | grep -c 'alloc [01]+[67] ')" 1
	# the next session goes by the rule again
	start s --pid "$(pid a)" >/dev/null
	attached a
	tell a "alloc 6"
	tell a "free 4"
	$fa stop s
	same "$(stacks_of "$W/s.falloc")" "alloc 7+0 realloc 0+0 free 0+4"
	finish a
}
it 35.2 "start --stacks: the same from the beginning; nothing of it is left for the next session" begun_with

pids() {
	launch a "$T/m/live"
	launch b "$T/m/live"
	start s --pid "$(pid a)" >/dev/null
	attached a
	tell a "alloc 9"
	$fa update s --pid "$(pid b)" >"$T/o"
	cat "$T/o"
	grep -q "pid $(pid b) (live): attached, from its next heap call on" "$T/o"
	grep -q '1 process left' "$T/o"
	tell a "alloc 100"
	attached b
	tell b "alloc 19"
	$fa update s --pid "$(pid a),$(pid b)"
	attached a
	tell b "alloc 5"
	$fa update s --pid 0 # nobody is flagged
	tell a "alloc 100"
	tell b "alloc 100"
	$fa stop s
	same "$(report s "[(p['pid'], p['events']) for p in j['processes']]")" "[($(pid a), 10), ($(pid b), 25), ($(pid a), 1)]"
	sound s
	finish a
	finish b
}
it 35.3 "update --pid: the new ones are in it, the old ones are not, and who comes back is another process" pids

sleeping() {
	launch a "$T/m/live"
	launch b "$T/m/live"
	start s --pid "$(pid a),$(pid b)" >/dev/null # both sleep
	$fa update s --pid "$(pid b)"
	tell a "alloc 50"
	attached b
	# a's order was obeyed, and what it made was refused: that it is over is seen at one of its next calls
	is_out() { tell a "alloc 1"; $fa status --json --pid "$(pid a)" >"$T/st.json"; ! grep -q '"reason": "TRACED"' "$T/st.json"; }
	wait_for 10 is_out
	$fa stop s
	same "$(report s "[(p['pid'], p['events']) for p in j['processes']]")" "[($(pid b), 1)]"
	finish a
	finish b
}
it 35.4 "who was named and had not made a call when the PIDs were replaced is not in it when it does" sleeping

shared() {
	launch a "$T/m/live"
	start s --pid "$(pid a)" >/dev/null
	start both --pid "$(pid a)" >/dev/null
	attached a
	launch b "$T/m/live"
	$fa update s --pid "$(pid b)"
	tell a "alloc 20"
	tell a "free 4"
	$fa update s --pid "$(pid a)"
	tell a "alloc 7"
	tell a "free 2"
	$fa stop s
	$fa stop both
	same "$(report s "[(p['pid'], p['events'], p['incomplete']) for p in j['processes']]")" \
		"[($(pid a), 1, True), ($(pid a), 9, True)]"
	sound s
	same "$(report both "[(p['pid'], p['events']) for p in j['processes']]")" "[($(pid a), 34)]"
	sound both
	finish a
	finish b
}
it 35.5 "who another session goes on to trace leaves and comes back: what it did meanwhile is in the other's trace only" shared

said() {
	launch a "$T/m/live"
	start s --pid "$(pid a)" >/dev/null
	attached a
	$fa update s --flush-timer 3s --max-buffers 4096
	same "$(query s "(j['FlushTimer'], j['MaximumBuffers'])")" \
		"({'requested': 3, 'effective': 3}, {'requested': 4096, 'effective': 4096})"
	kill_collector
	same "$(query s "(j['FlushTimer']['effective'], j['MaximumBuffers']['effective'])")" "(3, 4096)"
	$fa update s --max-buffers 0 --stacks none
	same "$(query s "(j['FlushTimer']['effective'], j['MaximumBuffers']['effective'])")" "(3, None)"
	$fa update s --pid 0
	$fa stop s
	same "$(report s "[c['text'] for c in j['session']['changes']]")" \
		"['FlushTimer 3 s; MaximumBuffers 4096', 'MaximumBuffers 0; stacks: none', 'PIDs replaced: 1 left, 0 flagged joined']"
	"$FA" report "$W/s.falloc" >"$T/o"
	grep -q '^changed at .*s: FlushTimer 3 s; MaximumBuffers 4096' "$T/o"
	"$FA" dump "$W/s.falloc" | grep ' update ' >"$T/o"
	grep -q 'changes=0x3 flush_timer=3 maximum_buffers=4096' "$T/o"
	same "$(wc -l <"$T/o")" 3
	finish a
}
it 35.6 "FlushTimer and MaximumBuffers change, a successor of a killed collector knows; trace, report and dump say it" said

refused() { # exit status, text, arguments of update
	local status=0
	$fa update "${@:3}" >"$T/o" 2>"$T/e" || status=$?
	cat "$T/o" "$T/e"
	same $status "$1"
	grep -q "$2" "$T/e"
}
refusals() {
	launch a as $ALICE "$T/m/live"
	refused 5 "no session called 's'" s --flush-timer 2s
	rm -f "$W/s.falloc"
	as $ALICE $fa start s -o "$W/s.falloc" --min-free 0 --pid "$(pid a)" >/dev/null
	attached a
	as $BOB $fa update s --flush-timer 2s >"$T/o" 2>&1 && return 1
	grep -q "no session called 's' of yours" "$T/o"
	refused 2 'what is to be changed' s
	refused 2 'not made of' s --stacks everything
	refused 2 'no number of a process' s --pid x
	refused 1 'FlushTimer is out of its range' s --flush-timer 3601s
	refused 1 'the session is as it was' s --pid 4194000
	launch b as $BOB "$T/m/live"
	as $ALICE $fa update s --pid "$(pid b)" >"$T/o" 2>&1 && return 1
	grep -q 'not permitted' "$T/o"
	$fa update s --flush-timer 2s # root
	tell a "alloc 3"
	as $ALICE $fa stop s
	refused 5 "no session called 's'" s --flush-timer 2s
	same "$(report s "[(p['pid'], p['events']) for p in j['processes']]")" "[($(pid a), 4)]"
	finish a
	finish b
}
it 35.7 "refused with the reason, and nothing has changed; who may: the session's user and root" refusals

gcc -I"$SRC/include" "$SRC/tests/spec/api_calls.c" -L"$B" -lfirstalloc -lpthread -o "$T/calls"
export LD_LIBRARY_PATH=$B
call() { local want=$1; shift; "$T/calls" "$R" "$@" >"$T/o" 2>"$T/e" || true; cat "$T/o" "$T/e"; same "$(head -n 1 "$T/o")" "$want"; }
from_c() {
	launch a "$T/m/live"
	launch b "$T/m/live"
	rm -f "$W/c.falloc"
	call OK start c "$W/c.falloc" pid="$(pid a)"
	attached a
	call OK update c pid="$(pid b)" pid=4194000 timer=4 maximum=640 odd=3
	grep -q ' attached 1 failed 1' "$T/o"
	grep -q ' effective: .* maximum 512 .* timer 4 ' "$T/o" # 2 + 2 + 4 + 8 + 16 MB of 40
	tell a "alloc 5"
	attached b
	call OK update c free=1 # and no other
	tell b "alloc 8"
	tell b "free 3"
	call NO_SUCH_PROCESS update c pid=4194000
	call INVALID_PARAMETER update c ids=257
	call NO_SUCH_SESSION update d
	tell b "alloc 2"
	call OK stop c
	same "$(report c "[(p['pid'], p['events']) for p in j['processes']]")" "[($(pid a), 1), ($(pid b), 14)]"
	same "$(stacks_of "$W/c.falloc")" "alloc 2+10 realloc 0+0 free 3+0"
	finish a
	finish b
}
it 35.8 "fa_update_heap_trace(): PIDs, properties, event ids, by name; errors leave it as it was" from_c

# --- files ---

# Each stream goes on from file to file without gap or overlap; events in all files as their ENDs say: FILES
whole() {
	for file in "$@"; do "$FA" dump --json --no-events "$file"; done >"$T/dump"
	python3 - "$T/dump" <<'PY'
import json, sys
at, n, ends, defined = {}, 0, [], set()
for line in open(sys.argv[1], errors='replace'):
    j = json.loads(line)
    if j['record'] == 'machine': defined = set() # of this file alone
    if j['record'] == 'process': defined.add((j['process'], None))
    if j['record'] == 'end': ends.append((j['events'], j['lost'], j['reason']))
    if j['record'] != 'events':
        continue
    n += 1
    key, here = (j['process'], j['thread']), (j['buffer'], j['offset'])
    assert (j['process'], None) in defined, j
    if key in at:
        seq, end = at[key]
        assert here == (seq, end) or here == (seq + 1, 0), (key, here, at[key])
    at[key] = (here[0], here[1] + j['bytes'])
assert n > 0
print(ends)
PY
}
other_file() {
	launch a "$T/m/live"
	start s --pid "$(pid a)" >/dev/null
	attached a
	tell a "alloc 99"
	rm -f "$W/two.falloc"
	$fa update s -o "$W/two.falloc" --flush-timer 2s
	same "$(query s "(j['file'], j['files_begun'], j['events'])")" "('$W/two.falloc', 2, 100)"
	# the first is finished while the session goes on
	same "$(report s "(j['session']['ended'], j['warnings'], j['events']['alloc'], j['outstanding']['blocks'])")" "(True, [], 100, 100)"
	tell a "free 40"
	tell a "alloc 50"
	$fa stop s >"$T/o"
	grep -q '190 events, 0 lost, 1 process' "$T/o"
	same "$(report two "$counts")" "(50, 0, 40, 40, 0, 0, 0)"
	sound two
	same "$(value_of two "[c['text'] for c in j['session']['changes']]")" "['FlushTimer 2 s; another file']"
	"$FA" report "$W/two.falloc" >"$T/o"
	grep -q 'obey  live.c' "$T/o" # modules and stacks are there
	same "$(whole "$W/s.falloc" "$W/two.falloc")" "[(100, 0, 'next-file'), (90, 0, 'stopped')]"
	refused 5 "no session called 's'" s -o "$W/three.falloc"
	[ ! -e "$W/three.falloc" ]
	finish a
}
value_of() { report "$1" "$2"; }
it 35.9 "update -o: the trace so far is a whole one, and so is the one in the new file" other_file

killed_between() {
	launch a "$T/m/live" -t 2
	start s --pid "$(pid a)" >/dev/null
	attached a
	for i in 1 2 3 4 5 6; do
		rm -f "$W/s$i.falloc"
		tell a "alloc 20"
		[ $((i % 2)) = 0 ] || kill_collector
		$fa update s -o "$W/s$i.falloc"
		tell a "free 5"
		[ $((i % 3)) = 0 ] || kill_collector
	done
	$fa stop s >"$T/o"
	grep -q ' 0 lost, 1 process' "$T/o"
	whole "$W"/s.falloc "$W"/s[1-6].falloc >"$T/ends"
	for i in "" 1 2 3 4 5 6; do
		sound "s$i"
		same "$(report "s$i" "j['unknown_frees'], j['implied_frees']")" "(0, 0)"
	done
	finish a
}
it 35.10 "kill -9 of the collector around it: each event is in one of the files, once" killed_between

refused_files() {
	start s >/dev/null
	: >"$W/there.falloc"
	refused 1 'exists' s -o "$W/there.falloc"
	refused 5 'No such file' s -o "$W/none/x.falloc"
	$fa start b --mode buffering >/dev/null
	refused 1 'has no file' b -o "$W/x.falloc"
	[ ! -e "$W/x.falloc" ]
	mkdir -p "$T/m/tiny"
	mount -t tmpfs -o size=4k tmpfs "$T/m/tiny"
	head -c 4096 /dev/zero >"$T/m/tiny/full" || true
	refused 1 'it goes on as before' s -o "$T/m/tiny/x.falloc"
	[ ! -e "$T/m/tiny/x.falloc" ]
	umount "$T/m/tiny"
	$fa stop b >/dev/null
	$fa stop s >/dev/null
	sound s
	same "$(report s "j['session']['changes']")" "[]"
}
it 35.11 "a file that is there, no folder, a ring, a full disk: refused, and it goes on as before" refused_files

# noisy in the background: its pairs of malloc and free go to all sessions
noisy() {
	rm -f "$T/stop"
	$fa enable noisy >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$P/noisy" 2 "$T/stop" >"$T/noisy" & program=$!
	wait_for 30 traced_now $program
	rm -f /etc/ld.so.preload
}
end_noisy() { touch "$T/stop"; wait $program; read -r rounds <"$T/noisy"; $fa disable noisy >/dev/null; }
begun() { [ "$(query "$1" "j['files_begun']")" -ge "$2" ]; }
parts() { ls "$W" | sed -n 's/^part-\([0-9]*\).falloc$/\1/p' | sort -n | tr '\n' ' '; }
# Each of them is sound; prints their allocs and the oldest at the front
parts_in_order() { # number of the last
	local last=$1 n
	n=$(parts | wc -w)
	for i in $(seq $((last + 1)) $((last + n))); do echo "$W/part-$(((i - 1) % n + 1)).falloc"; done
}

newfile() {
	rm -f "$W"/part-*
	$fa start n --mode newfile -o "$W/part-%d.falloc" --max-file-size 1M --min-free 0 >/dev/null
	same "$(parts)" "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 "
	noisy
	wait_for 60 begun n 4
	end_noisy
	last=$(query n "j['files_begun']")
	[ "$last" -le 16 ] || return 1 # else too fast for this claim
	$fa stop n >"$T/o"
	cat "$T/o"
	grep -q ' 0 lost, 1 process' "$T/o"
	same "$(parts | wc -w)" "$last" # the others are gone
	alloc=0
	for i in $(parts); do
		[ "$(stat -c %s "$W/part-$i.falloc")" -le $((1 << 20)) ]
		[ "$i" = "$last" ] || [ "$(stat -c %s "$W/part-$i.falloc")" -ge $((800 << 10)) ]
		sound "part-$i"
		alloc=$((alloc + $(value_of "part-$i" "j['events']['alloc']")))
		"$FA" report "$W/part-$i.falloc" | grep -q 'noisy.c' # complete: stacks and modules
	done
	same $((alloc >= rounds)) 1
	ends=$(whole $(parts | sed "s|\([0-9]*\) |$W/part-\1.falloc |g"))
	same "$(python3 -c "
e=$ends
assert [x[2] for x in e] == ['next-file'] * (len(e) - 1) + ['stopped'], e
print(sum(x[0] for x in e))")" "$(sed -n 's/.*stopped: \([0-9,]*\) events.*/\1/p' "$T/o" | tr -d ,)"
}
it 35.12 "newfile: each file below MaximumFileSize and complete, all together every event; unused ones are removed" newfile

wraps() {
	rm -f "$W"/part-*
	$fa start n --mode newfile -o "$W/part-%d.falloc" --file-max 3 --max-file-size 1M --min-free 0 >/dev/null
	noisy
	wait_for 60 begun n 3
	kill_collector
	wait_for 60 begun n 5
	kill_collector
	wait_for 60 begun n 7
	end_noisy
	last=$(query n "j['files_begun']")
	$fa stop n >"$T/o"
	grep -q ' 0 lost, 1 process' "$T/o"
	ls -l "$W"; cat "$T/o"
	same "$(parts)" "1 2 3 "
	for i in 1 2 3; do
		[ "$(stat -c %s "$W/part-$i.falloc")" -le $((1 << 20)) ]
		sound "part-$i"
	done
	whole $(parts_in_order "$last") >"$T/ends"
}
it 35.13 "newfile: behind the last the first is written again; kill -9 of the collector leaves no gap" wraps

newfile_refused() { # text options
	! $fa start bad --min-free 0 "${@:2}" >"$T/o" 2>"$T/e" || { $fa stop bad; return 1; }
	cat "$T/e"
	grep -q "$1" "$T/e"
}
newfile_refusals() {
	rm -f "$W"/part-*
	newfile_refused 'MaximumFileSize of at least 1 MB' --mode newfile -o "$W/part-%d.falloc"
	newfile_refused 'one %d in the name' --mode newfile --max-file-size 1M -o "$W/part.falloc"
	newfile_refused 'one %d in the name' --mode newfile --max-file-size 1M -o "$W/part-%d%s.falloc"
	newfile_refused '2 to 16' --mode newfile --max-file-size 1M --file-max 17 -o "$W/part-%d.falloc"
	newfile_refused 'is for --mode newfile' --file-max 3 -o "$W/part-%d.falloc"
	same "$(parts)" ""
	: >"$W/part-7.falloc"
	newfile_refused 'part-7.falloc exists' --mode newfile --max-file-size 1M -o "$W/part-%d.falloc"
	same "$(parts)" "7 "
	rm "$W/part-7.falloc"
	$fa start n --mode newfile -o "$W/part-%d.falloc" --max-file-size 1M --min-free 0 >/dev/null
	refused 1 'are given when it starts' n -o "$W/x.falloc"
	$fa start bad --mode newfile --max-file-size 1M -o "$W/part-%d.falloc" >"$T/o" 2>&1 && return 1
	same "$(parts | wc -w)" 16
	$fa stop n >/dev/null
	same "$(parts)" "1 "
}
it 35.14 "newfile: what makes no sense is refused with the reason, and leaves no file" newfile_refusals

files_from_c() {
	rm -f "$W"/part-* "$W"/[cd].falloc
	call OK start n "$W/part-%d.falloc" mode=8 size=1
	same "$(parts | wc -w)" 16
	call OK query n
	grep -q " file $W/part-1.falloc" "$T/o"
	call OK stop n
	same "$(parts)" "1 "
	call BAD_PATH start n "$W/part.falloc" mode=8 size=1
	call OK start c "$W/c.falloc"
	call OK update_to c "$W/d.falloc"
	grep -q " file $W/d.falloc" "$T/o"
	call OK update_to c "$W/d.falloc" # it is that
	: >"$W/e.falloc"
	call BAD_PATH update_to c "$W/e.falloc"
	call OK stop c
	sound c
	sound d
}
it 35.15 "the same from C: log_file_name with %d, and a new one by update" files_from_c

# --- a slow disk ---

# A daemon whose writes to traces take MS milliseconds each: MS
slow_daemon() {
	kill "$(cat "$R/run/firstalloc/firstallocd.pid" 2>/dev/null)" 2>/dev/null || true
	wait_for 20 test ! -e "$R/run/firstalloc/control"
	FA_FAULT="3 -$1 .falloc" "$B/tests/faults/firstallocd" --root "$R"
}
# burst PAIRS options of start: two threads at full speed; $made events, in the trace $in_trace, counted as lost $lost
burst() {
	rm -f "$W/b.falloc"
	$fa enable burst --starts 100 >/dev/null
	$fa start b -o "$W/b.falloc" --min-free 0 "${@:2}" >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	made=$("$P/burst" 2 "$1")
	rm -f /etc/ld.so.preload
	$fa query b
	$fa stop b
	"$FA" report --json --tolerate-lost "$W/b.falloc" >"$T/r.json" 2>/dev/null
	in_trace=$(json "$T/r.json" "sum(j['events'].values())")
	lost=$(json "$T/r.json" "j['lost']")
	same "$(json "$T/r.json" "(j['session']['ended'], j['lost_unknown'])")" "(True, False)"
	echo "made $made in the trace $in_trace lost $lost"
}
few=20000 many=${BURST:-1000000}
loses_nothing() {
	slow_daemon 5
	burst $few
	more=$((in_trace - made)) # of threads that begin and end
	[ $more -ge 0 ] && [ $more -le 100 ] && [ "$lost" = 0 ]
	burst "$many" --policy wait
	same "$in_trace $lost" "$((made + more)) 0"
}
it 35.16 "policy wait: a burst at full speed into a slow disk loses nothing" loses_nothing

counts_exactly() {
	slow_daemon 30 # so slow that a program with a tenth of a processor loses some, too
	burst $few
	more=$((in_trace - made))
	burst "$many" --policy count --maximum-buffers 32
	[ "$lost" -gt 0 ]
	same "$((in_trace + lost))" "$((made + more))"
}
it 35.17 "policy count: what is in the trace and what is counted as lost is what was made, exactly" counts_exactly

# --- many ---
kill "$(cat "$R/run/firstalloc/firstallocd.pid" 2>/dev/null)" 2>/dev/null
wait_for 20 test ! -e "$R/run/firstalloc/control"
"$B/firstallocd" --root "$R"

# Which of the sessions s0 to s3 wants the process is kept here beside, in words of its two requirements; each step is
# followed by one allocation, which must stand in the traces of exactly those.
# orders STEPS SEED
orders() {
	local flagged=0 step i what
	declare -A kind events
	RANDOM=$2
	launch a "$T/m/live"
	for step in $(seq "$1"); do
		i=$((RANDOM % 4))
		what=$((RANDOM % 8))
		case ${kind[$i]:-none}/$what in
		none/[0-2]) start s$i >/dev/null; kind[$i]=flagged events[$i]=0 ;;
		none/[3-5]) start s$i --pid "$(pid a)" >/dev/null; kind[$i]=named events[$i]=0 ;;
		none/*) [ $flagged = 1 ] || { $fa enable live --live >/dev/null; $fa disable live >/dev/null; flagged=1; } ;;
		*/[0-2])
			$fa stop s$i >"$T/o"
			same "$(report s$i "sum(j['events'].values())")" "${events[$i]}"
			sound s$i
			kind[$i]=none ;;
		*/[34]) $fa update s$i --pid "$(pid a)" >/dev/null; kind[$i]=named ;;
		*/5) $fa update s$i --pid 0 >/dev/null; kind[$i]=flagged ;;
		*/6) $fa update s$i --pid 0,"$(pid a)" >/dev/null; kind[$i]=named ;;
		*) kill_collector; known ;;
		esac
		echo "step $step: s$i ${kind[$i]:-none} $what, flagged $flagged"
		tell a "alloc 1"
		want=0
		for i in 0 1 2 3; do
			case ${kind[$i]:-none}$flagged in
			named?|flagged1) events[$i]=$((events[$i] + 1)); want=1 ;;
			esac
		done
		[ $want = 0 ] || wait_for 10 is_traced "$(pid a)"
		[ $((step % 8)) != 0 ] || wait_for 5 counted || { echo "expected ${!events[*]}: ${events[*]}"; json "$T/st.json" "[(s['name'], s['events']) for s in j['sessions']]"; return 1; }
	done
	for i in 0 1 2 3; do
		[ "${kind[$i]:-none}" = none ] || $fa stop s$i >/dev/null
		[ "${kind[$i]:-none}" = none ] || same "$(report s$i "sum(j['events'].values())")" "${events[$i]}"
	done
	finish a
}
counted() {
	local i all=
	for i in 0 1 2 3; do
		[ "${kind[$i]:-none}" = none ] || all="$all('s$i', ${events[$i]}), "
	done
	$fa status --json >"$T/st.json"
	[ "$(json "$T/st.json" "sorted((s['name'], s['events']) for s in j['sessions']) == [$all]")" = true ]
}
# A successor of a killed collector has the families of its sessions.
known() { wait_for 10 is_settled; }
is_settled() { [ "$want" = 0 ] || is_traced "$(pid a)"; }
want=0
it 35.18 "flag and session, by PID and by rule, started, stopped, updated, in any order: who is wanted is traced, by whom he is" orders "${ORDERS:-24}" "${SEED:-1}"

eight() {
	rm -f "$W"/m*.falloc "$W"/part-*
	launch a "$T/m/live"
	$fa enable live --live >/dev/null
	$fa start m1 -o "$W/m1.falloc" --min-free 0 --pid "$(pid a)" >/dev/null
	$fa start m2 -o "$W/m2.falloc" --min-free 0 >/dev/null
	$fa start m3 -o "$W/m3.falloc" --min-free 0 --image live --stacks none >/dev/null
	$fa start m4 -o "$W/m4.falloc" --min-free 0 --image other >/dev/null
	$fa start m5 -o "$W/m5.falloc" --min-free 0 --image other --image live --stacks free --policy count >/dev/null
	$fa start m6 -o "$W/m6.falloc" --min-free 0 --user --mode circular --max-file-size 1M >/dev/null
	$fa start m7 -o "$W/part-%d.falloc" --min-free 0 --mode newfile --max-file-size 1M --pid 0,"$(pid a)" >/dev/null
	$fa start m8 --min-free 0 --mode buffering --ring-size 1M >/dev/null
	tell a "alloc 1" # wakes it
	all_have() { $fa status --json >"$T/st.json"; same "$(json "$T/st.json" "sorted(s['events'] for s in j['sessions'])")" "[0, 1, 1, 1, 1, 1, 1, 1]"; }
	wait_for 10 all_have || all_have
	tell a "alloc 299"
	tell a "free 41"
	tell a "old 20"
	tell a "grow"
	$fa save m8 -o "$W/m8.falloc" >/dev/null
	for i in 1 2 3 4 5 6 7 8; do $fa stop m$i >/dev/null; done
	mv "$W/part-1.falloc" "$W/m7.falloc"
	same "$(parts)" ""
	for i in 1 2 3 5 6 7 8; do
		sound m$i
		same "$(report m$i "$counts")" "(300, 1, 61, 21, 0, 0, 0)"
		# m5 wants stacks of frees, others those of the rest: together all of them, for all
		same "$(stacks_of "$W/m$i.falloc" | sed 's/free.*//')" "alloc 300+0 realloc 1+0 "
		"$FA" report "$W/m$i.falloc" | grep -q 'obey  live.c'
	done
	sound m4
	same "$(report m4 "len(j['processes'])")" 0
	finish a
	$fa disable live >/dev/null
}
it 35.19 "a process in 8 sessions, with other filters, stacks, modes and policies: each file is complete" eight

sixty_four() {
	rm -f "$W"/n*.falloc
	$fa stop --all >/dev/null # of a claim that failed
	$fa enable live >/dev/null
	for i in $(seq 64); do $fa start n$i -o "$W/n$i.falloc" --min-free 0 >/dev/null; done
	refused_start() { $fa start n65 -o "$W/n65.falloc" --min-free 0; }
	! refused_start >"$T/o" 2>&1 || return 1
	[ ! -e "$W/n65.falloc" ]
	launch a "$T/m/live"
	tell a "alloc 200"
	tell a "free 50"
	kill_collector
	tell a "alloc 7"
	finish a
	$fa stop --all >"$T/o"
	grep -q '64 sessions stopped: .* 0 lost, 64 processes' "$T/o"
	for i in $(seq 64); do
		"$FA" report --json "$W/n$i.falloc" >"$T/r.json"
		json "$T/r.json" "(j['session']['ended'], j['warnings'], len(j['processes']), $counts[3:], j['outstanding']['blocks'], j['outstanding']['bytes'])"
	done | sort | uniq -c >"$T/o"
	cat "$T/o"
	same "$(wc -l <"$T/o")" 1
	# 100 blocks that it begins with, and 157
	grep -q '^ *64 (True, \[\], 1, (0, 0, 0, 0), 257, 93400)' "$T/o"
	$fa disable live >/dev/null
}
it 35.20 "64 sessions with one process in all of them, through a kill of the collector: 64 equal traces, and no 65th" sixty_four

# Blocks of the trace $1 by codec: "raw lz4"
blocks() {
	"$FA" dump "$1" --stats --json >"$T/stats"
	json "$T/stats" "' '.join(k for k in ('raw', 'lz4', 'zstd') if j['blocks'][k]['count'] > 0)"
}
# What its events are, without the time, which is counted from the start of a session.
calls() { "$FA" dump --json "$1" --records alloc,realloc,free | grep -E '"record": "(alloc|realloc|free)"' | sed 's/"time_ns": [0-9]*, //'; }
packing() { # NAMES of sessions: one program that all of them record
	$fa enable packed >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$T/m/packed" -e "for (1..${strings:-20000}) { push @x, 'x' x (\$_ % 50); shift @x if @x > 100 }"
	rm -f /etc/ld.so.preload
	$fa disable packed >/dev/null
}
beside() { ls "$W" | grep -c 'falloc\..*packed' || true; }
packed_by_stop() {
	local before
	cp "$(command -v perl)" "$T/m/packed"
	start s >/dev/null
	start now --compress lz4 >/dev/null
	start bounded --max-file-size 1G >/dev/null
	packing
	$fa update s --flush-timer 2s >/dev/null # all so far stands in the files
	same "$(blocks "$W/s.falloc")" raw
	before=$(stat -c %s "$W/s.falloc")
	$fa stop s --json >"$T/stop.json"
	blocks "$W/s.falloc" | grep -q zstd
	same "$(json "$T/stop.json" "j['bytes']")" "$(stat -c %s "$W/s.falloc")"
	[ $(($(stat -c %s "$W/s.falloc") * 2)) -lt "$before" ]
	sound s
	for i in now bounded; do
		$fa stop $i >/dev/null
		blocks "$W/$i.falloc" | grep -q lz4
		blocks "$W/$i.falloc" | grep -q zstd && return 1
		sound $i
		calls "$W/$i.falloc" >"$T/calls.$i"
	done
	calls "$W/s.falloc" >"$T/calls.s"
	[ "$(wc -l <"$T/calls.s")" -gt 20000 ]
	cmp "$T/calls.s" "$T/calls.now"
	cmp "$T/calls.s" "$T/calls.bounded"
	same "$(beside)" 0
}
it 35.21 "the trace is written as it comes and packed by stop, the same events; --compress lz4 or a bounded file: while it is recorded" packed_by_stop

packed_by_update() {
	cp "$(command -v perl)" "$T/m/packed"
	start s >/dev/null
	packing
	rm -f "$W/two.falloc"
	$fa update s -o "$W/two.falloc" >/dev/null
	blocks "$W/s.falloc" | grep -q zstd
	sound s
	packing
	same "$(blocks "$W/two.falloc")" raw
	$fa stop s >/dev/null
	blocks "$W/two.falloc" | grep -q zstd
	sound two
	same "$(beside)" 0
	# of another user's session the file is not root's
	rm -f "$W/hers.falloc"
	as $ALICE "$FA" --root "$R" start hers -o "$W/hers.falloc" --min-free 0 >/dev/null
	as $ALICE "$FA" --root "$R" stop hers >/dev/null
	rm -f "$W/hers.falloc"
	as $ALICE "$FA" --root "$R" start hers -o "$W/hers.falloc" --min-free 0 --pid 0 >/dev/null
	$fa stop hers >/dev/null
	same "$(blocks "$W/hers.falloc") $(stat -c %u "$W/hers.falloc")" "raw $ALICE"
}

it 35.22 "update -o: the file that is left is packed; what another user stops stays as it is, and his" packed_by_update

stays_as_it_is() {
	local faulty="$B/tests/faults/firstalloc --root $R" how stop strings=500000
	cp "$(command -v perl)" "$T/m/packed"
	for how in full interrupted; do
		start s >/dev/null
		packing
		if [ $how = full ]; then
			FA_FAULT="3 28 .packed" $faulty stop s >"$T/o"
		else # a bash in the background ignores SIGINT, and so do its children
			FA_FAULT="1 -15 .packed" $faulty stop s >"$T/o" & stop=$!
			wait_for 20 eval '[ "$(beside)" = 1 ]'
			kill -TERM $stop
			wait $stop
		fi
		grep -q 'session s stopped' "$T/o"
		same "$how $(blocks "$W/s.falloc") $(beside)" "$how raw 0"
		sound s
	done
	strings=20000
	mkdir -p "$T/m/small"
	mount -t tmpfs -o size=60m tmpfs "$T/m/small" # 64 MB are left to others
	$fa start s -o "$T/m/small/s.falloc" --min-free 0 >/dev/null
	packing
	$fa stop s >/dev/null
	same "$(blocks "$T/m/small/s.falloc") $(ls "$T/m/small")" "raw s.falloc"
	umount "$T/m/small"
}
it 35.23 "packing that fails, is interrupted, or finds no room: the trace is whole as it was recorded, with nothing beside it" stays_as_it_is

results
