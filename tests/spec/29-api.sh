#!/bin/bash
# 29 - the C library: sessions from C, traces read from C and Python.
#
#   29.1-29.4   the header is C and C++; what the library exports, the header declares and a page describes
#   29.5-29.11  sessions: the example works, handles, requested and effective values, flush
#   29.20-29.26 traces: the Python example reads what report says, stacks included; families; what is no
#               whole trace: damaged, cut, foreign and hostile files
#   29.30-29.35 marks: in all sessions or one, as ends of ranges, among the events; threads that begin and end
#   29.36-29.39 running processes by PID
#   29.12-29.17 each documented error in its case, and a handle of 0 with it
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
[ -e "$B/libfirstalloc.so" ] || { echo "build $B/libfirstalloc.so first"; exit 1; }
H=$SRC/include/firstalloc.h
strict="-Wall -Wextra -Wpedantic -Werror -Wpadded -Wshadow -Wconversion"

compiles() { # compiler standard language
	command -v "$1" >/dev/null || return 0
	printf '#include <firstalloc.h>\nstatic struct fa_trace_properties p;\nstatic struct fa_stack_event_id i = {FA_HEAP_PROVIDER, FA_HEAP_TYPE_ALLOC, {0}};\nint main(void) { fa_trace_handle h = 0; p.size = sizeof(p); return fa_start_heap_trace(&h, &p, "x", 0, 0, &i, 1) + fa_query_trace(h, 0, &p); }\n' >"$T/h.$3"
	# shellcheck disable=SC2086
	"$1" -std="$2" $strict -I"$SRC/include" "$T/h.$3" -L"$B" -lfirstalloc -o "$T/h.out"
}
c_and_cpp() {
	compiles gcc c99 c
	compiles gcc c17 c
	compiles g++ c++11 cc
	compiles clang c17 c
	compiles clang++ c++17 cc
}
it 29.1 "the header compiles without a warning as C99, C17, C++11 and C++17, and links" c_and_cpp

exports() {
	nm -D --defined-only "$B/libfirstalloc.so.0" | awk '$2 != "A" { print $3 }' | sort >"$T/exported"
	grep -q . "$T/exported"
	! grep -v '@@FIRSTALLOC_0$' "$T/exported" || return 1
	sed -n 's/^\(int\|void\|const char \*\|uint64_t\)[ ]*\(fa_[a-z_]*\)(.*/\2/p' "$H" | sort >"$T/declared"
	diff "$T/declared" <(sed 's/@@.*//' "$T/exported")
	diff "$T/declared" <("$SRC/tools/api-man.sh" list "$H" | sort)
	readelf -d "$B/libfirstalloc.so.0" | grep -q 'SONAME.*\[libfirstalloc.so.0\]'
}
it 29.2 "it exports what the header declares and describes, all with version FIRSTALLOC_0, and nothing else" exports

pages() {
	for f in $("$SRC/tools/api-man.sh" list "$H"); do
		"$SRC/tools/api-man.sh" page "$H" "$f" 1.0 >"$T/page"
		grep -q "^$f .*- " "$T/page"
		grep -q "$f(" "$T/page"
		! command -v groff >/dev/null || same "$(groff -man -Tascii -ww -z "$T/page" 2>&1)" ""
	done
}
it 29.3 "each function has a manual page: roff without a warning, with name and prototype" pages

quiet_names() { # what is in the process of others must not take their names
	! nm -D --undefined-only "$B/libfirstalloc.so.0" | grep -E ' (printf|puts|exit|abort|system|popen)(@|$)' || return 1
}
it 29.4 "it neither prints nor ends the process" quiet_names

