#!/bin/bash
# 37 - what is traced beside the heap, by flags of a rule or of `run`.
#   37.1-37.9    vm: the calls that change the address space, and what they leave, by stack
#   37.13-37.15  lock: who waits for mutexes and rwlocks
#   37.10-37.12  extents: what the process has of the kernel beside what is live, seen from outside
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"

O=$T/t.falloc
traced() { # flags, command...: its output in $T/out, its status in $status
	rm -f "$O"
	status=0
	"$FA" run --flags "$1" -o "$O" -- "${@:2}" >"$T/out" 2>"$T/err" || status=$?
	"$FA" report --json "$O" >"$T/r.json"
}
sum() { json "$T/r.json" "$1"; }
view() { "$FA" report --json --view "$1" "${@:2}" "$O" >"$T/v.json"; }
seen() { json "$T/v.json" "$1"; }
calls() { "$FA" dump --records call "$O" | sed -n 's/.* function=\([a-z]*\) .*/\1/p' | sort | uniq -c | xargs; }

spaces() {
	traced vm "$P/spaces"
	same $status 0
	same "$(cat "$T/out")" "spaces ok"
	same "$(calls)" "3 brk 6 mmap 1 mprotect 1 mremap 2 munmap"
	view vm
	# keep 10 pages (6), split 6, grow 20, replace 4 + 1, segment 2
	same "$(seen "[j['still_mapped'][k] // 4096 for k in ('reserved', 'committed')]")" "[43, 39]"
	same "$(seen "(j['mapped_bytes'] // 4096, j['maps'], j['unmaps'])")" "(151, 9, 2)"
	# with the 100 pages that were there for a moment, before the segment grew
	same "$(seen "[j['peak'][k] // 4096 for k in ('reserved', 'committed')]")" "[141, 137]"
}
it 37.1 "each call that changes the address space is recorded, and what is left is what the kernel left" spaces

rows() {
	view vm
	same "$(seen "sorted((r['reserved'] // 4096, r['committed'] // 4096, r['bytes'] // 4096, [f['function'] for f in r['stack'] if f['function'] in ('keep', 'split', 'grow', 'replace', 'forget', 'segment')][0]) for r in j['rows'] if r['reserved'])")" \
		"[(1, 1, 1, 'replace'), (2, 2, 2, 'segment'), (4, 4, 5, 'replace'), (6, 6, 8, 'split'), (10, 6, 10, 'keep'), (20, 20, 20, 'grow')]"
	view vm --by function --function '^forget$'
	same "$(seen "[(r['reserved'], r['bytes'] // 4096) for r in j['rows']]")" "[(0, 100)]"
	"$FA" report --view vm "$O" >"$T/text"
	grep -q 'still mapped 172.0 KiB reserved, 156.0 KiB committed' "$T/text"
	grep -A 2 '40.0 KiB reserved, 24.0 KiB committed; 40.0 KiB in 1 call' "$T/text" | grep -q 'keep  spaces.c:'
}
it 37.2 "by stack: what it mapped, and what of that is left; a moved mapping is that of mremap" rows

failing() {
	"$P/spaces" fail >"$T/want"
	traced vm "$P/spaces" fail
	same $status 0
	same "$(cat "$T/out")" "$(cat "$T/want")"
	# of the failing ones nothing
	same "$(calls)" "1 mmap 1 mprotect"
}
it 37.3 "what fails is no event, and results and errno are the real ones" failing

busy() {
	traced vm "$P/spaces" busy
	same $status 0
	same "$(cat "$T/out")" "spaces ok"
	same "$(sum "(j['lost'], j['lost_unknown'], len(j['processes']), j['events']['alloc'] >= 8000)")" "(0, False, 2, True)"
	view vm
	# all but what the child keeps
	same "$(seen "(j['maps'] - j['unmaps'], j['maps'] >= 8002, j['still_mapped'])")" \
		"(1, True, {'reserved': 40960, 'committed': 24576})"
}
it 37.4 "threads, signal handlers, fork and vfork: nothing is lost, what is left adds up" busy

unflagged() {
	traced heap "$P/spaces" busy
	same $status 0
	same "$(calls)" ""
	"$FA" dump --json --stats "$O" >"$T/s.json"
	same "$(json "$T/s.json" "('calls' in j['records'], j['events']['call'], j['events']['alloc'] >= 8000)")" "(False, 0, True)"
	"$FA" report --view vm "$O" | grep -q "none of these calls is in the trace"
}
it 37.5 "without the flag none of them is in the trace" unflagged

older_reader() {
	"$FA" run --flags vm --compress none -o "$T/raw.falloc" -- "$P/spaces" busy >/dev/null
	"$FA" dump "$T/raw.falloc" --records alloc,realloc,free,stamp | cut -c18- | sed 's/ alignment=.*//' >"$T/want"
	[ "$(wc -l <"$T/want")" -gt 16000 ]
	"$FA" dump "$T/raw.falloc" --records call >"$T/calls"
	[ "$(wc -l <"$T/calls")" -gt 16000 ]
	python3 "$SRC/tests/spec/read_trace.py" "$T/raw.falloc" >"$T/got"
	cmp "$T/got" "$T/want"
}
it 37.6 "a reader that knows none of these calls passes over them and finds all of the heap" older_reader

merged() {
	"$FA" run --flags vm -o "$T/a.falloc" -- "$P/spaces" >/dev/null
	"$FA" run --flags vm -o "$T/b.falloc" -- "$P/spaces" >/dev/null
	rm "$O"
	"$FA" merge "$T/a.falloc" "$T/b.falloc" -o "$O"
	view vm
	same "$(seen "(j['still_mapped']['reserved'] // 4096, j['maps'], max(r['calls'] for r in j['rows']), len(j['rows']))")" "(86, 18, 2, 9)"
}
it 37.7 "two traces are merged into one" merged

ranged() { # up to the moment before the 100 pages are unmapped, and from then on; a time is good to some ns
	traced vm "$P/spaces"
	"$FA" dump --json --records call "$O" >"$T/calls"
	local at
	at=$(python3 -c 'import json,sys
print([j["time_ns"] - 100 for j in map(json.loads, open(sys.argv[1])) if j["function"] == "munmap" and j["size"] == 409600][0])' "$T/calls")
	view vm --range ",${at}ns"
	same "$(seen "[j['still_mapped'][k] // 4096 for k in ('reserved', 'committed')] + [j['unmaps'], j['peak']['reserved'] // 4096]")" "[141, 137, 1, 141]"
	view vm --range "${at}ns,"
	same "$(seen "[j['still_mapped'][k] // 4096 for k in ('reserved', 'committed')] + [j['unmaps'], j['mapped_bytes'] // 4096]")" "[2, 2, 1, 3]"
}
it 37.8 "a range has what was mapped in it, and of that what is there at its end" ranged

# Of a trace that is being written: how many samples, and the numbers of the last.
sampled() { "$FA" dump --json --records extents "$O" 2>/dev/null >"$T/x.json" || true; wc -l <"$T/x.json"; }
more_than() { [ "$(sampled)" -gt "$1" ]; }
last_sample() { tail -n 1 "$T/x.json" >"$T/last.json"; json "$T/last.json" "$1"; }
said() { grep -q "$1" "$T/out"; }
writable() { awk '/^VmData:/ { print $2 * 1024 }' "/proc/$1/status"; }

# 64 MB in blocks, and what they are in; without the shim's own
holds_all() {
	[ "$(sampled)" -gt 0 ] &&
		[ "$(last_sample "j['committed'] > 64 * 2**20 and abs(j['committed'] - $native) < 2**18 and j['resident'] > 64 * 2**20 and j['reserved'] > j['committed']")" = true ]
}
holds_little() { view extents 2>/dev/null; [ "$(seen "[s['live'] >> 20 for s in j['processes'][0]['samples']][-1]")" = 4 ]; }

swelling() {
	mkdir -p "$T/s"
	local pid native
	"$P/swells" "$T/s" >"$T/out" & pid=$!
	wait_for 20 said full
	native=$(writable $pid)
	touch "$T/s/shrink" "$T/s/end"
	wait $pid
	rm -f "$T"/s/* "$T/out" "$O"
	"$FA" run --compress none -o "$O" -- "$P/swells" "$T/s" >"$T/out" & pid=$!
	wait_for 20 holds_all || { cat "$T/last.json"; return 1; }
	touch "$T/s/shrink"
	wait_for 20 holds_little
	touch "$T/s/end"
	wait $pid
	view extents
	same "$(seen "[(p['image'], p['unreadable'], p['samples'][-1]['live'] >> 20, p['samples'][-1]['committed'] >> 20) for p in j['processes']]")" "[('swells', 0, 4, 64)]"
	same "$(seen "[s['live'] >> 20 for s in j['processes'][0]['samples'] if s['live'] >> 20 == 64 and abs(s['committed'] - $native) < 2**18] != []")" true
	"$FA" report --view extents "$O" | grep -qE '^ .* 4\.0 MiB +64\.[0-9] MiB +6\.[0-9] %'
}
it 37.10 "what a heap has of the kernel is seen beside what is live of it, the shim's own left out" swelling

waits() {
	traced lock "$P/contended" wait
	same $status 0
	view locks
	# main is the one who has them; 20 ms is how long at least
	same "$(seen "sorted((r['stack'][0]['function'], r['waits'], r['given_up'], r['longest']['kind'], r['longest']['owner_tid'], r['longest']['owner_name'], r['wait_ns'] == r['longest']['wait_ns'] >= 19900000) for r in j['rows'])")" \
		"$(python3 -c "print(sorted((f, 1, g, k, $(cat "$T/out"), 'contended', True) for f, g, k in (('wait_mutex', 0, 'mutex'), ('wait_read', 0, 'rwlock, to read'), ('wait_write', 0, 'rwlock, to write'), ('wait_timed', 1, 'mutex'))))")"
	# of the 20,000 that could be had none
	same "$(seen "(j['waits'], j['given_up'], j['wait_ns'] >= 79600000)")" "(4, 1, True)"
	"$FA" report --view locks "$O" >"$T/text"
	grep -q "(longest: rwlock, to read 0x[0-9a-f]*, that thread $(cat "$T/out") contended had)" "$T/text"
	view locks --range ,1ns
	same "$(seen "(j['waits'], j['rows'])")" "(0, [])"
}
it 37.13 "a wait is recorded with its stack, its time and who had the lock; what can be had is no event" waits

rules() {
	"$P/contended" rules >"$T/want"
	traced lock "$P/contended" rules
	same $status 0
	cmp "$T/want" "$T/out"
	# the timed ones that were given up: of four mutexes two, and of a rwlock
	view locks
	same "$(seen "(j['waits'], j['given_up'])")" "(3, 3)"
}
it 37.14 "locks of all types say what they say without us, and errno is untouched" rules

wanted() {
	traced lock "$P/contended" busy
	same "$(cat "$T/out")" 80000
	same "$(sum "(j['lost'], j['events']['alloc'] >= 80000)")" "(0, True)"
	traced heap,vm "$P/contended" wait
	same "$(calls | grep -c lock)" 0
	"$FA" report --view locks "$O" | grep -q "no wait is in the trace"
}
it 37.15 "four threads that want one lock get it in turns; without the flag no wait is recorded" wanted

private_machine 37.9 "by name, with a collector"

by_flag() {
	$fa enable spaces --flags 0x20 >"$T/said" 2>&1
	grep -q 'enabled for heap,vm' "$T/said"
	same "$(grep -c warning "$T/said")" 0
	$fa enable spaces --flags vm --starts 1000 >/dev/null
	rm "$O"
	$fa start spec -o "$O" --min-free 0 >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$P/spaces" >"$T/out"
	rm -f /etc/ld.so.preload
	$fa stop spec >/dev/null
	$fa disable spaces >/dev/null
	same "$(cat "$T/out")" "spaces ok"
	view vm
	same "$(seen "[j['still_mapped'][k] // 4096 for k in ('reserved', 'committed')]")" "[43, 39]"
}
it 37.9 "a rule with the flag vm records them, and the heap with them" by_flag

swell_by_name() { # command...: while swells is traced; its pid is $pid
	rm -f "$T"/s/* "$T/out" "$O"
	$fa enable swells --starts 1000 >/dev/null
	$fa start spec -o "$O" --min-free 0 >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$P/swells" "$T/s" >"$T/out" & pid=$!
	wait_for 20 said full
	rm -f /etc/ld.so.preload
	"$@"
	touch "$T/s/shrink" "$T/s/end"
	wait $pid
	$fa stop spec >/dev/null
	$fa disable swells >/dev/null
}

# A second lies between two of them; where a mark comes between, less.
gap() { last_sample 1 >/dev/null; tail -n 2 "$T/x.json" | python3 -c 'import json,sys
a, b = [json.loads(l)["time_ns"] for l in sys.stdin]; print(int(b - a < 900000000))'; }
sampled_at_marks() {
	local n
	for try in $(seq 20); do
		n=$(sampled)
		wait_for 20 more_than "$n"
		n=$(sampled)
		$fa mark "try $try" >/dev/null
		wait_for 20 more_than "$n"
		[ "$(gap)" = 0 ] || return 0
	done
	return 1
}
marked() { swell_by_name sampled_at_marks; }
it 37.11 "a mark brings a sample" marked

stop_daemon() {
	kill "$(cat "$R/run/firstalloc/firstallocd.pid")"
	wait_for 5 test ! -e "$R/run/firstalloc/control"
}
hidden() {
	mount -t proc -o hidepid=invisible proc /proc
	stop_daemon
	swell_by_name wait_for 20 more_than 0
	umount /proc
	stop_daemon
	view extents
	same "$(seen "[(p['image'], p['unreadable'] > 0, 'committed' in p['samples'][0]) for p in j['processes']]")" "[('swells', True, False)]"
	"$FA" report --view extents "$O" | grep -q 'the collector could not look at it'
}
it 37.12 "a process that the collector may not look at is said to be one" hidden
results
