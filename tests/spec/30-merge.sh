#!/bin/bash
# 30 - merge: several traces as one.
#
#   30.1-30.5   a report of the result is the sum of the reports: events, blocks, stacks, families, threads,
#               losses, marks, older versions; in any grouping
#   30.6-30.8   another boot is refused with the reason; with --shift it stands where it belongs
#   30.9-30.11  one process in two traces, what is not whole, what is no trace, what exists already
if [ "$(id -u)" = 0 ] && [ -z "${FA_PRIVATE:-}" ]; then
	export FA_PRIVATE=1
	exec unshare -m --propagation private bash "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"

traced() { rm -f "$T/$1.falloc"; "$FA" run -o "$T/$1.falloc" -- "${@:2}" >/dev/null; }
merge() { rm -f "$T/$1.falloc"; "$FA" merge "${@:2}" -o "$T/$1.falloc"; }
# sums RESULT TRACE...: their reports agree
cat >"$T/sums.py" <<'PY'
import json, os, subprocess, sys
fa, result, parts = sys.argv[1], sys.argv[2], sys.argv[3:]
def report(path, *more):
    p = subprocess.run([fa, "report", "--json", "--tolerate-lost", path, *more], capture_output=True, text=True)
    return json.loads(p.stdout)
def numbers(r):
    n = {("events", k): v for k, v in r["events"].items()}
    for key in ("outstanding", "total"):
        n.update({(key, k): v for k, v in r[key].items()})
    for key in ("lost", "implied_frees", "unknown_frees", "event_bytes"):
        n[key] = r[key]
    n["processes"], n["threads"] = len(r["processes"]), r["threads"]
    return n
def stacks(r):
    t = {}
    for row in r["rows"]:
        key = json.dumps(row["stack"])
        t[key] = t.get(key, 0) + row["classes"]["aifo"]["bytes"]
    return t
def add(all):
    s = {}
    for n in all:
        for k, v in n.items():
            s[k] = s.get(k, 0) + v
    return s
whole = report(result)
reports = [report(p) for p in parts]
got, want = numbers(whole), add(map(numbers, reports))
assert got == want, [(k, got.get(k), want.get(k)) for k in want if got.get(k) != want[k]]
assert got["events", "alloc"] > 0
# Where threads free blocks of each other, a free's place among their events is known to about a sweep, and
# the peak with it.
threaded = "THREADED" in os.environ
keys = ("image", "pid", "events", "outstanding_bytes", "inherited_bytes", "status", "lost") + (() if threaded else ("peak",))
def people(r):
    return [json.dumps([p.get(k) for k in keys]) for p in r["processes"]]
assert sorted(people(whole)) == sorted(p for r in reports for p in people(r))
a, b = stacks(report(result, "--view", "outstanding")), add(stacks(report(p, "--view", "outstanding")) for p in parts)
assert a == b, (a, b)
assert threaded or max(r["peak"]["bytes"] for r in reports) <= whole["peak"]["bytes"] <= sum(r["peak"]["bytes"] for r in reports)
PY
sums() { python3 "$T/sums.py" "$FA" "$@"; }

in_turn() {
	traced a "$P/known" 1000
	traced b "$P/known" 3000
	traced c "$P/fork_tree" || same $? 3
	merge ab "$T/a.falloc" "$T/b.falloc" | grep -q '^2 traces merged into '
	sums "$T/ab.falloc" "$T/a.falloc" "$T/b.falloc"
	merge abc "$T/b.falloc" "$T/c.falloc" "$T/a.falloc"
	sums "$T/abc.falloc" "$T/a.falloc" "$T/b.falloc" "$T/c.falloc"
}
it 30.1 "programs one after the other: report of the result is the sum, stack by stack, forks included" in_turn

at_once() {
	traced x "$P/threads" 4 20000 &
	traced y "$P/threads" 3 20000
	wait $!
	merge xy "$T/x.falloc" "$T/y.falloc"
	THREADED=1 sums "$T/xy.falloc" "$T/x.falloc" "$T/y.falloc"
	"$FA" dump --json --records pass,clock "$T/xy.falloc" >"$T/d.json"
	python3 - "$T/d.json" <<'PY'
import json, sys
rows = [json.loads(l) for l in open(sys.argv[1])]
at = [r["time_ns"] for r in rows if r["record"] == "pass"]
assert len(at) > 2 and at == sorted(at), at
PY
}
it 30.2 "programs at once, blocks handed from thread to thread: the same, and the sweeps are in time order" at_once

