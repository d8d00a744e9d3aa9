#!/bin/bash
# 2 - the tracer: what is recorded is what was called, in whatever way a program lives and ends.
#
# Every claim runs a small program (tests/programs) under `firstalloc run` and holds the trace
# against what the program is known to have done. Nothing of the program changes: output, errno
# (the programs check theirs), exit status.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/order.sh"

# It waits more than it works: beside the others.
if [ -n "${KILLS_ONLY:-}" ]; then
	. "$SRC/tests/spec/killed.sh"
	it 2.25 "200 SIGKILLs at random moments: every event whose call had returned is in the trace" killed_at_random 200
	results
	exit
fi
KILLS_ONLY=yes bash "$0" >"$T/kills" 2>&1 &

O=$T/t.falloc
traced() { # command...: its output in $T/out, its status in $status
	rm -f "$O"
	status=0
	"$FA" run -o "$O" -- "$@" >"$T/out" 2>"$T/err" || status=$?
	"$FA" report --json "$O" >"$T/r.json"
}
sum() { json "$T/r.json" "$1"; }
rows() { "$FA" report --json --view "$1" "${@:2}" "$O" >"$T/v.json"; }

families() {
	traced "$P/families"
	same $status 7
	same "$(cat "$T/out")" "families ok"
	same "$(cat "$T/err")" ""
	same "$(sum "j['outstanding']['blocks'], j['outstanding']['bytes']")" "(7, 7936)"
	# 7 allocations, 4 reallocs (2 of nothing, 1 growing, 1 to nothing), 1 free
	same "$(sum "j['events']['alloc'], j['events']['realloc'], j['events']['free']")" "(7, 4, 1)"
	same "$(sum "j['lost']")" 0
}
it 2.1 "every heap function is recorded once, errno and results are the real ones" families

fork_tree() {
	traced "$P/fork_tree"
	same $status 3
	same "$(sum "len(j['processes'])")" 3
	same "$(sum "sorted(p['outstanding_bytes'] for p in j['processes'])")" "[10110, 20000, 30000]"
	same "$(sum "sorted(p.get('inherited_bytes', 0) for p in j['processes'])")" "[0, 9000, 29000]"
	same "$(sum "j['lost']")" 0
}
it 2.2 "fork children are processes of their own, with what they inherited" fork_tree

threads() {
	traced "$P/threads" 8 5000
	same $status 0
	same "$(sum "j['threads']")" 9
	same "$(sum "j['events']['alloc'] - j['events']['free'] == j['outstanding']['blocks']")" true
	same "$(sum "j['events']['alloc'] >= 40000 and j['lost'] == 0")" true
}
it 2.3 "threads that free each other's blocks: nothing lost, nothing left over" threads

many_threads() {
	traced "$P/threads" 200 50
	same $status 0
	same "$(sum "j['threads'] >= 201 and j['events']['alloc'] >= 10000 and j['lost'] == 0")" true
}
it 2.4 "200 threads at once are recorded" many_threads

ending() { # how, status
	traced "$P/endings" "$1" 1000
	same $status $2
	rows outstanding
	same "$(json "$T/v.json" "[r['blocks'] for r in j['rows'] if r['bytes'] == 64000]")" "[1000]"
	same "$(sum "j['lost']")" 0
}
it 2.5 "return" ending return 9
it 2.6 "exit" ending exit 9
it 2.7 "_exit" ending _exit 9
it 2.8 "abort" ending abort 134
it 2.9 "SIGKILL: every event whose call had returned is there" ending kill 137
it 2.10 "quick_exit" ending quick 9
exec_again() {
	traced "$P/endings" exec 500
	same $status 9
	same "$(sum "len(j['processes'])")" 2
	same "$(sum "len(set(p['pid'] for p in j['processes']))")" 1
	same "$(sum "[p['outstanding_bytes'] >= 32000 for p in j['processes']]")" "[True, True]"
}
it 2.11 "exec begins a new process with the same pid" exec_again

