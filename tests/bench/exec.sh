#!/bin/bash
# exec.sh - what /etc/ld.so.preload costs the start of a program that is not flagged, with a rule for another one in the
# index: without and with the shim in turns, STARTS (2,000) each, ROUNDS (5), the median of each round and of the rounds;
# beside it an empty library, which is the least that any library there costs. On one CPU (BENCH_CPU, 0). Needs root.
# JSON=FILE: the numbers, too.
. "$(dirname "$0")/../spec/machine.sh"
. "$(dirname "$0")/../spec/lib.sh"
[ "$(id -u)" = 0 ] || { echo "exec.sh: needs root"; exit 1; }
private_machine 0 "exec"
# Nothing that a machine has not: no overlay in the way of its files.
mkdir "$T/m/etc"
cp -a /etc/. "$T/m/etc/" 2>/dev/null
mount --bind "$T/m/etc" /etc
mkdir -p /etc/firstalloc
mount --bind "$R/etc/firstalloc" /etc/firstalloc
"$FA" --root "$R" enable another >/dev/null
cd "$T/m" || exit
gcc -O2 -o exec "$SRC/tests/bench/exec.c"
: >empty.c
gcc -shared -nostdlib -o empty.so empty.c
for ((i = 0; i < ${ROUNDS:-5}; i++)); do
	for library in empty libfirstalloc_preload; do
		echo "$library $(taskset -c "${BENCH_CPU:-0}" ./exec "${STARTS:-2000}" /etc/ld.so.preload "$T/m/$library.so" /bin/true)"
	done
done | python3 -c 'import json, os, statistics, sys
rounds = {}
for l in sys.stdin:
    name, _, without, with_ = l.split()
    rounds.setdefault(name, []).append((float(with_) - float(without), float(without)))
out = {"native_us": statistics.median(x[1] for r in rounds.values() for x in r) / 1e3}
for name, key in (("empty", "empty_us"), ("libfirstalloc_preload", "shim_us")):
    out[key] = statistics.median(x[0] for x in rounds[name]) / 1e3
print("start of /bin/true: %.0f us; added by an empty library %.1f us, by the shim %.1f us (rounds: %s)" % (
    out["native_us"], out["empty_us"], out["shim_us"], ", ".join("%.1f" % (x[0] / 1e3) for x in rounds["libfirstalloc_preload"])))
if os.environ.get("JSON"):
    json.dump(out, open(os.environ["JSON"], "w"))'
umount -l /etc/firstalloc /etc