# --- traces ---
export FIRSTALLOC_LIBRARY=$B/libfirstalloc.so.0
py() { python3 "$SRC/examples/read_trace.py" "$@"; }
traced() { rm -f "$T/$1.falloc"; "$FA" run -o "$T/$1.falloc" -- "${@:2}" >/dev/null; }
agrees() { # the example and report say the same of that trace
	py --json "$T/$1.falloc" >"$T/py.json"
	"$FA" report --json --tolerate-lost "$T/$1.falloc" >"$T/r.json"
	python3 - "$T/py.json" "$T/r.json" <<'PY'
import json, sys
p, r = (json.load(open(f)) for f in sys.argv[1:])
for key in ("events", "total", "outstanding", "lost", "duration_ns"):
    assert p[key] == r[key], (key, p[key], r[key])
assert p["session"] == r["session"]["name"]
assert len(p["processes"]) == len(r["processes"])
for a, b in zip(p["processes"], r["processes"]):
    for key in a:
        assert a[key] == b[key], (key, a[key], b[key])
assert r["events"]["alloc"] > 100
PY
}
known() {
	traced known "$P/known" 5000
	agrees known
	same "$(json "$T/py.json" 'j["events"]')" "{'alloc': 5001, 'realloc': 10, 'free': 2500}"
}
it 29.20 "the Python example finds the events, sums, blocks left, processes and losses that report finds" known

same_stacks() {
	py --json "$T/known.falloc" >"$T/py.json"
	"$FA" report --json --view outstanding "$T/known.falloc" >"$T/r.json"
	python3 - "$T/py.json" "$T/r.json" <<'PY'
import json, sys
p, r = (json.load(open(f)) for f in sys.argv[1:])
def table(rows, bytes_of, blocks_of):
    t = {}
    for row in rows:
        key = json.dumps([[f[k] for k in ("function", "file", "line", "module", "offset", "inlined")] for f in row.get("frames", row.get("stack"))])
        was = t.get(key, (0, 0))
        t[key] = was[0] + bytes_of(row), was[1] + blocks_of(row)
    return t
a = table(p["rows"], lambda w: w["bytes"], lambda w: w["blocks"])
b = table(r["rows"], lambda w: w["classes"]["aifo"]["bytes"], lambda w: w["classes"]["aifo"]["blocks"])
assert a == b, (a, b)
assert any("known.c" in k and '"fill"' in k for k in a), a
PY
}
it 29.21 "and the same stacks, frame by frame: function, file, line, module, offset" same_stacks

several() {
	traced tree "$P/fork_tree" || same $? 3
	py --json "$T/tree.falloc" >"$T/py.json"
	"$FA" report --json "$T/tree.falloc" >"$T/r.json"
	same "$(json "$T/py.json" '[j["events"], j["total"], len(j["processes"])]')" "$(json "$T/r.json" '[j["events"], j["total"], len(j["processes"])]')"
	[ "$(json "$T/py.json" 'len(j["processes"])')" -gt 1 ]
}
it 29.22 "of a family of processes too" several

c_reader() {
	gcc -Wall -Wextra -Werror -I"$SRC/include" "$SRC/examples/read_trace.c" -L"$B" -lfirstalloc -Wl,-rpath,"$B" -o "$T/read_trace"
	"$T/read_trace" "$T/known.falloc" >"$T/o"
	same "$(head -n 1 "$T/o")" "7511 events"
	same "$(sed -n 2p "$T/o" | cut -d' ' -f1-2)" "40000 bytes"
	grep -q '^    main  .*known.c:[0-9]' "$T/o"
}
it 29.23 "the C example shows the largest blocks with their stacks" c_reader

not_whole() {
	head -c $(($(stat -c %s "$T/known.falloc") / 2)) "$T/known.falloc" >"$T/half.falloc"
	py --json "$T/half.falloc" >"$T/py.json"
	cp "$T/known.falloc" "$T/bad.falloc"
	printf '\xff\x00\xff' | dd of="$T/bad.falloc" bs=1 seek=$(($(stat -c %s "$T/bad.falloc") / 2)) conv=notrunc status=none
	! py --json "$T/bad.falloc" 2>"$T/e" || return 1
	grep -q 'damaged at byte .*BAD_DATA' "$T/e"
	! py /bin/true 2>"$T/e" || return 1
	grep -q 'not a firstalloc trace.*BAD_DATA' "$T/e"
	for f in "$T/nothing" "$T" "$T/pipe"; do
		[ "$f" != "$T/pipe" ] || mkfifo "$f"
		! timeout 20 python3 "$SRC/examples/read_trace.py" "$f" 2>"$T/e" || return 1
		grep -q 'BAD_PATH' "$T/e"
	done
}
it 29.24 "a cut trace is read to its end; a damaged one and what is none are said to be so" not_whole

