#!/bin/bash
# run.sh [--long] - run all tests, one line a test, their sum as the last line.
# Each test ends with a line "N passed, N failed[, N skipped]"; one that does not counts as failed.
set -u
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
export B
long=${1:-}
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

one() { # name, seconds, command...
	local name=$1 limit=$2 start line status
	shift 2
	start=$(date +%s%N)
	timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null
	status=$?
	line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1)
	if [ -z "$line" ] || { [ $status != 0 ] && [[ $line == *" 0 failed"* ]]; }; then
		line="${line:-0 passed, 0 failed} (exit status $status)"
		failed=$((failed + 1))
	fi
	read -r p _ f _ s _ <<<"$(tr -d , <<<"$line")"
	passed=$((passed + p))
	failed=$((failed + f))
	[[ $line == *skipped* ]] && skipped=$((skipped + s))
	printf '%-28s %s  (%d.%d s)\n' "$name" "$line" $((($(date +%s%N) - start) / 1000000000)) \
		$((($(date +%s%N) - start) / 100000000 % 10))
	grep -aE '^skip ' "$log" | sed 's/^/    /'
	if [ $status != 0 ] || [[ $line != *" 0 failed"* ]]; then
		grep -avE '^(ok|skip) ' "$log" | tail -n 60 | sed 's/^/    /'
	fi
}

for t in "$B"/tests/unit/test_*; do
	[[ -x $t && $t != *.* ]] && one "unit/${t##*/test_}" 120 "$t"
done
for f in "$B"/tests/fuzz/fuzz_*; do
	[[ -x $f && $f != *.* ]] || continue
	corpus=tests/fuzz/corpus/${f##*/fuzz_}
	[ -d "$corpus" ] && one "fuzz/${f##*/fuzz_}" 60 sh -c "\"\$0\" \"\$1\"/* && echo \"\$(ls \"\$1\" | wc -l) passed, 0 failed\"" "$f" "$corpus"
done
for s in tests/spec/[0-9]*.sh; do
	one "spec/$(basename "$s" .sh)" 600 bash "$s" # ten times what it needs
done
if [ "$long" = --long ]; then
	for s in tests/long/*.sh; do
		[ -e "$s" ] && one "long/$(basename "$s" .sh)" 1500 bash "$s"
	done
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