children() {
	traced "$P/children"
	same $status 0
	same "$(cat "$T/out")" "children ok"
	rows total --no-cull
	same "$(json "$T/v.json" "sorted(r['bytes'] for r in j['rows'] if r['bytes'] in (7001, 8001, 6000))")" "[6000, 7001, 8001]"
	same "$(sum "j['lost']")" 0
}
it 2.12 "vfork, posix_spawn, raw clone, a thread that forks" children

plugins() {
	traced "$P/dlopens" "$P/plugin" 20
	same $status 0
	rows total
	json "$T/v.json" "j['rows'][0]"
	same "$(json "$T/v.json" "sum(r['blocks'] for r in j['rows'] if any(f['function'] == 'plugin_alloc' for f in r['stack']))")" 20
}
it 2.13 "stacks through a library that is closed and opened again" plugins

handlers() {
	traced "$P/handlers" 300
	same $status 0
	same "$(sum "j['lost'] == 0 and j['events']['alloc'] > 300")" true
	same "$(sum "abs(j['events']['alloc'] - j['events']['free']) < 10")" true
}
it 2.14 "siglongjmp out of handlers leaves the thread traced" handlers

cplusplus() {
	traced "$P/throws"
	same $status 0
	same "$(cat "$T/out")" "throws ok 500"
	rows outstanding
	same "$(json "$T/v.json" "any('shop::Order::Order' in (f['function'] or '') or 'shop::keep' in (f['function'] or '') for r in j['rows'] for f in r['stack'])")" true
}
it 2.15 "C++ exceptions work, names are demangled" cplusplus

rust() {
	cat >"$T/grow.rs" <<-'RS'
		#[inline(never)]
		fn keep_it(n: usize) -> Vec<u8> { Vec::with_capacity(n) }
		fn main() { std::mem::forget(keep_it(54321)); println!("rust ok"); }
	RS
	rustc -g -O -o "$T/grow" "$T/grow.rs"
	traced "$T/grow"
	same "$(cat "$T/out")" "rust ok"
	rows outstanding
	same "$(json "$T/v.json" "any('keep_it' in (f['function'] or '') for r in j['rows'] if r['bytes'] == 54321 for f in r['stack'])")" true
}
if rustc --version >/dev/null 2>&1; then
	it 2.16 "Rust programs" rust
else
	skip 2.16 "Rust programs" "no rustc here"
fi

lines() {
	echo 100 >"$T/requests"
	: >"$T/served"
	traced sh -c "$P/leak_server $T/requests >$T/served & until grep -q done $T/served; do sleep 0.05; done; kill -9 \$!; wait"
	rows outstanding --function open_session
	same "$(json "$T/v.json" "[(r['blocks'], r['bytes'], r['stack'][0]['function'], r['stack'][0]['file'].split('/')[-1], r['stack'][0]['line'] > 0) for r in j['rows']]")" \
		"[(100, 20800, 'open_session', 'leak_server.c', True)]"
}
it 2.17 "a leak is named by function, file and line" lines

depth() {
	rm -f "$O"
	"$FA" run --depth 3 -o "$O" -- "$P/families" >/dev/null || true
	rows total --no-cull
	same "$(json "$T/v.json" "max(len([f for f in r['stack'] if not f.get('inlined')]) for r in j['rows'])")" 3
}
it 2.18 "--depth cuts stacks" depth

it 2.19 "10 million events of 2 threads stand in the order in which the program made them" in_order 2 10000000
it 2.20 "of 4 threads, each free stamped" in_order 4 10000000 --stamp all
it 2.21 "of 8 threads" in_order 8 10000000

# Half of the first thread's 1,000,000 allocations: few of them have a stamp, whether by malloc, calloc or realloc; and
# all that come later do.
late_threads() {
	LATE=1 in_order 3 6000000
	cat "$T/order.out"
	[ "$(sed -n 's/.* bare \([0-9]*\) .*/\1/p' "$T/order.out")" -gt 300000 ]
}
it 2.26 "one thread needs few stamps, and others that come later find its events before theirs" late_threads

