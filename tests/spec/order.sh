# order.sh - for specs about the order of events; source it after lib.sh.
#   in_order THREADS EVENTS [option of run...]   a program that knows the order of its calls; see
#                                                tests/programs/order.c and order_check.c
#   LATE=1 in_order ...   half of the first thread's before there are others
#   on_monotonic COMMAND...                      where the kernel seems not to trust the TSC; needs root

in_order() {
	local threads=$1 pairs=$(($2 / 2)) limit
	shift 2
	[ -x "$T/order_check" ] || gcc -std=gnu17 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -I"$SRC/src" -I"$SRC" \
		-o "$T/order_check" "$SRC/tests/spec/order_check.c" "$B"/lib{trace,format,base}.a -llz4 -lzstd
	rm -f "$T/o.falloc"
	"$FA" run -o "$T/o.falloc" "$@" -- "$P/order" "$threads" "$pairs" "$T/table" ${LATE:+late} >"$T/truth"
	"$T/order_check" "$T/o.falloc" "$T/table" >"$T/order.out" || { cat "$T/order.out"; return 1; }
	rm -f "$T/table"
	"$FA" report --json --view total --by function --size 900,1156 "$T/o.falloc" >"$T/rows.json"
	"$FA" report --json --size 900,1156 "$T/o.falloc" >"$T/sum.json"
	rm -f "$T/o.falloc"
	python3 - "$T/rows.json" "$T/sum.json" "$threads" "$T/truth" <<-'PY'
		import json, sys
		rows, j, threads, truth = json.load(open(sys.argv[1]))["rows"], json.load(open(sys.argv[2])), int(sys.argv[3]), open(sys.argv[4]).read().split()
		peak, lifetime, freed = int(truth[1]), int(truth[3]), int(truth[5])
		assert len(rows) == 1 and rows[0]["classes"]["aifi"]["blocks"] == freed
		assert (j["lost"], j["implied_frees"], j["unknown_frees"]) == (0, 0, 0), j
		error = j["peak"]["bytes"] - peak
		# A thread allocates behind each free: at no moment does more than one free, and one allocation, of
		# each thread have its place at another side of that moment than in truth.
		print("peak", peak, "in the report", error, "more")
		assert abs(error) <= 2 * threads * 1156
		# What is wrong in a lifetime are two pieces of a thread's time that are in no other's.
		average = rows[0]["lifetime_ns"]["average"]
		print("mean lifetime", lifetime, "in the report", average - lifetime, "more")
		assert abs(average - lifetime) * freed <= 2 * threads * j["duration_ns"]
	PY
}

on_monotonic() {
	echo hpet >"$T/clocksource"
	unshare -m --propagation private sh -c \
		'mount --bind "$0" /sys/devices/system/clocksource/clocksource0/current_clocksource && exec "$@"' "$T/clocksource" "$@"
}
