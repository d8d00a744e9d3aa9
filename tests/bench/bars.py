#!/usr/bin/env python3
"""Each bar, what was measured for it, and whether it is met. bars.py FOLDER, with what run.sh has left there:
rows.json (run.py), exec.json, sessions.json (as root). Where other work is on the machine, the last column says what the
same would be by CPU time, in which more of the tool's own work counts but less of others'."""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PAIRS = ("pairs_d8", "pairs_d32", "pairs_d64", "pairs_d32_fp")


def load(name):
    try:
        with open(os.path.join(sys.argv[1], name)) as f:
            return json.load(f)
    except FileNotFoundError:
        return []


ROWS, EXEC, SESSIONS = load("rows.json"), load("exec.json"), load("sessions.json")
WALL, CPU = ({(r["load"], r["tool"]): r[key] for r in ROWS if "load" in r} for key in ("ratio", "cpu_ratio"))


def bar(what, measured, most, unit="", least=False, digits=2, by_cpu=None):
    """One line; measured None: it could not be measured here."""
    if measured is None:
        print(f"{what:58} {'-':>10} {'':>12}   not measured here")
        return
    met = measured >= most if least else measured <= most
    limit = f"{'>=' if least else '<='} {most:g}{unit}"
    print(f"{what:58} {f'{measured:.{digits}f}{unit}':>10} {limit:>12}   {'met' if met else 'missed':8}"
          + ("" if by_cpu is None else f"{by_cpu:.{digits}f}"))


def over(ratios, name, tool):
    return ratios[name, tool] - 1 if (name, tool) in ratios else None


def part(name, tool, of):
    """The overhead with one tool as part of that with another, by wall time and by CPU time."""
    r = []
    for ratios in (WALL, CPU):
        a, b = over(ratios, name, tool), over(ratios, name, of)
        r.append(None if a is None or b is None or b <= 0 else a / b)
    return r


def bar_of(what, pair, most, digits=2):
    bar(what, pair[0], most, digits=digits, by_cpu=pair[1])


def ratio(name, tool):
    return WALL.get((name, tool)), CPU.get((name, tool))


def instructions():
    with open(os.path.join(HERE, "../spec/instructions.txt")) as f:
        return next(float(line.split()[1]) for line in f if line.startswith("dormant-pair")) / 2


def main():
    print(f"{'':58} {'measured':>10} {'bar':>12}            by CPU time")
    for name in (*PAIRS, "threads"):
        bar_of(f"{name}: overhead, of heaptrack's", part(name, "firstalloc", "heaptrack"), 0.125, 3)
    for name in PAIRS:
        bar_of(f"{name}: overhead, of LTTng's", part(name, "firstalloc", "lttng"), 1)
    for name, most in (("python_json", 1.6), ("sqlite3", 1.35), ("git_log", 1.1), ("start", 2)):
        bar_of(f"{name}: ratio to native", ratio(name, "firstalloc"), most)
    bar("exec of an unflagged program, added", EXEC["shim_us"] if EXEC else None, 25, " us", digits=1)
    if EXEC:
        print(f"{'  an empty library there':58} {EXEC['empty_us']:>7.1f} us")
    bar_of("dormant: pairs_d8", ratio("pairs_d8", "dormant"), 1.06)
    bar_of("dormant: malloc and free and nothing else", ratio("bare", "dormant"), 1.2)
    bar("dormant: instructions a call (kept by tests/spec/14)", instructions(), 4, digits=0)
    for name, most in (("git_log", 8), ("100 threads", 40)):
        kb = next((r["added_kb"] for r in ROWS if r.get("memory") == name), None)
        bar(f"resident memory added, {name}", None if kb is None else kb / 1024, most, " MB", digits=1)
    sessions = {r["load"]: r for r in SESSIONS}
    for name in ("python_json", "sqlite3"):
        s = sessions.get(name, {})
        bar(f"{name}: bytes of an event while recording", s.get("recording_bytes"), 7)
        bar(f"{name}: bytes of an event after stop", s.get("bytes"), 2.5)
        bar(f"{name}: collector, CPU time of an event", s.get("collector_ns"), 20, " ns", digits=1)
    lost = [r["lost"] for r in (*ROWS, *SESSIONS) if r.get("lost") is not None]
    bar("events lost, all loads", sum(lost) if lost else None, 0, digits=0)
    for name, least in (("pairs_d32", 40), ("python_json", 10)):
        rate = next((r["per_second"] for r in ROWS if r.get("replay") == name), None)
        bar(f"replay of {name}", None if rate is None else rate / 1e6, least, " M/s", least=True, digits=1)
    for name in PAIRS:
        bar_of(f"{name}: overhead with stacks of frees, of that without", part(name, "firstalloc+free", "firstalloc"), 1.6)


main()
