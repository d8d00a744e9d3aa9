#!/usr/bin/env python3
"""Measure firstalloc beside its peers: interleaved pairs native, tool, native, tool ...; medians of ratios.

run.py [--quick] [--json FILE] [--only LOAD,...] [--tools TOOL,...] [--pairs N]

Single times mean little on a shared machine; the ratios of one run can be compared. Program, tool and
whatever the tool starts share one CPU (BENCH_CPU, default 0; the threads run on 0 and 1), so that
nothing is hidden on an idle core. Tools:
  dormant          preloaded, not flagged
  flagged          flagged, no collector is there (root only: /etc is private to the run)
  firstalloc       events with stacks, `firstalloc run`
  firstalloc+free  stacks of frees, too
  heaptrack        heaptrack -r, whose raw trace is not interpreted
  lttng            LTTng's libc wrapper, without stacks
One that is not installed is left out. Ratios of pairs_* and start come from inside the program (per
pair, per start), all others are of the whole command. Bytes of an event are trace bytes by the number
of events that firstalloc counted for this load. cpu: the ratio of the CPU times of the command and all that it
waited for; other work on the machine changes it less than the others.
"""
import argparse
import ctypes
import glob
import json
import math
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
B = os.path.realpath(os.path.join(ROOT, os.environ.get("B", "build")))
FA = B + "/firstalloc"
SHIM = B + "/libfirstalloc_preload.so"
CPU = os.environ.get("BENCH_CPU", "0")
# Not the name: it may be a script that picks a version, and would be measured, too.
PYTHON = os.path.realpath(sys.executable)
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def private_etc():
    """An /etc of our own, in which firstalloc may have an index. False: not permitted."""
    clone_newns, private = 0x20000, 1 << 18 | 1 << 14
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(clone_newns) != 0 or libc.mount(b"none", b"/", None, private, None) != 0:
        return False
    own = tempfile.mkdtemp(prefix="firstalloc-etc.")
    ok = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", own], **QUIET).returncode == 0
    if ok:
        for name in ("upper", "work", "root/etc/firstalloc/door"):
            os.makedirs(f"{own}/{name}")
        open(f"{own}/root/etc/firstalloc/door/bell", "w").close()
        os.mkdir(f"{own}/upper/firstalloc")
        layers = f"lowerdir=/etc,upperdir={own}/upper,workdir={own}/work"
        ok = (subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", "/etc"], **QUIET).returncode == 0 and
              subprocess.run(["mount", "--bind", f"{own}/root/etc/firstalloc", "/etc/firstalloc"], **QUIET).returncode == 0)
    return own if ok else leave_etc(own)


def leave_etc(own):
    subprocess.run(["umount", "-l", "/etc/firstalloc", "/etc", own], **QUIET)
    os.rmdir(own)
    return False


def compile_loads(tmp):
    build = [("pairs", "pairs", "-fomit-frame-pointer"), ("pairs_fp", "pairs", "-fno-omit-frame-pointer"),
             ("spawn", "spawn", "-fomit-frame-pointer"), ("bare", "bare", "-fomit-frame-pointer"),
             ("peak", "peak", "-fomit-frame-pointer")]
    for name, source, flag in build:
        subprocess.run([os.environ.get("CC", "cc"), "-O2", flag, "-o", f"{tmp}/{name}", f"{HERE}/{source}.c"], check=True)