hostile() {
	for f in "$SRC"/tests/fuzz/corpus/trace/*; do
		local got=0
		timeout 20 python3 "$SRC/examples/read_trace.py" --json "$f" >/dev/null 2>"$T/e" || got=$?
		if [ "$got" -gt 1 ] || grep -q Traceback "$T/e"; then echo "$f: $got"; cat "$T/e"; return 1; fi
	done
}
it 29.25 "hostile traces are refused or read, nothing worse" hostile
golden() {
	py --json "$SRC/tests/golden/trace-v1.falloc" >"$T/g.json"
	for kind in alloc realloc free; do
		same "$(json "$T/g.json" "j['events']['$kind']")" "$(grep -c "\"record\": \"$kind\"" "$SRC/tests/golden/trace-v1.json")"
	done
}
it 29.26 "the golden trace has its events" golden

# --- sessions ---
if [ "$(id -u)" != 0 ]; then
	skip 29.5 "sessions" "needs root"
	results
	exit
fi
private_machine
chmod 755 "$T/m" "$T/m/root"
gcc -Wall -Wextra -Werror -I"$SRC/include" "$SRC/examples/session.c" -L"$B" -lfirstalloc -Wl,-rpath,"$B" -o "$T/session" &&
	gcc -Wall -Wextra -Werror -I"$SRC/include" "$SRC/tests/spec/api_calls.c" -L"$B" -lfirstalloc -lpthread \
		-Wl,-rpath,"$B" -o "$T/calls" || exit 1
# call ERROR args...: the call has to end so; its output is in $T/o
call() { local want=$1; shift; "$T/calls" "$R" "$@" >"$T/o" 2>"$T/e" || true; cat "$T/o" "$T/e"; same "$(head -n 1 "$T/o")" "$want"; }
handle() { sed -n 's/^ handle //p' "$T/o"; }
fresh() { rm -f "$T/$1.falloc"; echo "$T/$1.falloc"; }

call_without_daemon() { call NO_DAEMON start none "$(fresh none)"; same "$(handle)" 0; [ ! -e "$T/none.falloc" ]; }
it 29.5 "without a firstallocd: NO_DAEMON, handle 0, no file" call_without_daemon
$fa start first -o "$T/first.falloc" --min-free 0 >/dev/null
$fa stop first >/dev/null

example() {
	$fa enable known --starts 10 >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	local got=0
	EXAMPLE_ROOT=$R "$T/session" "$(fresh example)" "$P/known" 1000 >"$T/o" || got=$?
	rm -f /etc/ld.so.preload
	$fa disable known >/dev/null
	cat "$T/o"
	same "$got" 0
	grep -qx 'buffers of 256 KB, flushed each 1 s' "$T/o"
	"$FA" report --json "$T/example.falloc" >"$T/r.json"
	local events=$(json "$T/r.json" "sum(j['events'][k] for k in ('alloc', 'realloc', 'free'))")
	[ "$events" -gt 1000 ]
	grep -qx "$events events so far" "$T/o"
	grep -q "^$events events, 0 lost, 1 processes, $(stat -c %s "$T/example.falloc") bytes in " "$T/o"
}
it 29.6 "the example traces a flagged program; its counters are those of the trace, and flush has them all" example

effective() {
	call OK start eff "$(fresh eff)" buffer=128 timer=2 size=5 minimum=4 maximum=9 policy=1 flags=1
	[ "$(handle)" -gt 0 ]
	grep -qx ' requested: buffer 128 minimum 4 maximum 9 size 5 timer 2 mode 0 policy 1 flags 1' "$T/o"
	grep -qx ' effective: buffer 128 minimum 16 maximum 16 size 5 timer 2 mode 1 policy 1 flags 1' "$T/o"
	call OK query eff
	grep -qx ' requested: buffer 128 minimum 4 maximum 9 size 5 timer 2 mode 0 policy 1 flags 1' "$T/o"
	grep -qx ' effective: buffer 128 minimum 16 maximum 16 size 5 timer 2 mode 1 policy 1 flags 1' "$T/o"
	call OK stop eff
	call OK start eff "$(fresh eff)"
	grep -qx ' requested: buffer 0 minimum 0 maximum 0 size 0 timer 0 mode 0 policy 0 flags 0' "$T/o"
	grep -qx ' effective: buffer 64 minimum 32 maximum 0 size 0 timer 1 mode 1 policy 0 flags 0' "$T/o"
	call OK query eff
	grep -qx ' requested: buffer 0 minimum 0 maximum 0 size 0 timer 0 mode 0 policy 0 flags 0' "$T/o"
	grep -qx ' effective: buffer 64 minimum 32 maximum 0 size 0 timer 1 mode 1 policy 0 flags 0' "$T/o"
	call OK stop eff
	call OK start eff "$(fresh eff)" mode=0x22 size=3
	grep -qx ' effective: buffer [1-9][0-9]* minimum 32 maximum 0 size 3 timer 1 mode 34 policy 0 flags 0' "$T/o"
	[ "$(stat -c %b "$T/eff.falloc")" -ge 6144 ]
	call OK stop eff
	"$FA" report --json "$T/eff.falloc" >/dev/null
}
it 29.7 "properties tell what was asked for and what holds" effective

handles() {
	call OK start one "$(fresh one)"
	local one=$(handle)
	call OK start two "$(fresh two)"
	local two=$(handle)
	[ "$one" != "$two" ]
	call OK query "$one" && grep -q "name one state 1 .* file $T/one.falloc" "$T/o" || return 1
	call OK query "$two" && grep -q 'name two' "$T/o" || return 1
	call OK stop "$one" && grep -q 'name one state 2' "$T/o" || return 1
	call NO_SUCH_SESSION query "$one"
	call NO_SUCH_SESSION stop "$one"
	call OK start one "$(fresh one)"
	call NO_SUCH_SESSION flush "$one"
	call OK stop one
	$fa status --json >"$T/st"
	same "$(json "$T/st" '[s["name"] for s in j["sessions"]]')" "['two']"
	call OK stop two
	"$FA" report --json "$T/two.falloc" >/dev/null
}
it 29.8 "a handle names its session in any process and no other, also when the name is used again" handles

both_sides() {
	call OK start mine "$(fresh mine)"
	$fa stop mine
	$fa start theirs -o "$(fresh theirs)" --min-free 0 >/dev/null
	call OK query theirs
	call OK stop theirs
}
it 29.9 "sessions of the library and of the command are the same" both_sides
it 29.10 "each thread has an error message of its own" "$T/calls" "$R" threads

flushes() { # what a program that still runs has recorded is in the file
	cp "$P/steady" "$T/m/flushed" # a steady of another test that runs at this time must not come into the session
	$fa enable flushed --starts 10 >/dev/null
	call OK start fl "$(fresh fl)" timer=3600
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	rm -f "$T/halt"
	"$T/m/flushed" 2 "$T/halt" >/dev/null &
	local pid=$!
	wait_for 10 grep -q libfirstalloc_preload "/proc/$pid/maps"
	rm -f /etc/ld.so.preload
	wait_for 10 sh -c "'$T/calls' '$R' query fl | grep -q 'events [1-9]'"
	kill -STOP $pid
	call OK flush fl
	local events=$(sed -n 's/.*events \([0-9]*\) lost.*/\1/p' "$T/o")
	"$FA" report --json "$T/fl.falloc" >"$T/r.json"
	kill -KILL $pid
	wait $pid 2>/dev/null || true
	[ "$events" -gt 0 ]
	same "$(json "$T/r.json" "sum(j['events'][k] for k in ('alloc', 'realloc', 'free'))")" "$events"
	call OK stop fl
	$fa disable flushed >/dev/null
}
it 29.11 "after flush the file holds all that a running program has recorded" flushes

