#!/bin/bash
# fuzz.sh BUILD - build all fuzz targets with sanitizers below BUILD/fuzz and run each for SECONDS_EACH
# seconds (60), beginning with its corpus. With clang: libFuzzer. Else our own driver, which changes bytes
# of the corpus at random and sees no coverage. What a target finds is left in BUILD/fuzz/found.
set -eu
cd "$(dirname "$0")/.."
B=$1/fuzz
seconds=${SECONDS_EACH:-60}
mkdir -p "$B/found"
targets=()
for f in tests/fuzz/fuzz_*.c; do targets+=("$B/${f%.c}"); done
echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return d == 0 && n; }' >"$B/probe.c"
if clang -fsanitize=fuzzer,address "$B/probe.c" -o "$B/probe" 2>/dev/null; then
	make -s CC=clang SAN=address,undefined,fuzzer-no-link FUZZER=-fsanitize=fuzzer fuzz_main= B="$B" "${targets[@]}"
	engine=libFuzzer
else
	make -s SAN=address,undefined fuzz_main=tests/fuzz/random_main.c B="$B" "${targets[@]}"
	engine=random
fi
status=0
for t in "${targets[@]}"; do
	name=${t##*/fuzz_}
	mkdir -p "$B/corpus/$name"
	echo "fuzz $name: $seconds s, $engine"
	if [ $engine = libFuzzer ]; then
		"$t" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
			-artifact_prefix="$B/found/$name-" "$B/corpus/$name" "tests/fuzz/corpus/$name" \
			>"$B/$name.log" 2>&1 || { status=1; tail -n 40 "$B/$name.log"; }
		grep -E 'stat::number_of_executed_units' "$B/$name.log" || true
	else
		"$t" "$seconds" "$B/found/$name-last" tests/fuzz/corpus/"$name"/* || status=1
	fi
done
exit $status
