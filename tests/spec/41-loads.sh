#!/bin/bash
# 41 - modules that come and go, by the flag `loader` of a rule or of `run`.
#   41.1-41.3  dlopen and dlclose, with the module, the stack, the thread; places that are used again
#   41.4, 41.5 what is not to change: what dlopen finds, by whom it is called, what it says when it fails
#   41.6, 41.7 what libc loads by itself; fork
#   41.8, 41.9 without the flag; filters
#   41.11-41.13 what is beside the heap, these and other kinds, from the C library
#   41.10      a process that is woken, with a collector
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"

O=$T/t.falloc
A=$P/plugin
OTHER=$P/plugin_other
loads() { # how, arguments...: what it prints in $T/out, the view in $T/v.json
	rm -f "$O"
	"$FA" run --flags loader -o "$O" -- "$P/loads" "$@" >"$T/out"
	"$FA" report --json --view loads "$O" >"$T/v.json"
	same "$(seen "j['lost']")" 0
}
seen() { json "$T/v.json" "$1"; }
LINE="(r['event'], r['how'], r['module'].split('/')[-1], ([f['function'] for f in r['stack']] + ['-'])[0])"
build_id() { readelf -n "$1" | sed -n 's/.*Build ID: //p'; }

basic() {
	loads basic "$A" "$OTHER"
	same "$(cat "$T/out")" "loads ok"
	# opened twice, it is loaded once, and unloaded when it is closed for the second time
	same "$(seen "[$LINE for r in j['rows']]")" "[('load', 'dlopen', 'plugin', 'open_a'), ('load', 'dlopen', 'plugin_other', 'open_b'), ('unload', 'dlclose', 'plugin_other', 'close_b'), ('unload', 'dlclose', 'plugin', 'close_a')]"
	same "$(seen "(j['loads'], j['unloads'], [r['module'] for r in j['rows']][:2], [r['build_id'] for r in j['rows']][:2])")" \
		"(2, 2, ['$A', '$OTHER'], ['$(build_id "$A")', '$(build_id "$OTHER")'])"
	same "$(seen "[r['tid'] == r['pid'] and r['image'] == 'loads' and r['size'] > 4096 for r in j['rows']]")" "[True, True, True, True]"
	"$FA" report --view loads "$O" >"$T/text"
	grep -q "2 loaded, 2 unloaded" "$T/text"
	grep -A 2 "load  *$A$" "$T/text" | grep -q "dlopen, 0x.*build-id $(build_id "$A"), loads"
	grep -q "open_a  loads.c:" "$T/text"
	"$FA" dump --records call "$O" | grep -c 'function=load .*old_address=.*stack=' | grep -qx 2
}
it 41.1 "a load and an unload are recorded with module, build-id, stack and thread; what is only counted up and down is none" basic

again() { # one lies where the other did, and each is told by its name
	loads loop "$A" "$OTHER" 100
	same "$(cat "$T/out")" "loads ok"
	same "$(seen "sorted(set($LINE for r in j['rows']))")" "[('load', 'dlopen', 'plugin', 'open_a'), ('load', 'dlopen', 'plugin_other', 'open_b'), ('unload', 'dlclose', 'plugin', 'close_a'), ('unload', 'dlclose', 'plugin_other', 'close_b')]"
	same "$(seen "(j['loads'], j['unloads'], len(set(r['base'] for r in j['rows'])) < 10)")" "(200, 200, True)"
	same "$(seen "[r['event'] for r in j['rows']] == ['load', 'unload'] * 200")" true
}
it 41.2 "where one lies at the address of another each stack has its own" again

threads() { # who closes and did not come to say so before the place was used again is not known: found
	loads threads "$A" "$OTHER" 1000
	same "$(cat "$T/out")" "loads ok"
	same "$(seen "sorted(set($LINE for r in j['rows'] if r['how'] != 'found'))")" "[('load', 'dlopen', 'plugin', 'open_a'), ('load', 'dlopen', 'plugin_other', 'open_b'), ('unload', 'dlclose', 'plugin', 'close_a'), ('unload', 'dlclose', 'plugin_other', 'close_b')]"
	same "$(seen "(j['loads'] == j['unloads'], [m for m in ('plugin', 'plugin_other') if sum(1 if r['event'] == 'load' else -1 for r in j['rows'] if r['module'].endswith('/' + m)) != 0])")" "(True, [])"
}
it 41.3 "four threads at once: no module gets another's stack, and what came has gone" threads