it_exists() {
	call OK start dup "$(fresh dup)"
	call ALREADY_EXISTS start dup "$(fresh dup2)"
	same "$(handle)" 0
	[ ! -e "$T/dup2.falloc" ]
	call OK stop dup
}
it 29.12 "a session of that name is there: ALREADY_EXISTS, no handle, no file left" it_exists

bad_arguments() {
	for bad in "BAD_LENGTH length=8" "INVALID_FLAGS mode=0x800000" "INVALID_FLAGS mode=0x402" "INVALID_FLAGS mode=3" \
		"INVALID_PARAMETER mode=8" "INVALID_PARAMETER mode=2" "INVALID_PARAMETER mode=0x120" "INVALID_FLAGS flags=6" "INVALID_PARAMETER buffer=2" \
		"INVALID_PARAMETER buffer=2048" "INVALID_PARAMETER policy=9" "INVALID_PARAMETER timer=100000" \
		"INVALID_PARAMETER minimum=9 maximum=8" "INVALID_PARAMETER ids=257" \
		"NO_SUCH_PROCESS pid=4000000000"; do
		# shellcheck disable=SC2086
		set -- $bad
		call "$1" start bad "$(fresh bad)" "${@:2}"
		same "$(handle)" 0
		[ ! -e "$T/bad.falloc" ]
	done
	call INVALID_PARAMETER start "no name" "$(fresh bad)"
	call INVALID_PARAMETER start "$(printf 'x%.0s' {1..64})" "$(fresh bad)"
}
it 29.13 "wrong lengths, modes, mixes, values, and more than 256 event ids are refused by their own errors" bad_arguments
ids() {
	call OK start ids "$(fresh ids)" ids=100 odd=156 pid=0
	call OK stop ids
}
it 29.14 "256 event ids may come, unknown ones are ignored; PID 0 means flagged programs" ids

