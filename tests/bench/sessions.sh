#!/bin/bash
# sessions.sh - what a session of firstallocd costs beside the program: CPU time of the collector for each event while it
# records, bytes of the trace for each event while it records and after the stop. Program and firstallocd on one CPU
# (BENCH_CPU, 0). Needs root. ROUNDS (3): the least of so many. JSON=FILE: the rows, too.
OWN_PIDS=yes
. "$(dirname "$0")/../spec/machine.sh"
. "$(dirname "$0")/../spec/lib.sh"
[ "$(id -u)" = 0 ] || { echo "sessions.sh: needs root"; exit 1; }
taskset -pc "${BENCH_CPU:-0}" $$ >/dev/null
private_machine 0 "sessions"
cd "$T/m" || exit
python3 "$SRC/tests/bench/run.py" --inputs "$T/m" ${QUICK:+--quick}
ln -s "$(readlink -f "$PYTHON")" bench.python
ln -s "$(command -v sqlite3 || echo /nonexistent)" bench.sqlite
load() {
	case $1 in
	python_json) PYTHONHOME=/usr PYTHONMALLOC=malloc ./bench.python -c 'import json
d=json.load(open("in.json")); d.sort(key=lambda r: r["name"]); json.dump(d, open("/dev/null","w"))' ;;
	sqlite3) ./bench.sqlite :memory: '.read in.sql' >/dev/null ;;
	esac
}
cpu_ns() { cut -d ' ' -f 1 "/proc/$collector/schedstat"; }
for name in python_json sqlite3; do
	image=bench.python
	[ $name = sqlite3 ] && image=bench.sqlite
	[ -x $image ] || continue
	$fa enable $image >/dev/null
	for ((i = 0; i < ${ROUNDS:-3}; i++)); do
		rm -f s.falloc
		$fa start bench -o "$PWD/s.falloc" --min-free 0 >/dev/null
		$fa status --json >st.json
		collector=$(json st.json "j['daemon']['collector']")
		before=$(cpu_ns)
		echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
		load $name
		rm -f /etc/ld.so.preload
		sleep 1.2 # FlushTimer; an idle collector takes next to nothing
		after=$(cpu_ns)
		recording=$(stat -c %s s.falloc)
		began=$(date +%s%N)
		$fa stop bench --json >stop.json
		took=$(($(date +%s%N) - began))
		echo "$name $((after - before)) $recording $(stat -c %s s.falloc) $took $(json stop.json "j['events']") $(json stop.json "j['lost']")"
	done
	$fa disable $image >/dev/null
done | python3 -c 'import json, os, sys
rows = {}
for l in sys.stdin:
    w = l.split()
    rows.setdefault(w[0], []).append([int(x) for x in w[1:]])
print("%-12s %10s %5s %16s %18s %12s %14s" % ("load", "events", "lost", "collector, ns/ev", "recording, B/ev", "after, B/ev", "stop, ns/ev"))
out = []
for name, r in rows.items():
    cpu, recording, after, stop, events, lost = min(r)
    out.append({"load": name, "events": events, "lost": sum(x[5] for x in r), "collector_ns": cpu / events,
                "recording_bytes": recording / events, "bytes": after / events, "stop_ns": stop / events})
    o = out[-1]
    print("%-12s %10d %5d %16.1f %18.2f %12.2f %14.1f" % (name, events, o["lost"], o["collector_ns"], o["recording_bytes"], o["bytes"], o["stop_ns"]))
if os.environ.get("JSON"):
    json.dump(out, open(os.environ["JSON"], "w"))'