by_whom() {
	mkdir -p "$T/w/named"
	cp "$A" "$T/w/named/libnamed.so"
	cd "$T/w"
	"$P/loads" caller "$P/plugin_host" libnamed.so "$OTHER" >"$T/want"
	loads caller "$P/plugin_host" libnamed.so "$OTHER"
	cmp "$T/want" "$T/out"
	grep -qx 'not by main' "$T/out"
	grep -qx 'by the host, 0' "$T/out"
	same "$(seen "[$LINE for r in j['rows'] if r['event'] == 'load' and r['how'] == 'dlopen']")" "[('load', 'dlopen', 'plugin_host', 'caller'), ('load', 'dlopen', 'libnamed.so', 'host_open'), ('load', 'dlopen', 'plugin_other', 'caller'), ('load', 'dlopen', 'plugin_host', 'caller')]"
	# its own libc comes and goes with it
	same "$(seen "sorted($LINE for r in j['rows'] if r['how'] == 'dlmopen')")" "[('load', 'dlmopen', 'libc.so.6', 'caller'), ('load', 'dlmopen', 'plugin_other', 'caller')]"
	same "$(seen "sorted(r['module'].split('/')[-1] for r in j['rows'] if r['event'] == 'unload')")" "['libc.so.6', 'libnamed.so', 'plugin_host', 'plugin_other', 'plugin_other']"
}
it 41.4 "what dlopen finds depends on who calls it, as without us: RUNPATH, RTLD_NEXT, dlmopen, RTLD_DEEPBIND" by_whom

failing() {
	"$P/loads" wrong "$A" "$P/plugin_bad" >"$T/want"
	loads wrong "$A" "$P/plugin_bad"
	cmp "$T/want" "$T/out"
	same "$(seen "[$LINE for r in j['rows']]")" "[('load', 'dlopen', 'plugin', 'open_a'), ('unload', 'dlclose', 'plugin', 'close_a')]"
}
it 41.5 "what fails, mapped already or not, is no event; dlerror and errno are the real ones" failing

by_libc() {
	loads libc "$A"
	same "$(cat "$T/out")" "loads ok"
	same "$(seen "[$LINE for r in j['rows'] if r['how'] != 'found']")" "[('load', 'dlopen', 'plugin', 'open_a'), ('unload', 'dlclose', 'plugin', 'close_a')]"
	same "$(seen "('UTF-16.so' in [r['module'].split('/')[-1] for r in j['rows'] if r['how'] == 'found'], [r for r in j['rows'] if r['how'] == 'found' and r['stack'] != []])")" "(True, [])"
}
if [ -e "$(dirname "$(ldd "$P/loads" | awk '/libc.so.6/ { print $3 }')")/gconv/UTF-16.so" ]; then
	it 41.6 "what libc loads by itself is found, without a stack, and blamed on nobody" by_libc
else
	skip 41.6 "what libc loads by itself is found" "no converters are installed here"
fi

forked() {
	loads fork "$A"
	same "$(seen "[(r['event'], r['how']) for r in j['rows']]")" "[('load', 'dlopen'), ('unload', 'dlclose')]"
	same "$(seen "j['rows'][0]['pid'] != j['rows'][1]['pid']")" true
	grep -q "loads ok" "$T/out"
}
it 41.7 "a fork child knows what its parent had loaded, and tells what it unloads" forked

unflagged() {
	"$FA" run --flags heap,vm,lock -o "$T/u.falloc" -- "$P/loads" basic "$A" "$OTHER" >/dev/null
	same "$("$FA" dump --records call "$T/u.falloc" | grep -c 'load')" 0
	"$FA" report --view loads "$T/u.falloc" | grep -q 'no load is in the trace: see firstalloc-enable(1), --flags loader'
}
it 41.8 "without the flag none of them is in the trace" unflagged

filtered() {
	loads basic "$A" "$OTHER"
	"$FA" report --json --view loads --function '^open_b$' "$O" >"$T/v.json"
	same "$(seen "[$LINE for r in j['rows']]")" "[('load', 'dlopen', 'plugin_other', 'open_b')]"
	"$FA" report --json --view loads --top 1 "$O" >"$T/v.json"
	same "$(seen "(j['row_count'], len(j['rows']))")" "(4, 1)"
	"$FA" report --json --view loads --range ,1ns "$O" >"$T/v.json"
	same "$(seen "(j['loads'], j['rows'])")" "(0, [])"
	"$FA" run --flags loader -o "$T/b.falloc" -- "$P/loads" loop "$A" "$OTHER" 2 >/dev/null
	rm -f "$T/merged.falloc"
	"$FA" merge "$O" "$T/b.falloc" -o "$T/merged.falloc"
	"$FA" report --json --view loads "$T/merged.falloc" >"$T/v.json"
	same "$(seen "(j['loads'], j['unloads'], [r['module'] for r in j['rows']][:2])")" "(6, 6, ['$A', '$OTHER'])"
	# the heap is as it was
	"$FA" report --json "$O" >"$T/r.json"
	same "$(json "$T/r.json" "j['events']['alloc'] > 6")" true
}
it 41.9 "filters, merged traces, and the heap beside it" filtered