paths() {
	call BAD_PATH start p "$T/no/such/folder.falloc"
	: >"$T/there.falloc"
	call BAD_PATH start p "$T/there.falloc"
	same "$(stat -c %s "$T/there.falloc")" 0
	mkdir -p "$T/m/tiny"
	mount -t tmpfs -o size=4k tmpfs "$T/m/tiny"
	: >"$T/m/tiny/full" && head -c 4096 /dev/zero >"$T/m/tiny/full" || return 1
	call DISK_FULL start p "$T/m/tiny/x.falloc"
	same "$(handle)" 0
	umount "$T/m/tiny"
}
it 29.15 "no such folder, a file that exists: BAD_PATH; a full disk: DISK_FULL" paths

denied() {
	cp "$T/calls" "$T/m/calls"
	mkdir -p -m 755 "$T/m/closed"
	local as="setpriv --reuid 23451 --regid 23451 --clear-groups env LD_LIBRARY_PATH=$T/m"
	cp "$B/libfirstalloc.so.0" "$T/m/"
	call OK start roots "$(fresh roots)"
	$as "$T/m/calls" "$R" start u "$T/m/closed/u.falloc" >"$T/o" || true
	same "$(head -n 1 "$T/o")" ACCESS_DENIED
	same "$(handle)" 0
	$as "$T/m/calls" "$R" stop roots >"$T/o" || true
	same "$(head -n 1 "$T/o")" NO_SUCH_SESSION
	call OK query roots
	call OK stop roots
	call NO_SUCH_SESSION update roots
}
it 29.16 "a folder that is not the caller's: ACCESS_DENIED; a session of root is not there for others" denied

many() {
	local n=0
	while [ $n -lt 64 ]; do
		"$T/calls" "$R" start "many$n" "$(fresh "many$n")" >"$T/o" 2>&1 || break
		n=$((n + 1))
	done
	same "$n" 64
	call TOO_MANY_SESSIONS start onemore "$(fresh onemore)"
	same "$(handle)" 0
	[ ! -e "$T/onemore.falloc" ]
	call OK update many1
	$fa stop --all >/dev/null
}
it 29.17 "64 sessions, and one more: TOO_MANY_SESSIONS; an update of nothing is none" many

