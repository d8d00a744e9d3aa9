#!/bin/bash
# snapshots.sh - what a table of live blocks costs: the time of programs beside native and event tracing, in
# interleaved runs (medians of ratios), and a process with BLOCKS (2,000,000) live blocks. Needs root. ROUNDS (7).
# All on one CPU (BENCH_CPU, 0), with firstallocd.
OWN_PIDS=yes
. "$(dirname "$0")/../spec/machine.sh"
. "$(dirname "$0")/../spec/lib.sh"
[ "$(id -u)" = 0 ] || { echo "snapshots.sh: needs root"; exit 1; }
private_machine
rounds=${ROUNDS:-7} blocks=${BLOCKS:-2000000} W=$T/m/w2
mkdir "$W"
cd "$W" || exit
gcc -O2 -fomit-frame-pointer -o "$T/m/pairs" "$SRC/tests/bench/pairs.c"
# The name by which a program is executed says what becomes of it.
for mode in native table events both; do
	ln -s "$T/m/pairs" "$W/pairs.$mode"
	ln -s "$(readlink -f "$PYTHON")" "$W/python.$mode"
	ln -s "$(command -v sqlite3 || echo /nonexistent)" "$W/sqlite.$mode"
	for p in pairs python sqlite; do
		case $mode in
		table) $fa snapshot config $p.table enable ;;
		events) $fa enable $p.events ;;
		both) $fa enable $p.both --flags heap,snapshot ;;
		esac
	done >/dev/null 2>&1
done
python3 - >in.json <<'END'
import json, random
r = random.Random(7)
print(json.dumps([{"id": i, "name": "n%d" % r.randrange(10**6), "tags": [str(r.randrange(999)) for _ in range(6)],
                   "pos": [r.random(), r.random()]} for i in range(20000)]))
END
python3 - >in.sql <<'END'
import random
r = random.Random(7)
print("create table a(id integer primary key, x, y);\nbegin;")
for i in range(40000):
    print(f"insert into a values({i}, {r.randrange(10**6)}, 'text{r.randrange(10**6)}');")
print("commit; create index ax on a(x);")
for i in range(3000):
    print(f"select count(*), max(y) from a where x between {i * 300} and {i * 300 + 900};")
END
$fa start bench -o "$W/bench.falloc" --min-free 0 --policy wait >/dev/null
echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
load() { # name mode: ns of one run
	local begin
	case $1 in
	pairs_*) taskset -c "${BENCH_CPU:-0}" "./pairs.$2" 600000 "${1#pairs_d}" | grep -oE '[0-9.]+' | head -n 1 ;;
	python_json)
		begin=$(date +%s%N)
		PYTHONHOME=/usr PYTHONMALLOC=malloc taskset -c "${BENCH_CPU:-0}" "./python.$2" -c 'import json,sys
d=json.load(open("in.json")); d.sort(key=lambda r: r["name"]); json.dump(d, open("/dev/null","w"))'
		echo $(($(date +%s%N) - begin)) ;;
	sqlite3)
		begin=$(date +%s%N)
		taskset -c "${BENCH_CPU:-0}" "./sqlite.$2" :memory: '.read in.sql' >/dev/null
		echo $(($(date +%s%N) - begin)) ;;
	esac
}
for name in pairs_d8 pairs_d32 python_json sqlite3; do
	for ((i = 0; i < rounds; i++)); do
		echo "$name $(load $name native) $(load $name table) $(load $name native) $(load $name events) $(load $name native) $(load $name both)"
	done
done | python3 -c 'import statistics, sys
rows = {}
for l in sys.stdin:
    w = l.split()
    rows.setdefault(w[0], []).append([float(x) for x in w[1:]])
print("ratio to native, median: table, events, both; table/events of (ratio - 1)")
for name, r in rows.items():
    t, e, b = (statistics.median(x[2 * k + 1] / x[2 * k] for x in r) for k in range(3))
    print(f"{name:12} {t:6.2f} {e:6.2f} {b:6.2f}   {(t - 1) / (e - 1):5.2f}")'
$fa stop bench >/dev/null
cp "$P/holder" "$T/m/holder"
$fa snapshot config holder enable >/dev/null
mkfifo in
"$T/m/holder" "$blocks" <in >out & holder=$!
exec 9>in
wait_for 60 grep -q ready out
ask() { local n; n=$(wc -l <out); echo >&9; wait_for 20 eval '[ $(wc -l <out) -gt '"$n"' ]'; tail -n 1 out; }
echo "longest allocation while the table grew to $blocks blocks, us: $(cut -d ' ' -f 3 out)"
ask >/dev/null
sleep 1
echo "longest allocation, exchanges within a second: $(ask)"
for i in 1 2 3; do
	rm -f now.falloc
	begin=$(date +%s%N)
	$fa snapshot take --pid $holder -o now.falloc --json >j
	took=$((($(date +%s%N) - begin) / 1000000))
	echo "snapshot: $took ms, $(json j "'look %.1f ms, %.1f bytes a block in memory, %.1f on disk' % (j['processes'][0]['look_ns'] / 1e6, j['processes'][0]['table_bytes'] / j['processes'][0]['blocks'], j['file_bytes'] / j['processes'][0]['blocks'])"); meanwhile: $(ask)"
done
kill $holder
