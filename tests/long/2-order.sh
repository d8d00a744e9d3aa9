#!/bin/bash
# 2 - order: events that know their own order, in four sessions, by both clocks. 200 million; with LONG=1, for who has
# a quarter of an hour for this alone, 10^9.
. "$(dirname "$0")/../spec/lib.sh"
. "$(dirname "$0")/../spec/order.sh"

million=50
[ -z "${LONG:-}" ] || million=250
clocks() {
	for how in rdtsc rdtscp; do
		for threads in 2 8; do
			same "$("$P/clocks" $how $threads 50000000)" "readings 50000000 inversions 0"
		done
	done
}
it 2.1 "the time stamp counter goes with the order of what threads do, by rdtsc and by rdtscp" clocks
it 2.2 "$million million events of 2 threads stand in the order in which the program made them" in_order 2 ${million}000000
it 2.3 "$million million of 8 threads" in_order 8 ${million}000000
it 2.4 "$million million of 4 threads, each free stamped" in_order 4 ${million}000000 --stamp all
if [ "$(id -u)" = 0 ]; then
	export T B SRC FA P
	monotonic() {
		on_monotonic "$FA" run -o "$T/m.falloc" -- true
		"$FA" dump "$T/m.falloc" | grep -i "clock=monotonic"
		on_monotonic bash -e -c ". '$SRC/tests/spec/order.sh'; in_order 8 ${million}000000"
	}
	it 2.5 "$million million of 8 threads, by CLOCK_MONOTONIC" monotonic
else
	skip 2.5 "$million million of 8 threads, by CLOCK_MONOTONIC" "needs root"
fi
results
