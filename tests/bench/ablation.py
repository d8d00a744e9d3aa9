#!/usr/bin/env python3
"""Where the nanoseconds go: what a pair of pairs.c costs when something is left out. By hand: B=build tests/bench/ablation.py [ROUNDS]

CPU time of program and tool, all on one CPU (BENCH_CPU, default 0), the least of ROUNDS (9) in turns: so other work on the
machine changes it little. Less what a run of no pairs takes.
"""
import os
import resource
import subprocess
import sys
import tempfile

B = os.path.abspath(os.environ.get("B", "build"))
HERE = os.path.dirname(os.path.abspath(__file__))
CPU = os.environ.get("BENCH_CPU", "0")
PAIRS = 2_000_000
RUN = [B + "/firstalloc", "run", "--compress", "none", "-o"]
LOADS = {"d8": ("", 8), "d32": ("", 32), "d64": ("", 64), "d32_fp": ("-fno-omit-frame-pointer", 32)}
KINDS = {
    "native": [],
    "dormant": ["env", "LD_PRELOAD=" + B + "/libfirstalloc_preload.so"],
    "all": RUN + ["{out}", "--"],
    "trace to /dev/null": RUN + ["/dev/null", "--"],
    "each allocation and free stamped": RUN + ["{out}", "--stamp", "all", "--"],
    "without time": RUN + ["{out}", "--stamp", "none", "--"],
    "without stacks": RUN + ["{out}", "--stacks", "none", "--"],
    "with neither": RUN + ["{out}", "--stacks", "none", "--stamp", "none", "--"],
    "stacks of frees, too": RUN + ["{out}", "--stacks", "alloc,realloc,free", "--"],
}


def cpu_seconds(argv):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["taskset", "-c", CPU] + argv, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    least = {}
    with tempfile.TemporaryDirectory(prefix="firstalloc-bench.") as tmp:
        for name, (flags, _) in LOADS.items():
            subprocess.run(["gcc", "-O2", "-w", *flags.split(), "-o", f"{tmp}/{name}", HERE + "/pairs.c"], check=True)
        for _ in range(rounds):
            for name, (_, depth) in LOADS.items():
                for kind, prefix in KINDS.items():
                    argv = [a.replace("{out}", tmp + "/t.falloc") for a in prefix] + [f"{tmp}/{name}"]
                    for n in (8, PAIRS):
                        s = cpu_seconds(argv + [str(n), str(depth)])
                        least[name, kind, n] = min(s, least.get((name, kind, n), s))
    print("| ns a pair | " + " | ".join(LOADS) + " |\n|---|" + "---|" * len(LOADS))
    for kind in KINDS:
        ns = [(least[name, kind, PAIRS] - least[name, kind, 8]) / PAIRS * 1e9 for name in LOADS]
        print(f"| {kind} | " + " | ".join(f"{v:.1f}" for v in ns) + " |")


main()