# With each event stamped no stack is foreseen, and no free goes the quick way: the same calls of the same program
# must have the same stacks. Without time they are foreseen as with it.
free_stacks() {
	gcc -O2 -w -o "$T/pairs" "$SRC/tests/bench/pairs.c"
	for mode in alloc none all; do
		setarch -R "$FA" run --stacks all --stamp $mode -o "$O" -- "$T/pairs" 30000 8 >/dev/null
		"$FA" dump --json --records nodes,alloc,free "$O" >"$T/$mode.json"
	done
	python3 - "$T/alloc.json" "$T/none.json" "$T/all.json" <<-'PY'
		import json, sys
		def events(path):
		    node, found = {0: (0, 0)}, []
		    for line in open(path):
		        j = json.loads(line)
		        for n in j.get("nodes", []):
		            node[n["id"]] = (n["parent"], n["pc"])
		        if j["record"] in ("alloc", "free"):
		            stack, at = [], j["stack"]
		            while at != 0:
		                at, pc = node[at]
		                stack.append(pc)
		            found.append((j["record"], j["address"], tuple(stack)))
		    return found
		quick, untimed, slow = map(events, sys.argv[1:])
		frees = {e[2] for e in quick if e[0] == "free"}
		print(len(quick), "events", len(frees), "stacks of frees")
		assert len(quick) > 59000 and len(frees) >= 40 and all(e[2] for e in quick)
		for fast in quick, untimed:
		    assert fast == slow, [(i, a, b) for i, (a, b) in enumerate(zip(fast, slow)) if a != b][:3]
	PY
}
it 2.27 "frees have the stacks that they have when each is walked" free_stacks

full_table() { # an arena of 8 MB, where the address space is small, has 131,072 nodes
	traced sh -c "ulimit -v 32768; exec $P/stacks new 100000 18"
	same $status 0
	rows total --no-cull --size 24,25
	# Whole, or marked: none ends where no room was left. Those that are cut still name who allocates.
	python3 - "$T/v.json" <<-'PY'
		import json, sys
		j = json.load(open(sys.argv[1]))
		names = lambda r: [f["function"] for f in r["stack"]]
		whole = [r for r in j["rows"] if not r["truncated"]]
		cut = [r for r in j["rows"] if r["truncated"]]
		blocks = [sum(r["blocks"] for r in rows) for rows in (whole, cut)]
		print(blocks, len(cut), j["warnings"])
		assert sum(blocks) == 200000 and min(blocks) > 20000 and len(cut) <= 16
		assert all(names(r).count("new_a") + names(r).count("new_b") == 19 and "main" in names(r) for r in whole)
		assert all(names(r)[-1] in ("new_a", "new_b") and len(names(r)) == 4 for r in cut)
		assert any("more stacks than there is room for" in w for w in j["warnings"])
	PY
}
it 2.22 "stacks that find no room are marked, and name who allocates" full_table

late_collector() { # under `run` it comes for sure; who needs a second segment before that waits for it
	traced sh -c "kill -STOP \$PPID; (sleep 0.3; kill -CONT \$PPID) & exec $P/stacks new 50000 20"
	same $status 0
	same "$(sum "(j['lost'], j['warnings'])")" "(0, [])"
	rows total --by function --function '^new_[ab]$'
	same "$(json "$T/v.json" "sum(r['stacks'] for r in j['rows'])")" 100000
}
it 2.23 "a burst of new stacks waits for a collector that comes late" late_collector

untimed() { # the order of threads is not known within a tick, but what is left is
	rm -f "$O"
	"$FA" run --stamp none -o "$O" -- "$P/threads" 8 200000 >"$T/out"
	"$FA" report --json "$O" >"$T/r.json"
	same "$(sum "(j['events']['alloc'] - j['events']['free'] - j['outstanding']['blocks'], j['unknown_frees'], j['lost'])")" "(0, 0, 0)"
	sum "j['warnings']" | grep -q "order between threads"
}
it 2.24 "without time the blocks that are left are right, though threads free each other's" untimed

wait
add_results "$T/kills"
results