def make_inputs(tmp, quick):
    rnd = random.Random(7)
    data = [{"id": i, "name": "n%d" % rnd.randrange(10**6), "tags": [str(rnd.randrange(999)) for _ in range(6)],
             "pos": [rnd.random(), rnd.random()]} for i in range(8000 if quick else 40000)]
    with open(f"{tmp}/in.json", "w") as f:
        json.dump(data, f)
    rows = 20000 if quick else 80000
    with open(f"{tmp}/in.sql", "w") as f:
        f.write("create table a(id integer primary key, x, y);\nbegin;\n")
        for i in range(rows):
            f.write(f"insert into a values({i}, {rnd.randrange(10**6)}, 'text{rnd.randrange(10**6)}');\n")
        f.write("commit; create index ax on a(x);\n")
        for i in range(rows // 12):
            f.write(f"select count(*), max(y) from a where x between {i * 300} and {i * 300 + 900};\n")


def make_repo(tmp, quick):
    rnd = random.Random(7)
    repo = f"{tmp}/repo"
    git = ["git", "-C", repo, "-c", "user.email=a@b", "-c", "user.name=n", "-c", "gc.auto=0"]
    subprocess.run(["git", "init", "-q", repo], check=True)
    for i in range(60 if quick else 200):
        for k in range(3):
            with open(f"{repo}/f{(i + k * 7) % 20}", "w") as f:
                f.write("".join(f"line {j} {rnd.randrange(99) if j % 50 == i % 50 else 0}\n" for j in range(300)))
        subprocess.run(git + ["add", "."], check=True)
        subprocess.run(git + ["commit", "-qm", f"c{i}"], check=True)


def loads(tmp, quick):
    n = 300_000 if quick else 2_000_000
    py = ("import json,sys; d=json.load(open(sys.argv[1])); d.sort(key=lambda r: r['name']);"
          "json.dump(d, open('/dev/null','w'))")
    r = {"bare": ([f"{tmp}/bare", str(n * 10)], {})}
    r |= {f"pairs_d{d}": ([f"{tmp}/pairs", str(n), str(d)], {}) for d in (8, 32, 64)}
    r["pairs_d32_fp"] = ([f"{tmp}/pairs_fp", str(n), "32"], {})
    r["threads"] = ([B + "/tests/programs/threads", "2", str(n // 2)], {})
    r["python_json"] = ([PYTHON, "-c", py, f"{tmp}/in.json"], {"PYTHONMALLOC": "malloc"})
    r["sqlite3"] = (["sqlite3", ":memory:", f".read {tmp}/in.sql"], {})
    r["git_log"] = (["git", "-C", f"{tmp}/repo", "--no-pager", "log", "-p", "--stat"], {})
    r["start"] = ([f"{tmp}/spawn", "200" if quick else "1000", "/bin/true"], {})
    return {k: v for k, v in r.items() if shutil.which(v[0][0])}


class Tool:
    def __init__(self, name, prefix=(), env=None, start=None, stop=None):
        self.name, self.prefix, self.env, self.start, self.stop = name, list(prefix), env or {}, start, stop


def lttng(*args):
    subprocess.run(["lttng", "--no-sessiond", *args], **QUIET)


def lttng_start(argv, out):
    subprocess.run(["taskset", "-c", CPU, "lttng-sessiond", "--daemonize"], **QUIET)
    lttng("create", "fabench", "--output=" + out + "/lttng")
    lttng("enable-event", "-u", "lttng_ust_libc:*")
    lttng("add-context", "-u", "-t", "vpid", "-t", "vtid")
    lttng("start")


def lttng_stop(argv):
    lttng("stop")
    lttng("destroy", "fabench")


def image(argv):
    return os.path.basename(argv[2] if argv[0].endswith("/spawn") else os.path.realpath(shutil.which(argv[0])))


def tools(etc):
    def flag(verb):
        def run_it(argv, out=None):
            subprocess.run([FA, "--root", etc + "/root", verb, image(argv)], check=True, **QUIET)
        return run_it

    t = [Tool("dormant", env={"LD_PRELOAD": SHIM})]
    if etc:
        t.append(Tool("flagged", env={"LD_PRELOAD": SHIM}, start=flag("enable"), stop=flag("disable")))
    t += [Tool("firstalloc", [FA, "run", "-o", "{out}/t.falloc", "--"]),
          Tool("firstalloc+free", [FA, "run", "--stacks", "alloc,realloc,free", "-o", "{out}/t.falloc", "--"])]
    if shutil.which("heaptrack"):
        t.append(Tool("heaptrack", ["heaptrack", "-r", "-o", "{out}/ht"]))
    if shutil.which("lttng") and glob.glob("/usr/lib/*/liblttng-ust-libc-wrapper.so.1"):
        t.append(Tool("lttng", env={"LD_PRELOAD": "liblttng-ust-libc-wrapper.so.1"}, start=lttng_start, stop=lttng_stop))
    return t


def cpu_seconds():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def run(argv, env, cpus):
    """CPU seconds of all that was waited for, the program's own figure (ns) or the wall time, exit status."""
    e = dict(os.environ)
    preload = env.get("LD_PRELOAD")
    e.update({k: v for k, v in env.items() if k != "LD_PRELOAD"})
    if preload and argv[0].endswith("/spawn"):
        e["BENCH_PRELOAD"] = preload  # its children's alone
    elif preload:
        argv = ["env", "LD_PRELOAD=" + preload] + argv
    used = cpu_seconds()
    t0 = time.perf_counter()
    p = subprocess.run(["taskset", "-c", cpus] + argv, env=e, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - t0
    m = re.search(rb"RESULT ([\d.]+)", p.stdout[-20000:])  # a tool may add lines of its own
    return cpu_seconds() - used, float(m.group(1)) if m else wall * 1e9, p.returncode


def tree_size(path):
    return sum(os.path.getsize(f) for f in glob.glob(path + "/**", recursive=True) if os.path.isfile(f))


def measure(load, argv, env, tool, pairs, tmp):
    ratios, cpu_ratios, native_ns, traced_ns, size, events, lost = [], [], [], [], 0, None, None
    cpus = "0,1" if load == "threads" and os.cpu_count() > 1 else CPU
    for _ in range(pairs):
        out = tempfile.mkdtemp(dir=tmp)
        native_cpu, native, rc = run(list(argv), env, cpus)
        if tool.start:
            tool.start(argv, out)
        traced_cpu, traced, rc2 = run([a.replace("{out}", out) for a in tool.prefix] + list(argv), {**env, **tool.env}, cpus)
        if tool.stop:
            tool.stop(argv)
        if rc != rc2:
            print(f"# {tool.name} {load}: exit status {rc2}, native {rc}", file=sys.stderr)
        ratios.append(traced / native)
        cpu_ratios.append(traced_cpu / native_cpu)
        native_ns.append(native)
        traced_ns.append(traced)
        size = tree_size(out)
        if tool.name.startswith("firstalloc"):
            r = subprocess.run([FA, "report", "--json", "--tolerate-lost", out + "/t.falloc"], capture_output=True)
            j = json.loads(r.stdout)
            events, lost = sum(j["events"].values()), j["lost"]
        shutil.rmtree(out)
    return {"load": load, "tool": tool.name, "ratio": round(statistics.median(ratios), 4),
            "ratio_min": round(min(ratios), 4), "ratio_max": round(max(ratios), 4),
            "cpu_ratio": round(statistics.median(cpu_ratios), 4),
            "native_ns": round(statistics.median(native_ns), 1), "traced_ns": round(statistics.median(traced_ns), 1),
            "bytes": size, "events": events, "lost": lost}


def replays(tmp, quick):
    """Events a second of one core, by CPU time, symbols included: the least of three."""
    rows = []
    for name, (argv, env) in loads(tmp, quick).items():
        if name not in ("pairs_d32", "python_json"):
            continue
        run([FA, "run", "-o", tmp + "/replay.falloc", "--"] + list(argv), env, CPU)
        least = math.inf
        for _ in range(3):
            used = cpu_seconds()
            r = subprocess.run(["taskset", "-c", CPU, FA, "report", "--json", tmp + "/replay.falloc"], capture_output=True)
            least = min(least, cpu_seconds() - used)
        events = sum(json.loads(r.stdout)["events"].values())
        os.unlink(tmp + "/replay.falloc")
        rows.append({"replay": name, "events": events, "per_second": round(events / least)})
    return rows


def memory(tmp, quick):
    """KB of resident memory added at the peak: the program itself, natively and traced."""
    git = loads(tmp, quick).get("git_log")
    rows = []
    for name, argv in (("git_log", git and git[0]), ("100 threads", [B + "/tests/programs/threads", "100", "10000"])):
        if not argv:
            continue
        kb = []
        for prefix in ([], [FA, "run", "-o", tmp + "/memory.falloc", "--"]):
            run(prefix + [tmp + "/peak", tmp + "/kb"] + list(argv), {}, "0,1" if os.cpu_count() > 1 else CPU)
            with open(tmp + "/kb") as f:
                kb.append(int(f.read()))
        os.unlink(tmp + "/memory.falloc")
        rows.append({"memory": name, "native_kb": kb[0], "added_kb": kb[1] - kb[0]})
    return rows


def show(row, calls):
    ns = lambda v: f"{v:.1f} ns" if v < 1e5 else f"{v / 1e6:.1f} ms"
    events = row["events"] if row["events"] is not None else "-"
    lost = row["lost"] if row["lost"] is not None else "-"
    per = f"{row['bytes'] / calls:.2f}" if calls and calls > 1000 and row["bytes"] else "-"
    print(f"{row['load']:13} {row['tool']:16} {ns(row['native_ns']):>10} {ns(row['traced_ns']):>10} {row['ratio']:7.2f} "
          f"{row['ratio_min']:7.2f} {row['ratio_max']:7.2f} {row['cpu_ratio']:7.2f} {events:>9} {lost:>5} {per:>7}", flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--quick", action="store_true", help="smaller loads, 3 pairs: about a minute")
    a.add_argument("--json", metavar="FILE", help="the rows as JSON, too")
    a.add_argument("--only", metavar="LOAD,...")
    a.add_argument("--tools", metavar="TOOL,...")
    a.add_argument("--pairs", type=int, help="pairs of runs for each row (default 7, quick 3)")
    a.add_argument("--inputs", metavar="FOLDER", help="only make in.json and in.sql there")
    o = a.parse_args()
    if o.inputs:
        make_inputs(o.inputs, o.quick)
        return
    tmp = tempfile.mkdtemp(prefix="firstalloc-bench.")
    etc = private_etc()
    rows, pairs = [], o.pairs or (3 if o.quick else 7)
    try:
        compile_loads(tmp)
        make_inputs(tmp, o.quick)
        make_repo(tmp, o.quick)
        print(f"{'load':13} {'tool':16} {'native':>10} {'traced':>10} {'ratio':>7} {'min':>7} {'max':>7} {'cpu':>7} {'events':>9} "
              f"{'lost':>5} {'B/event':>7}")
        for load, (argv, env) in loads(tmp, o.quick).items():
            if o.only and load not in o.only.split(","):
                continue
            calls = None
            for t in tools(etc):
                if o.tools and t.name not in o.tools.split(","):
                    continue
                if load == "bare" and t.name not in ("dormant", "flagged"):
                    continue # not what tracing costs: nobody does nothing else
                rows.append(measure(load, argv, env, t, pairs, tmp))
                calls = rows[-1]["events"] or calls
                show(rows[-1], calls)
        if o.json and not o.only:
            rows += replays(tmp, o.quick) + memory(tmp, o.quick)
        if o.json:
            with open(o.json, "w") as f:
                json.dump(rows, f, indent=1)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
        if etc:
            leave_etc(etc)


main()