# --- marks ---
phase_done() { wait_for 20 test -e "$T/ph/done.$1"; }
mkdir "$T/ph"
phases() {
	$fa enable phases --starts 10 >/dev/null
	$fa start ma -o "$(fresh ma)" --min-free 0 >/dev/null
	$fa start mb -o "$(fresh mb)" --min-free 0 >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$P/phases" "$T/ph" &
	local pid=$!
	phase_done 1
	rm -f /etc/ld.so.preload
	same "$($fa mark before)" "mark 'before' set in 2 sessions"
	: >"$T/ph/go.1"
	phase_done 2
	same "$($fa mark after --session ma)" "mark 'after' set in 1 session"
	wait_for 20 sh -c "'$T/calls' '$R' flush ma >/dev/null; '$FA' dump '$T/ma.falloc' 2>/dev/null | grep -q ' thread_end '"
	: >"$T/ph/go.2"
	phase_done 3
	call OK mark "third phase, done" ma
	: >"$T/ph/go.3"
	wait $pid
	$fa stop --all >/dev/null
	$fa disable phases >/dev/null
}
it 29.30 "marks are set while sessions run: in all of them, in one, from the library" phases

ranges() {
	"$FA" report --json "$T/ma.falloc" --range mark:before,mark:after --view outstanding >"$T/r.json" 2>"$T/e"
	same "$(cat "$T/e")" "" # and no record is of a version that it does not know
	same "$(json "$T/r.json" '[r["classes"]["aifo"]["blocks"] for r in j["rows"] if any(f["function"] == "fill" for f in r["stack"])]')" "[200]"
	"$FA" report --json "$T/ma.falloc" --range mark:after, >"$T/r.json"
	same "$(json "$T/r.json" '[j["total"]["blocks"], j["total"]["bytes"]]')" "[300, 9000]"
	"$FA" report --json "$T/ma.falloc" --range ,mark:before --view outstanding >"$T/r.json"
	same "$(json "$T/r.json" '[r["classes"]["aifo"]["blocks"] for r in j["rows"] if any(f["function"] == "fill" for f in r["stack"])]')" "[100]"
}
it 29.31 "report takes marks as ends of a range: each phase has its own blocks" ranges

dumped() {
	"$FA" dump "$T/ma.falloc" --json --range mark:before,mark:after >"$T/d.json"
	same "$(grep -c '"record": "alloc".*"size": 20,' "$T/d.json")" 200
	same "$(grep -cE '"record": "alloc".*"size": (10|30),' "$T/d.json")" 0
	grep -q '"record": "process"' "$T/d.json"
	same "$(grep -c '"record": "mark"' "$T/d.json")" 1
	same "$("$FA" dump "$T/ma.falloc" --records mark | sed 's/.*text=//; s/ uid.*//')" '"before"
"after"
"third phase, done"'
	same "$("$FA" dump "$T/mb.falloc" --records mark | wc -l)" 1
}
it 29.32 "dump shows marks, and with a range of marks only what happened then" dumped

threads_seen() {
	"$FA" dump "$T/ma.falloc" --json --records thread,thread_end,process,process_end >"$T/d.json"
	python3 - "$T/d.json" <<'PY'
import json, sys
rows = [json.loads(l) for l in open(sys.argv[1])]
start = [r for r in rows if r["record"] == "thread" and "time_ns" in r]
end = [r for r in rows if r["record"] == "thread_end"]
assert len(end) == 1 and end[0]["thread"] == 1, end
one = [r for r in start if r["thread"] == 1][0]
assert one["time_ns"] < end[0]["time_ns"]
gone = [r for r in rows if r["record"] == "process_end"][0]
assert end[0]["time_ns"] < gone["time_ns"]
PY
}
it 29.33 "threads have a beginning, and an end where their process lives on" threads_seen