# --- the same, and all that is beside the heap, for programs that read traces: include/firstalloc.h
beside_heap() { # flags, program...: what the example says in $T/o, and the same from report in $T/v.json
	gcc -Wall -Wextra -Werror -I"$SRC/include" "$SRC/examples/beside.c" -L"$B" -lfirstalloc -Wl,-rpath,"$B" -o "$T/beside"
	rm -f "$T/b.falloc"
	"$FA" run --flags "$1" -o "$T/b.falloc" -- "${@:2}" >"$T/out"
	"$T/beside" "$T/b.falloc" >"$T/o"
}
calls_too() {
	beside_heap vm "$P/spaces"
	same "$(sed -n 's/^space \([a-z]*\) .*/\1/p' "$T/o" | sort | uniq -c | xargs)" "3 brk 6 mmap 1 mprotect 1 mremap 2 munmap"
	grep -qx 'space mmap 409600 0 1 map' "$T/o"
	grep -qx 'space munmap 409600 0 0 forget' "$T/o"
	grep -qx 'space mremap 81920 16384 0 grow' "$T/o"
	grep -qx 'space mprotect 24576 0 3 keep' "$T/o"
	beside_heap lock "$P/contended" wait
	"$FA" report --json --view locks "$T/b.falloc" >"$T/v.json"
	same "$(sed -n 's/^wait \(.*\) [0-9]\{8,\} /\1 /p' "$T/o" | sort)" "mutex $(cat "$T/out") given up wait_timed
mutex $(cat "$T/out") wait_mutex
read $(cat "$T/out") wait_read
write $(cat "$T/out") wait_write"
	# a tick is not a whole number of ns
	same "$(json "$T/v.json" "abs($(awk '/^wait/ { s += $3 } END { print s }' "$T/o") - j['wait_ns']) < 40")" true
	beside_heap loader "$P/loads" basic "$P/plugin" "$P/plugin_other"
	same "$(grep load "$T/o")" "load dlopen $P/plugin open_a
load dlopen $P/plugin_other open_b
unload dlclose $P/plugin_other close_b
unload dlclose $P/plugin close_a"
}
it 41.11 "the library gives out what is beside the heap: calls for address space, waits, loads, with stacks (examples/beside.c)" calls_too

extents_too() {
	rm -rf "$T/s"
	mkdir "$T/s"
	rm -f "$T/b.falloc"
	"$FA" run --compress none -o "$T/b.falloc" -- "$P/swells" "$T/s" >"$T/out" & local pid=$!
	wait_for 30 sampled
	touch "$T/s/shrink" "$T/s/end"
	wait $pid
	"$T/beside" "$T/b.falloc" | sed -n 's/^extents //p' >"$T/o"
	same "$(cat "$T/o")" "$("$FA" dump --records extents "$T/b.falloc" | sed -n 's/.*reserved=\([0-9]*\) committed=\([0-9]*\) resident=\([0-9]*\).*/\1 \2 \3/p')"
}
sampled() { "$FA" dump --records extents "$T/b.falloc" 2>/dev/null | grep -q reserved=; }
it 41.12 "and how much memory a process had" extents_too

older_program() { # the Python example's structure ends with `text`
	rm -f "$T/old.falloc"
	"$FA" run --flags vm,lock,loader -o "$T/old.falloc" -- "$P/spaces" busy >/dev/null
	[ "$("$T/beside" "$T/old.falloc" | grep -c '^space')" -gt 1000 ]
	FIRSTALLOC_LIBRARY=$B/libfirstalloc.so.0 python3 "$SRC/examples/read_trace.py" --json "$T/old.falloc" >"$T/py.json"
	"$FA" report --json "$T/old.falloc" >"$T/r.json"
	same "$(json "$T/py.json" "(j['events'], j['lost'])")" "$(json "$T/r.json" "(j['events'], j['lost'])")"
	FIRSTALLOC_LIBRARY=$B/libfirstalloc.so.0 python3 - "$SRC/examples/read_trace.py" "$T/old.falloc" >"$T/o" <<'PY'
import sys
source = open(sys.argv[1]).read().replace("\nmain()\n", "\n")
exec(source)
print(sorted(set(e.kind for e in Trace(sys.argv[2]).events()) - set(range(1, 10))))
Event = structure("Short", [(c_uint32, "size kind"), (c_int64, "time_ns")])
try:
    next(Trace(sys.argv[2]).events())
except OSError as e:
    print(e)
PY
	same "$(head -n 1 "$T/o")" "[]"
	grep -q BAD_LENGTH "$T/o"
}
it 41.13 "a program that was built before them gets the events that it knows; another length is refused" older_program

private_machine 41.10 "a process that runs already"

said() { grep -q "$1" "$T/out"; }
woken() {
	rm -f "$O"
	$fa start spec -o "$O" --min-free 0 >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	mkfifo "$T/in"
	"$P/loads" wait "$A" <"$T/in" >"$T/out" & pid=$!
	exec 9>"$T/in"
	wait_for 20 said opened
	rm -f /etc/ld.so.preload
	$fa enable --live loads --flags loader >"$T/said" 2>&1
	grep -q 'enabled for heap,loader' "$T/said"
	echo call >&9
	wait_for 20 traced_now $pid
	echo close >&9
	exec 9>&-
	wait $pid
	$fa stop spec >/dev/null
	$fa disable loads >/dev/null
	"$FA" report --json --view loads "$O" >"$T/v.json"
	same "$(seen "[$LINE for r in j['rows']]")" "[('load', 'found', 'plugin', '-'), ('unload', 'dlclose', 'plugin', 'close_a')]"
}
it 41.10 "a process that is woken: what was there before is found, what it closes is told with its stack" woken
results