grouped() {
	merge ab_c "$T/ab.falloc" "$T/c.falloc"
	sums "$T/ab_c.falloc" "$T/a.falloc" "$T/b.falloc" "$T/c.falloc"
}
it 30.3 "a merged trace can be merged" grouped

old_ones() { # of a machine of their own, with losses, marks, all kinds of records
	merge old "$SRC/tests/golden/trace-v1.falloc" "$SRC/tests/golden/trace-v2.falloc"
	sums "$T/old.falloc" "$SRC/tests/golden/trace-v1.falloc" "$SRC/tests/golden/trace-v2.falloc"
	"$FA" report --json --tolerate-lost "$T/old.falloc" >"$T/r.json"
	same "$(json "$T/r.json" 'j["lost"]')" 6
	same "$("$FA" dump "$T/old.falloc" --records mark | grep -c halfway)" 1
	for kind in alloc free realloc stamp node module coverage process thread; do
		same "$("$FA" dump "$T/old.falloc" | grep -c "^ *[-0-9.]* $kind ")" \
			"$(for v in 1 2; do "$FA" dump "$SRC/tests/golden/trace-v$v.falloc"; done | grep -c "^ *[-0-9.]* $kind ")"
	done
}
it 30.4 "traces of older versions, with losses and marks: no record is missing" old_ones

in_order() { # the events of each thread as they were
	python3 - "$FA" "$T" <<'PY'
import json, subprocess, sys
fa, t = sys.argv[1:]
def threads(path):
    names, of = {}, {}
    p = subprocess.run([fa, "dump", "--json", path], capture_output=True, text=True, check=True)
    for line in p.stdout.splitlines():
        r = json.loads(line)
        if r["record"] == "process":
            names[r["process"]] = r["pid"]
        elif r["record"] in ("alloc", "realloc", "free"):
            of.setdefault((names[r["process"]], r["thread"]), []).append(
                [r.get(k) for k in ("record", "address", "old_address", "size", "stack", "function")])
    return of
whole, parts = threads(t + "/xy.falloc"), {**threads(t + "/x.falloc"), **threads(t + "/y.falloc")}
assert len(whole) > 6 and whole == parts
PY
}
it 30.5 "the events of each thread stand in their order, unchanged" in_order

if [ "$(id -u)" = 0 ]; then
	echo 12345678-aaaa-bbbb-cccc-1234567890ab >"$T/boot"
	other_boot() {
		mount --bind "$T/boot" /proc/sys/kernel/random/boot_id
		traced o "$P/known" 500 || { umount /proc/sys/kernel/random/boot_id; return 1; }
		umount /proc/sys/kernel/random/boot_id
		! merge ao "$T/a.falloc" "$T/o.falloc" 2>"$T/e" || return 1
		cat "$T/e"
		grep -q "o.falloc: cannot be merged: it is of another boot or machine (boot id 12345678-aaaa" "$T/e"
		[ ! -e "$T/ao.falloc" ]
	}
	it 30.6 "a trace of another boot is refused with the reason, and nothing is made" other_boot
	shifted() {
		merge ao "$T/a.falloc" "$T/o.falloc" --shift 2>"$T/e"
		grep -q 'of another boot or machine: its times' "$T/e"
		sums "$T/ao.falloc" "$T/a.falloc" "$T/o.falloc"
		python3 - "$FA" "$T" <<'PY'
import json, subprocess, sys
fa, t = sys.argv[1:]
def starts(path):
    p = subprocess.run([fa, "dump", "--json", "--records", "process,clock", path], capture_output=True, text=True, check=True)
    rows = [json.loads(l) for l in p.stdout.splitlines()]
    real = [r for r in rows if r["record"] == "clock"][0]["real_ns"]
    return real, [r["time_ns"] for r in rows if r["record"] == "process"]
real_a, _ = starts(t + "/a.falloc")
real_o, (o,) = starts(t + "/o.falloc")
_, both = starts(t + "/ao.falloc")
want = real_o - real_a + o
assert abs(both[1] - want) < 20_000_000, (both, want)
PY
	}
	it 30.7 "--shift puts it where it belongs by the time of day" shifted
