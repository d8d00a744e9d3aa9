#!/usr/bin/env python3
"""Measure firstalloc beside its peers: interleaved pairs native, tool, native, tool ...; medians of ratios.

run.py [--quick] [--json FILE] [--only LOAD,...] [--tools TOOL,...]
Single times mean little on a shared machine; the ratios of one run can be compared.
Tools: dormant (preloaded, not flagged), firstalloc (run), firstalloc+free (stacks of frees, too),
heaptrack (-r), lttng (libc wrapper, no stacks). A tool that is not installed is left out.
"""
import argparse
import glob
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
B = os.path.realpath(os.path.join(ROOT, os.environ.get("B", "build")))
SHIM = B + "/libfirstalloc_preload.so"


def compile_loads(tmp):
    for name in ("pairs", "spawn"):
        subprocess.run(["gcc", "-O2", "-fomit-frame-pointer", "-o", f"{tmp}/{name}", f"{HERE}/{name}.c"], check=True)


def make_inputs(tmp):
    rnd = random.Random(7)
    data = [{"id": i, "name": "n%d" % rnd.randrange(10**6), "tags": [str(rnd.randrange(999)) for _ in range(6)],
             "pos": [rnd.random(), rnd.random()]} for i in range(20000)]
    json.dump(data, open(f"{tmp}/in.json", "w"))
    with open(f"{tmp}/in.sql", "w") as f:
        f.write("create table a(id integer primary key, x, y); create table b(id integer primary key, a, z);\nbegin;\n")
        for i in range(40000):
            f.write(f"insert into a values({i}, {rnd.randrange(10**6)}, 'text{rnd.randrange(10**6)}');\n")
        f.write("commit; create index ax on a(x);\n")
        for i in range(3000):
            f.write(f"select count(*), max(y) from a where x between {i * 300} and {i * 300 + 900};\n")
    repo = f"{tmp}/repo"
    git = ["git", "-C", repo, "-c", "user.email=a@b", "-c", "user.name=n"]
    subprocess.run(["git", "init", "-q", repo], check=True)
    for i in range(200):
        for k in range(3):
            with open(f"{repo}/f{(i + k * 7) % 20}", "w") as f:
                f.write("".join(f"line {j} {rnd.randrange(99) if j % 50 == i % 50 else 0}\n" for j in range(300)))
        subprocess.run(git + ["add", "."], check=True)
        subprocess.run(git + ["commit", "-qm", f"c{i}"], check=True)