among_events() {
	python3 - "$SRC/examples/read_trace.py" "$T/ma.falloc" >"$T/o" <<'PY'
import sys
source = open(sys.argv[1]).read().replace("\nmain()\n", "\n")
exec(source)
names = {4: "process", 5: "process end", 7: "mark", 8: "thread", 9: "thread end"}
for e in Trace(sys.argv[2]).events():
    if e.kind in names:
        print(names[e.kind], e.thread if "thread" in names[e.kind] else e.text.decode() if e.kind != 5 else e.status)
PY
	same "$(grep -v mark "$T/o")" "process phases
thread 0
thread 1
thread end 1
process end 0"
	same "$(grep mark "$T/o")" "mark before
mark after
mark third phase, done"
}
it 29.34 "the library gives out marks, processes and threads among the events" among_events

refused_marks() {
	call NO_SUCH_SESSION mark text nowhere
	call NO_SUCH_SESSION mark text
	call INVALID_PARAMETER mark ""
	call INVALID_PARAMETER mark "$(printf 'a\nb')"
	call INVALID_PARAMETER mark "$(printf 'x%.0s' {1..256})"
	$fa start ok -o "$(fresh ok)" --min-free 0 >/dev/null
	call OK mark "$(printf 'x%.0s' {1..255})"
	local got=0
	setpriv --reuid 23451 --regid 23451 --clear-groups "$T/m/firstalloc" --root "$R" mark foreign 2>"$T/e" || got=$?
	same "$got" 5
	grep -q 'no session of yours is running' "$T/e"
	$fa stop ok >/dev/null
	same "$("$FA" dump "$T/ok.falloc" --records mark | wc -l)" 1
	! "$FA" report "$T/ma.falloc" --range mark:nothing, 2>"$T/e" >/dev/null || return 1
	grep -q "there is no mark 'nothing'" "$T/e"
	! "$FA" report "$T/ma.falloc" --range mark:after,mark:before 2>"$T/e" >/dev/null || return 1
	grep -q 'the smaller first' "$T/e"
}
cp "$FA" "$T/m/"
it 29.35 "no session, no text, a text of lines, others' sessions, unknown marks and wrong orders are refused" refused_marks

# --- running processes ---
. "$(dirname "$0")/live.sh"
cp "$T/calls" "$B/libfirstalloc.so.0" "$T/m/"
dead=4194000 # above what the kernel gives out here
call_as() { local uid=$1; shift; as "$uid" env LD_LIBRARY_PATH="$T/m" "$T/m/calls" "$R" "$@" >"$T/o" 2>"$T/e" || true; cat "$T/o" "$T/e"; }
pids() { sed -n 's/^ joined.* attached/attached/p' "$T/o"; }
none_left() { same "$(handle)" 0; [ ! -e "$W/$1.falloc" ]; call NO_SUCH_SESSION query "$1"; }

by_pid() {
	launch a "$T/m/live"
	$fa enable live >/dev/null
	launch b "$T/m/live"
	call OK start p "$W/p.falloc" pid="$(pid a)"
	same "$(pids)" "attached 1 failed 0: OK"
	grep -q ' joined 0 woken 0 ' "$T/o"
	tell a "alloc 11"
	tell b "alloc 5"
	tell a "old 3"
	wait_for 10 is_traced "$(pid a)"
	call OK stop p
	same "$(report p "$counts")" "(11, 0, 3, 3, 0, 0, 0)"
	same "$(report p "[(p['pid'], p['origin']) for p in j['processes']]")" "[($(pid a), 'woken')]"
	finish b
	$fa disable live >/dev/null
}
it 29.36 "by PID: that process, from its next heap call on, and no other, flagged or not" by_pid