else
	skip 30.6 "a trace of another boot" "needs root"
fi
other_clock() {
	! merge g "$T/a.falloc" "$SRC/tests/golden/trace-v2.falloc" 2>"$T/e" || return 1
	grep -q 'another boot' "$T/e"
	! merge g "$T/a.falloc" "$SRC/tests/golden/trace-v2.falloc" --shift 2>"$T/e" || return 1
	cat "$T/e"
	grep -qE 'clock has another speed|another kind of clock' "$T/e"
	[ ! -e "$T/g.falloc" ]
}
it 30.8 "a clock of another speed is refused in any case" other_clock

one_process_twice() {
	cp "$T/a.falloc" "$T/a2.falloc"
	merge twice "$T/a.falloc" "$T/a2.falloc" 2>"$T/e" >"$T/o"
	grep -q '1 process is in more than one of the traces' "$T/e"
	sums "$T/twice.falloc" "$T/a.falloc" "$T/a2.falloc"
	merge twice --json "$T/a.falloc" "$T/b.falloc" >"$T/o" 2>"$T/e"
	same "$(cat "$T/e")" ""
	same "$(json "$T/o" '[j["traces"], j["processes_twice"], j["lost"]]')" "[2, 0, 0]"
	same "$(json "$T/o" 'j["bytes"]')" "$(stat -c %s "$T/twice.falloc")"
}
it 30.9 "a process that is in two of them is said to be, and counted for each" one_process_twice

not_whole() {
	local size got=0
	# Not packed: then it would be one block.
	rm "$T/b.falloc"
	"$FA" run --compress none -o "$T/b.falloc" -- "$P/threads" 2 3000 >/dev/null
	size=$(stat -c %s "$T/b.falloc")
	head -c $((size / 2)) "$T/b.falloc" >"$T/half.falloc"
	merge h "$T/a.falloc" "$T/half.falloc" 2>"$T/e" >/dev/null
	grep -q 'half.falloc: not ended properly' "$T/e"
	"$FA" report --json "$T/h.falloc" >/dev/null 2>"$T/e"
	grep -q 'not ended properly' "$T/e"
	sums "$T/h.falloc" "$T/a.falloc" "$T/half.falloc"
	cp "$T/b.falloc" "$T/bad.falloc"
	printf '\xff\x00\xff' | dd of="$T/bad.falloc" bs=1 seek=$((size / 2)) conv=notrunc status=none
	merge h "$T/a.falloc" "$T/bad.falloc" 2>"$T/e" >/dev/null || got=$?
	same "$got" 2
	grep -q 'bad.falloc: damaged at byte' "$T/e"
	"$FA" dump "$T/h.falloc" --stats 2>"$T/e" >/dev/null
	grep -q 'not ended properly' "$T/e"
}
it 30.10 "a cut or damaged trace is merged as far as it goes, and the result says that it is not whole" not_whole

refused() {
	! "$FA" merge "$T/a.falloc" "$T/b.falloc" -o "$T/a.falloc" 2>"$T/e" || return 1
	grep -q 'never overwritten' "$T/e"
	! merge n "$T/a.falloc" /bin/true 2>"$T/e" || return 1
	grep -q '/bin/true: not a firstalloc trace' "$T/e"
	! merge n "$T/a.falloc" "$T/nothing" 2>"$T/e" || return 1
	grep -q 'nothing: No such file' "$T/e"
	! merge n "$T/a.falloc" 2>"$T/e" || return 1
	! "$FA" merge "$T/a.falloc" "$T/b.falloc" 2>"$T/e" || return 1
	for f in "$SRC"/tests/fuzz/corpus/trace/*; do
		merge n "$T/a.falloc" "$f" --shift >/dev/null 2>"$T/e" || [ $? -le 5 ]
	done
	rm -f "$T/n.falloc"
	! "$FA" merge "$T/a.falloc" /bin/true -o "$T/n.falloc" 2>"$T/e" || return 1
	[ ! -e "$T/n.falloc" ]
}
it 30.11 "what exists is not overwritten; no trace, one trace, hostile traces: an error and no file" refused
results