def loads(tmp, quick):
    n = 400_000 if quick else 2_000_000
    py = ("import json,sys; d=json.load(open(sys.argv[1])); d.sort(key=lambda r: r['name']);"
          "json.dump(d, open('/dev/null','w'))")
    r = {f"pairs_d{d}": ([f"{tmp}/pairs", str(n), str(d)], {}) for d in (8, 32, 64)}
    r["threads"] = ([B + "/tests/programs/threads", "2", str(n // 2)], {})
    r["python_json"] = (["python3", "-c", py, f"{tmp}/in.json"], {"PYTHONMALLOC": "malloc"})
    r["sqlite3"] = (["sqlite3", ":memory:", f".read {tmp}/in.sql"], {})
    r["git_log"] = (["git", "-C", f"{tmp}/repo", "--no-pager", "log", "-p", "--stat"], {})
    r["start"] = ([f"{tmp}/spawn", "300" if quick else "1000", "/bin/true"], {})
    return r


class Tool:
    def __init__(self, name, prefix=(), env=None, glob_=None, start=None, stop=None):
        self.name, self.prefix, self.env, self.glob = name, list(prefix), env or {}, glob_
        self.start, self.stop = start, stop


def lttng(*args):
    subprocess.run(["lttng", "--no-sessiond", *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def lttng_start(out):
    subprocess.run(["lttng-sessiond", "--daemonize"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lttng("create", "fabench", "--output=" + out + "/lttng")
    lttng("enable-event", "-u", "lttng_ust_libc:*")
    lttng("add-context", "-u", "-t", "vpid", "-t", "vtid")
    lttng("start")


def lttng_stop():
    lttng("stop")
    lttng("destroy", "fabench")


def tools():
    t = [Tool("dormant", env={"LD_PRELOAD": SHIM}),
         Tool("firstalloc", [B + "/firstalloc", "run", "-o", "{out}/t.falloc", "--"]),
         Tool("firstalloc+free", [B + "/firstalloc", "run", "--stacks", "alloc,realloc,free", "-o", "{out}/t.falloc", "--"])]
    if shutil.which("heaptrack"):
        t.append(Tool("heaptrack", ["heaptrack", "-r", "-o", "{out}/ht"]))
    if shutil.which("lttng") and glob.glob("/usr/lib/*/liblttng-ust-libc-wrapper.so.1"):
        t.append(Tool("lttng", env={"LD_PRELOAD": "liblttng-ust-libc-wrapper.so.1"}, start=lttng_start, stop=lttng_stop))
    return t


def run(argv, env):
    e = dict(os.environ)
    preload = env.pop("LD_PRELOAD", None)
    e.update(env)
    if preload:
        if argv[0].endswith("/spawn"):
            e["BENCH_PRELOAD"] = preload
        else:
            argv = ["env", "LD_PRELOAD=" + preload] + argv
    t0 = time.perf_counter()
    p = subprocess.run(argv, env=e, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    wall = time.perf_counter() - t0
    m = re.search(rb"RESULT ([\d.]+)", p.stdout[-200:])
    return wall, float(m.group(1)) if m else wall * 1e9, p.returncode


def tree_size(path):
    return sum(os.path.getsize(f) for f in glob.glob(path + "/**", recursive=True) if os.path.isfile(f))


def measure(argv, env, tool, pairs, tmp):
    ratios, walls, size, events, lost = [], [], 0, None, None
    for _ in range(pairs):
        out = tempfile.mkdtemp(dir=tmp)
        _, native, rc = run(list(argv), dict(env))
        if tool.start:
            tool.start(out)
        wall, traced, rc2 = run([a.replace("{out}", out) for a in tool.prefix] + list(argv), {**env, **tool.env})
        if tool.stop:
            tool.stop()
        if rc != rc2:
            print(f"# {tool.name} {argv[0]}: exit status {rc2}, native {rc}", file=sys.stderr)
        ratios.append(traced / native)
        walls.append(wall)
        size = tree_size(out)
        if tool.name.startswith("firstalloc"):
            r = subprocess.run([B + "/firstalloc", "report", "--json", "--tolerate-lost", out + "/t.falloc"], capture_output=True)
            j = json.loads(r.stdout)
            events, lost = sum(j["events"].values()), j["lost"]
        shutil.rmtree(out)
    return {"ratio": statistics.median(ratios), "min": min(ratios), "max": max(ratios), "bytes": size,
            "events": events, "lost": lost}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--quick", action="store_true")
    a.add_argument("--json")
    a.add_argument("--only")
    a.add_argument("--tools")
    a.add_argument("--pairs", type=int)
    o = a.parse_args()
    tmp = tempfile.mkdtemp(prefix="firstalloc-bench.")
    rows = []
    try:
        compile_loads(tmp)
        make_inputs(tmp)
        pairs = o.pairs or (3 if o.quick else 7)
        print(f"{'load':12} {'tool':16} {'ratio':>7} {'min':>7} {'max':>7} {'events':>11} {'lost':>6} {'B/event':>8}")
        for load, (argv, env) in loads(tmp, o.quick).items():
            if o.only and load not in o.only.split(","):
                continue
            for t in tools():
                if o.tools and t.name not in o.tools.split(","):
                    continue
                r = measure(argv, env, t, pairs, tmp)
                rows.append({"load": load, "tool": t.name, **r})
                per = f"{r['bytes'] / r['events']:.2f}" if r["events"] else "-"
                print(f"{load:12} {t.name:16} {r['ratio']:7.2f} {r['min']:7.2f} {r['max']:7.2f} {r['events'] or '-':>11} "
                      f"{'-' if r['lost'] is None else r['lost']:>6} {per:>8}", flush=True)
        if o.json:
            json.dump(rows, open(o.json, "w"), indent=1)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


main()
