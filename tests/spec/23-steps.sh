#!/bin/bash
# 23 - a signal at each instruction of malloc, realloc and free, as the tracer is in their way.
#
# Claims: 23.1 to 23.6: wherever in the writing of an event a handler comes in that allocates, leaves by siglongjmp or
# forks, the program goes on, and the trace has each call that it made once, with its size and its stack. An
# allocator stands behind that handlers may call. 23.8 to 23.10: the same in all that the shim does, of whose steps
# some are left out, by strides that have no divisor in common with anything. 23.7: a wait that a filter may forbid.
. "$(dirname "$0")/lib.sh"

O=$T/t.falloc
BEFORE=160 # rounds to warm up
# Of the shim, the functions that write events: what they call, as the walk of a stack, is run through.
writing=$(nm -lS "$B/libfirstalloc_preload.so" |
	awk '$3 == "T" || $3 == "t" && $5 ~ /shim\/(tracer|calls)\.c:/ { printf "%s+%s ", $1, $2 }')
# stepped HOW WHAT STRIDE [PLACES]: R rounds, J left by a jump, F forks; the calls of realloc and free in the trace
stepped() {
	LD_PRELOAD=$P/guest_bump "$FA" run -o "$O" -- "$P/stepper" "$1" "$2" "${@:3}" >"$T/out" 2>"$T/err" || {
		cat "$T/out" "$T/err"
		return 1
	}
	same "$(cat "$T/out")" stepped
	read -r R J F _ < <(grep -E '^[0-9]+ [0-9]+ [0-9]+ [0-9]+$' "$T/err")
	"$FA" report --json "$O" >"$T/r.json" || true
	realloc=$(json "$T/r.json" "j['events']['realloc']")
	free=$(json "$T/r.json" "j['events']['free']")
	lost=$(json "$T/r.json" "j['lost']")
	echo "$R rounds, $J jumps, $F forks: $realloc realloc, $free free, $lost lost"
	[ "$R" -gt 20 ]
	[ -z "${4:-}" ] || [ "$R" -gt $((300 / $3)) ] # all of malloc, realloc and free
	"$FA" report --json --tolerate-lost --view total --by stack --no-cull "$O" >"$T/v.json"
	true_values
}
# Each allocation has its own size and its own stack: calls() has a line for 40 bytes and one for 100, and is
# reached by 14 times go(), or from the handler, which came over the same.
true_values() {
	python3 - "$T/v.json" "$T/r.json" "$SRC/tests/programs/stepper.c" <<-'PY'
		import json, sys
		size = {n: 40 if "malloc(40)" in l else 100 for n, l in enumerate(open(sys.argv[3]), 1) if "malloc(40)" in l or "realloc((void *)p, 100)" in l}
		r, all, bad = json.load(open(sys.argv[2])), 0, []
		for row in json.load(open(sys.argv[1]))["rows"]:
		    names = [f["function"] for f in row["stack"]]
		    if names and "be_stepped" not in names and "watch" in names or "calls" not in names and "go" not in names and names:
		        continue # what libc allocates
		    all += row["blocks"]
		    if not names or names[0] != "calls" or names.count("go") != 14 or row["broken"] or \
		            row["bytes"] != row["blocks"] * size.get(row["stack"][0]["line"], 0):
		        bad.append((row["blocks"], row["bytes"], names, [f["line"] for f in row["stack"]][:1]))
		print(all, "allocations, unknown frees", r["unknown_frees"], "implied", r["implied_frees"], "wrong:", len(bad), bad[:5])
		sys.exit(bool(bad) or all < 300)
	PY
}
between() { [ "$1" -ge "$2" ] && [ "$1" -le "$3" ] || { echo "$1 is not between $2 and $3"; return 1; }; }
allocates() { # each round but the last is interrupted once
	stepped alloc "$@"
	same "$realloc $free $lost" "$((BEFORE + 2 * R - 1)) $((BEFORE + 2 * R - 1)) 0"
}
jumps() { # of a call that was left, the event may be there or not
	stepped jump "$@"
	same "$J $lost" "$((R - 1)) 0"
	between "$realloc" $((BEFORE + R)) $((BEFORE + R + J))
	between "$free" $((BEFORE + R)) $((BEFORE + R + J))
	same "$(json "$T/r.json" "j['unknown_frees']")" 0
}
# A child makes five rounds of its own, after what it finds of the interrupted one. Nothing is missing: the
# parent has each call, and the children know what they free.
forks() {
	stepped fork "$@"
	same "$F" $((R - 1))
	python3 - "$T/r.json" "$R" "$F" "$BEFORE" <<-'PY'
		import json, sys
		(rounds, forks, before), j = map(int, sys.argv[2:]), json.load(open(sys.argv[1]))
		parent, children = j["processes"][1], [p["events"] for p in j["processes"][2:]]
		print("children", len(children), min(children), max(children), "parent", parent["events"], "lost", j["lost"])
		assert len(children) == forks and min(children) >= 15 and max(children) <= 18
		assert parent["events"] == 3 * (before + rounds) and j["lost"] == 0 and j["unknown_frees"] == 0
	PY
}
alone() {
	bash -c 'exec "$0" run -o "$1" -- "$2" $$' "$FA" "$O" "$P/guest_alone" >"$T/out" || cat "$T/out"
	same "$(cat "$T/out")" "alone ok"
	[ "$("$FA" report --json "$O" >"$T/r.json"; json "$T/r.json" "j['events']['alloc'] + j['lost'] > 1000000")" = true ]
}
# One step of a program takes turns with its watcher: two halves at once, where there are two processors.
if [ -n "${HALF:-}" ]; then
	it 23.1 "handlers that allocate, calls from one place" allocates same 1 "$writing"
	it 23.2 "the same, from places in turns" allocates turns 1 "$writing"
	it 23.3 "handlers that leave by siglongjmp" jumps turns 1 "$writing"
	it 23.9 "handlers that leave all that it calls" jumps turns 97
	results
	exit
fi
HALF=first bash "$0" >"$T/first" 2>&1 &
it 23.4 "they leave by siglongjmp, each call from a new place" jumps new 1 "$writing"
it 23.5 "a fork in the handler: the child comes back into the call" forks turns 2 "$writing"
it 23.6 "the same, each call from a new place" forks new 2 "$writing"
it 23.8 "handlers that allocate, also in all that the writing calls" allocates turns 23
it 23.10 "forks in all of it" forks new 97
it 23.7 "a fork child of threads that forbids itself futex may wait for buffers" alone
wait
add_results "$T/first"
results
