#!/bin/bash
# live.sh - attaching to a process that runs: the time from `firstalloc start --pid` to its first event, and what
# an attach costs the process itself. Needs root. TIMES: how many of each (200).
#
# The process allocates and frees all the time and looks at the clock around each pair; it is told nothing. Its
# first event is the first pair after which its process block names an arena. Times in microseconds, by the clock
# that all processes share.
OWN_PIDS=yes
. "$(dirname "$0")/../spec/machine.sh"
. "$(dirname "$0")/../spec/lib.sh"
[ "$(id -u)" = 0 ] || { echo "live.sh: needs root"; exit 1; }
private_machine
times=${TIMES:-200}
cp "$P/attached" "$T/m/"
cd "$T/m" || exit
$fa status >/dev/null
LD_PRELOAD=$T/m/libfirstalloc_preload.so "$T/m/attached" >"$T/said" & process=$!
said() { [ "$(wc -l <"$T/said")" -ge "$1" ]; }
for i in $(seq "$times"); do
	rm -f s.falloc
	"$P/attached" now >>"$T/asked"
	$fa start s -o s.falloc --min-free 0 --pid $process >/dev/null
	wait_for 10 said "$i" || exit 1
	$fa stop s >/dev/null
done
kill $process
figures() { sort -n | awk -v name="$1" '{ us[NR] = $1 } END {
	printf "%-58s median %8.1f, 99 %% %8.1f, worst %8.1f\n", name, us[int((NR + 1) / 2)], us[int(NR * 0.99)], us[NR] }'; }
paste "$T/asked" "$T/said" | awk '{ print $2 - $1 }' | figures "from the command to the first event, us"
awk '{ print $2 }' "$T/said" | figures "the heap call that obeyed, us"
awk '{ print $3 }' "$T/said" | figures "the 1,000 pairs behind it, us"
awk '{ print $4 }' "$T/said" | figures "1,000 pairs of the process while it is not traced, us"