in_part() {
	echo 'int main(void) { for (;;) __builtin_ia32_pause(); }' | gcc -static -o "$T/m/static" -x c -
	"$T/m/static" &
	local static=$!
	wait_for 20 executes "$static" "$T/m/static"
	python3 -c 'import os, sys, time
p = os.fork()
if p == 0: os._exit(0)
os.waitid(os.P_PID, p, os.WEXITED | os.WNOWAIT)
open(sys.argv[1], "w").write(str(p) + "\n")
time.sleep(100000)' "$T/ended" &
	local parent=$!
	wait_for 20 grep -q . "$T/ended"
	call OK start p "$W/q.falloc" pid="$static" pid="$(pid a)" pid=$dead pid=4000000000 pid="$(cat "$T/ended")" pid="$1"
	[ "$(handle)" -gt 0 ]
	same "$(pids)" "attached 1 failed 5: NOT_SUPPORTED OK NO_SUCH_PROCESS NO_SUCH_PROCESS NO_SUCH_PROCESS $2"
	same "$(cat "$T/e")" "process $static (static): statically linked: the shim cannot be loaded"
	kill $static $parent
	tell a "alloc 4"
	wait_for 10 is_traced "$(pid a)"
	call OK stop p
	same "$(report q "$counts")" "(4, 0, 0, 0, 0, 0, 0)"
}
sixth="$dead NO_SUCH_PROCESS"
! grep -qx kthreadd /proc/2/comm 2>/dev/null || sixth="2 NOT_SUPPORTED" # a kernel thread, where we see them
# shellcheck disable=SC2086
it 29.37 "some cannot be had: the session has the others, each PID its error, and the first its reason" in_part $sixth

none() {
	call NO_SUCH_PROCESS start n "$W/n.falloc" pid=$dead
	grep -q "^process $dead: there is no such process" "$T/e"
	none_left n
	call_as $ALICE start n "$W/n.falloc" pid="$(pid a)"
	same "$(head -n 1 "$T/o")" ACCESS_DENIED
	same "$(pids)" "attached 0 failed 1: ACCESS_DENIED"
	none_left n
	sleep 100000 &
	wait_for 20 asleep $!
	call NOT_SUPPORTED start n "$W/n.falloc" pid=$! pid=$dead
	same "$(pids)" "attached 0 failed 2: NOT_SUPPORTED NO_SUCH_PROCESS"
	grep -q '(sleep): the shim is not in it: it was started before' "$T/e"
	kill $!
	none_left n
	tell a "alloc 1"
	launch c as $ALICE "$T/m/live"
	call_as $ALICE start n "$W/n.falloc" pid="$(pid c)"
	same "$(pids)" "attached 1 failed 0: OK"
	tell c "alloc 6"
	wait_for 10 is_traced "$(pid c)"
	call OK stop n
	same "$(report n "$counts")" "(6, 0, 0, 0, 0, 0, 0)"
	finish c
}
it 29.38 "none can be had: the first one's error, no handle, no session, no file; a user has his own" none

and_flagged() {
	$fa enable live >/dev/null
	launch d "$T/m/live"
	call OK start z "$W/z.falloc" pid=$dead pid=0
	grep -q "joined 0 woken [1-9] attached 0 failed 1: NO_SUCH_PROCESS OK" "$T/o"
	tell d "alloc 9"
	wait_for 10 is_traced "$(pid d)"
	call OK stop z
	same "$(report z "[p['events'] for p in j['processes'] if p['pid'] == $(pid d)]")" "[9]"
	kill "$(cat "$R/run/firstalloc/firstallocd.pid")"
	wait_for 20 sh -c "$fa status | grep -q 'not running'"
	launch e "$T/m/live"
	$fa start nobody -o "$(fresh nobody)" --min-free 0 --pid $dead >/dev/null 2>&1 || true
	call OK start z "$(fresh z)"
	grep -q "joined 0 woken [1-9]" "$T/o"
	tell e "alloc 7"
	wait_for 10 is_traced "$(pid e)"
	call OK stop z
	$fa stop nobody >/dev/null
	cp "$T/z.falloc" "$W/z.falloc"
	same "$(report z "[p['events'] for p in j['processes'] if p['pid'] == $(pid e)]")" "[7]"
	for name in a d e; do finish $name; done
	$fa disable live >/dev/null
}
it 29.39 "PID 0 among them: the flagged as well, also those that firstallocd has not heard of" and_flagged
results
