#!/bin/bash
# 39 - what grew: diff of two builds, runs and moments; growth over several; leaks of a running program.
# Claims:
#   39.1-39.5   diff of two builds: functions that moved are the same, the one that leaks is named
#   39.6-39.7   diff of two moments of a run: by stack and by block; the peak
#   39.8-39.10  growth over three runs, and of one run each so much time
#   39.11-39.12 growth and diff between marks of a service that runs (a private machine)
#   39.13       leaks of five programs: what valgrind says of them
#   39.18       diff and growth of snapshots
#   39.19       report of what is live at a moment, by size, age and module
#   39.14-39.17 leaks: the program goes on, by name, of one that was there before, refusals
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"

mkdir "$T/v1" "$T/v2"
gcc -O1 -g -DFIXED -o "$T/v1/grower" "$SRC/tests/programs/grower.c"
gcc -O1 -g -o "$T/v2/grower" "$SRC/tests/programs/grower.c"
serve() { "$FA" run -o "$T/$1.falloc" -- "$T/$2/grower" <<<"$3" >/dev/null; } # trace build requests
serve old v1 500
serve old2 v1 500
serve new v2 500
serve more v2 700

# The functions of the first row that are the program's own, innermost first.
row_functions() { # file, row
	json "$T/j" "[f['function'] for f in j['rows'][$1]['stack'] if f['module'].endswith('/grower')]"
}
two_builds() {
	"$FA" diff "$T/old.falloc" "$T/new.falloc" --json >"$T/j"
	same "$(json "$T/j" 'j["row_counts"]')" "{'added': 1, 'removed': 0, 'grown': 0, 'shrunk': 0, 'kept': 2}"
	same "$(row_functions 0)" "['log_request', 'main', '_start']"
	same "$(json "$T/j" 'len(j["rows"]), j["rows"][0]["what"], j["rows"][0]["before"], j["rows"][0]["after"]')" \
		"(1, 'added', {'blocks': 0, 'bytes': 0}, {'blocks': 500, 'bytes': 24000})"
	same "$(json "$T/j" 'j["change"]')" "{'blocks': 500, 'bytes': 24000}"
}
it 39.1 "of two builds, the stack that only the new one keeps is named; functions that moved are the same" two_builds

same_build() {
	"$FA" diff "$T/old.falloc" "$T/old2.falloc" --json --only kept --only added --only removed >"$T/j"
	same "$(json "$T/j" 'j["row_counts"]["kept"], len(j["rows"]), j["change"]["bytes"]')" "(2, 2, 0)"
	"$FA" diff "$T/new.falloc" "$T/more.falloc" --json >"$T/j"
	same "$(json "$T/j" '[(r["what"], r["change"]["bytes"], r["change"]["blocks"]) for r in j["rows"]]')" \
		"[('grown', 9600, 200), ('grown', 3200, 0)]"
	same "$(row_functions 0)" "['log_request', 'main', '_start']"
}
it 39.2 "of two runs of one build, what does not differ is kept, and what grew has its numbers" same_build

removed() {
	"$FA" diff "$T/new.falloc" "$T/old.falloc" --json >"$T/j"
	same "$(json "$T/j" '[(r["what"], r["change"]["bytes"]) for r in j["rows"]]')" "[('removed', -24000)]"
	"$FA" diff "$T/new.falloc" "$T/old.falloc" --only added --only grown --json >"$T/j"
	same "$(json "$T/j" 'j["rows"], j["row_counts"]["removed"]')" "([], 1)"
	"$FA" diff "$T/old.falloc" "$T/more.falloc" --by function --sort size --size 40,2000 --json >"$T/j"
	same "$(json "$T/j" '[(r["stack"][0]["function"], r["change"]["bytes"]) for r in j["rows"]]')" \
		"[('log_request', 33600)]"
	"$FA" diff "$T/old.falloc" "$T/new.falloc" --function '^remember$' --only kept --json >"$T/j"
	same "$(json "$T/j" '[r["after"] for r in j["rows"]]')" "[{'blocks': 100, 'bytes': 100000}]"
}
it 39.3 "removed, filters, by function, orders" removed

no_symbols() {
	# The same program but for its name: offsets are what is left to compare.
	mkdir "$T/s1" "$T/s2"
	strip -s -o "$T/s1/grower" "$T/v2/grower"
	objcopy -S --remove-section=.note.gnu.build-id "$T/v2/grower" "$T/s2/grower-b"
	"$FA" run -o "$T/s1.falloc" -- "$T/s1/grower" <<<500 >/dev/null
	"$FA" run -o "$T/s2.falloc" -- "$T/s2/grower-b" <<<600 >/dev/null
	"$FA" diff "$T/s1.falloc" "$T/s2.falloc" --json >"$T/j"
	same "$(json "$T/j" '[(r["what"], r["change"]["bytes"]) for r in j["rows"]]')" "[('grown', 4800), ('grown', 1600)]"
	json "$T/j" 'j["rows"][0]["stack"][0]["function"] is None' | grep -q true
}
it 39.4 "without symbols and build id, module and offset are compared" no_symbols

statuses() {
	local r=0
	"$FA" diff "$T/old.falloc" "$T/new.falloc" --fail-above 24000 >"$T/out" # not above
	"$FA" diff "$T/old.falloc" "$T/new.falloc" --fail-above 23999 >"$T/out" || r=$?
	same "$r" 6
	grep -q '^change +23.4 KiB in +500 blocks$' "$T/out"
	grep -q '^    log_request  grower.c:[0-9]*  \[grower\]$' "$T/out"
	r=0; "$FA" diff "$T/new.falloc" "$T/old.falloc" --fail-above 1 >"$T/out" || r=$?
	same "$r" 0
	r=0; "$FA" diff "$T/old.falloc" 2>"$T/out" || r=$?
	same "$r" 2
	r=0; "$FA" diff "$T/old.falloc" "$T/nothing.falloc" 2>"$T/out" || r=$?
	same "$r" 5
	r=0; "$FA" diff "$T/old.falloc" --from mark:nowhere 2>"$T/out" || r=$?
	same "$r" 5
	r=0; "$FA" diff "$T/old.falloc" --from yesterday 2>"$T/out" || r=$?
	same "$r" 2
	cp "$T/new.falloc" "$T/bad.falloc"
	printf '\377\377\377\377' | dd of="$T/bad.falloc" bs=1 seek=$(($(stat -c %s "$T/bad.falloc") / 2)) conv=notrunc 2>/dev/null
	r=0; "$FA" diff "$T/old.falloc" "$T/bad.falloc" >"$T/out" 2>&1 || r=$?
	same "$r" 2
	grep -q 'bad.falloc: damaged' "$T/out"
}
it 39.5 "exit statuses: 0 whatever the difference, 6 with --fail-above, 2 damaged or wrong, 5 not there" statuses

moments() {
	"$FA" diff --from 0 --to end "$T/new.falloc" --json >"$T/j"
	same "$(json "$T/j" 'j["by_block"], j["of_blocks"]["added"], j["of_blocks"]["kept"]["blocks"], j["before"]["blocks"]')" \
		"(True, {'blocks': 601, 'bytes': 132000}, 0, 0)"
	"$FA" diff --from end "$T/new.falloc" --view blocks --only kept --json >"$T/j"
	same "$(json "$T/j" 'j["block_count"], j["block_list"][0]["bytes"], j["block_list"][0]["stack"][0]["function"]')" \
		"(601, 8000, 'grow')"
	json "$T/j" 'len({b["address"] for b in j["block_list"]}) == 601 and all(b["age_ns"] >= 0 for b in j["block_list"])' | grep -q true
	"$FA" diff --from end "$T/new.falloc" --view blocks --only kept --top 2 >"$T/out"
	grep -q '^\.\.\. and 599 more; --top 601 shows all$' "$T/out"
	grep -Eq '^kept +[0-9]+ +0x[0-9a-f]+ +8,000 ' "$T/out"
}
it 39.6 "of two moments of one run, by stack and by block" moments

peak() {
	# The realloc at the last request: the peak is what lives then.
	"$FA" report "$T/new.falloc" --json >"$T/r"
	"$FA" diff --from peak "$T/new.falloc" --json >"$T/j"
	same "$(json "$T/j" 'j["before"]["bytes"], j["before"]["blocks"]')" \
		"$(json "$T/r" 'j["peak"]["bytes"], j["peak"]["blocks"]')"
	# And with threads that free what others allocated.
	"$FA" run -o "$T/t.falloc" -- "$P/threads" 4 20000 >/dev/null
	"$FA" report "$T/t.falloc" --json >"$T/r"
	"$FA" diff --from peak "$T/t.falloc" --json >"$T/j"
	same "$(json "$T/j" 'j["before"]["bytes"], j["before"]["blocks"], j["after"]["blocks"]')" \
		"$(json "$T/r" 'j["peak"]["bytes"], j["peak"]["blocks"], j["outstanding"]["blocks"]')"
}
it 39.7 "what is live at the peak is the peak of report" peak

serve g1 v2 300
serve g2 v2 600
serve g3 v2 900
three_runs() {
	# Given in no order. The cache is full in all of them.
	"$FA" growth "$T/g2.falloc" "$T/g3.falloc" "$T/g1.falloc" --json >"$T/j"
	same "$(json "$T/j" '[s["path"].split("/")[-1] for s in j["steps"]]')" "['g1.falloc', 'g2.falloc', 'g3.falloc']"
	same "$(json "$T/j" 'j["stacks"], [[a["bytes"] for a in r["at"]] for r in j["rows"]]')" \
		"(3, [[14400, 28800, 43200], [4800, 9600, 14400]])"
	same "$(row_functions 0)" "['log_request', 'main', '_start']"
	same "$(row_functions 1)" "['grow', 'main', '_start']"
	# The slope is that of the least squares through these points.
	python3 - "$T/j" <<'PY'
import json, sys
j = json.load(open(sys.argv[1]))
t = [(s["real_ns"] - j["steps"][0]["real_ns"]) / 1e9 for s in j["steps"]]
for r in j["rows"]:
    b = [a["bytes"] for a in r["at"]]
    mt, mb = sum(t) / 3, sum(b) / 3
    slope = sum((x - mt) * (y - mb) for x, y in zip(t, b)) / sum((x - mt) ** 2 for x in t)
    assert abs(slope - r["bytes_per_second"]) < 1e-6 * slope, (slope, r["bytes_per_second"])
    assert 0 < r["fit"] <= 1 + 1e-9
PY
	"$FA" growth "$T"/g?.falloc >"$T/out"
	grep -q '^2 of 3 stacks grow$' "$T/out"
	grep -q '^  14.1 KiB, 28.1 KiB, 42.2 KiB; straight to ' "$T/out"
}
it 39.8 "of three runs the stacks that grow in every step, the steepest first, and not the cache that stays" three_runs

other_builds() {
	"$FA" growth "$T/old.falloc" "$T/new.falloc" "$T/more.falloc" --json >"$T/j" # log_request: 0, 500, 700; grow: 500, 500, 700
	same "$(json "$T/j" '[[a["blocks"] for a in r["at"]] for r in j["rows"]]')" "[[0, 500, 700]]"
	"$FA" growth "$T/old.falloc" "$T/new.falloc" "$T/more.falloc" --steps 1 --json >"$T/j"
	same "$(json "$T/j" '[[a["bytes"] for a in r["at"]] for r in j["rows"]]')" "[[0, 24000, 33600], [8000, 8000, 11200]]"
	local r=0
	"$FA" growth "$T"/g?.falloc --fail-above 1 >"$T/out" || r=$?
	same "$r" 6
	"$FA" growth "$T"/g?.falloc --fail-above 1T >"$T/out"
	r=0; "$FA" growth "$T/g1.falloc" 2>"$T/out" || r=$?
	same "$r" 2
	r=0; "$FA" growth "$T/g1.falloc" "$T/g1.falloc" 2>"$T/out" || r=$?
	same "$r" 2
	r=0; "$FA" growth "$T/g1.falloc" "$T/nothing.falloc" 2>"$T/out" || r=$?
	same "$r" 5
}
it 39.9 "over two builds; with --steps what grows now and then; exit statuses" other_builds

every() {
	# Whatever the timing was: each moment has what diff says of it.
	local length n=0
	"$FA" report "$T/more.falloc" --json >"$T/r"
	length=$(json "$T/r" 'j["duration_ns"]')
	"$FA" growth "$T/more.falloc" --every $((length / 20))ns --json >"$T/j"
	while read -r time bytes blocks; do
		"$FA" diff --from "${time}ns" "$T/more.falloc" --json >"$T/d"
		same "$(json "$T/d" 'j["before"]["bytes"], j["before"]["blocks"]')" "($bytes, $blocks)"
		n=$((n + 1))
	done < <(json "$T/j" '"\n".join("%d %d %d" % (s["time_ns"], s["bytes"], s["blocks"]) for s in j["steps"])')
	[ $n -ge 2 ]
}
it 39.10 "with --every each moment has what diff says is live then" every

groups() {
	"$FA" report "$T/new.falloc" --view sizes --json >"$T/j"
	same "$(json "$T/j" '[(r["name"], r["blocks"], r["bytes"]) for r in j["rows"]]')" \
		"[('above 32 B, up to 64 B', 500, 24000), ('above 512 B, up to 1.0 KiB', 100, 100000), ('above 4.0 KiB, up to 8.0 KiB', 1, 8000)]"
	"$FA" report "$T/new.falloc" --view sizes --at peak --json >"$T/j"
	"$FA" report "$T/new.falloc" --json >"$T/r"
	same "$(json "$T/j" 'j["sum"]["bytes"], sum(r["blocks"] for r in j["rows"])')" "$(json "$T/r" 'j["peak"]["bytes"], j["peak"]["blocks"]')"
	"$FA" report "$T/new.falloc" --view ages --function '^log_request$' --json >"$T/j"
	same "$(json "$T/j" 'sum(r["blocks"] for r in j["rows"]), j["sum"]')" "(500, {'blocks': 500, 'bytes': 24000})"
	"$FA" report "$T/new.falloc" --view modules >"$T/out"
	grep -Eq '^ *128.9 KiB +601  .*/v2/grower$' "$T/out"
	local r=0
	"$FA" report "$T/new.falloc" --view ages --range 1s, 2>"$T/out" || r=$?
	same "$r" 2
	r=0; "$FA" report "$T/new.falloc" --at peak 2>"$T/out" || r=$?
	same "$r" 2
}
it 39.19 "report of the blocks that are live at a moment, by size, age and module" groups

private_machine 39.11 "growth of a service that runs"
mkfifo "$T/in"
requests() { # so many, all handled; then a mark: N NAME
	echo "$1" >&8
	n=$((n + 1))
	wait_for 30 handled
	$fa mark "$2" --session spec >/dev/null
}
handled() { [ "$(wc -l <"$T/done")" = "$n" ]; }
service() {
	"$P/grower" <"$T/in" >"$T/done" &
	exec 8>"$T/in"
	n=0
	requests 100 full # the cache is full
	requests 50 one
	requests 60 two
	requests 70 three
	exec 8>&-
	wait $!
}
# Each allocation with a time of its own: those of one thread alone are else too early by up to seven.
$fa enable grower --starts 1000 --stamp all >/dev/null
$fa start spec -o "$T/service.falloc" --min-free 0 >/dev/null
echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
service
rm -f /etc/ld.so.preload
$fa stop spec >/dev/null
$fa disable grower >/dev/null
marks() {
	local at=(--at mark:one --at mark:three --at mark:full --at mark:two)
	"$FA" growth "$T/service.falloc" "${at[@]}" --json >"$T/j"
	same "$(json "$T/j" '[s["moment"] for s in j["steps"]]')" "['mark:full', 'mark:one', 'mark:two', 'mark:three']"
	same "$(json "$T/j" '[[a["bytes"] // 16 for a in r["at"]] for r in j["rows"]]')" \
		"[[300, 450, 630, 840], [100, 150, 210, 280]]"
	same "$(row_functions 0)" "['log_request', 'main', '_start']"
	same "$(json "$T/j" 'j["stacks"]')" 3
}
it 39.11 "between marks of a service that runs, the leak is named and not the cache" marks

between_marks() {
	"$FA" diff --from mark:full --to mark:three "$T/service.falloc" --json >"$T/j"
	same "$(json "$T/j" '[(r["what"], r["change"], r["of_blocks"]["added"]["blocks"], r["of_blocks"]["removed"]["blocks"], r["of_blocks"]["kept"]["blocks"]) for r in j["rows"]]')" \
		"[('grown', {'blocks': 180, 'bytes': 8640}, 180, 0, 100), ('grown', {'blocks': 0, 'bytes': 2880}, 1, 1, 0)]"
	same "$(json "$T/j" 'j["row_counts"]["kept"]')" 1
}
it 39.12 "diff between two marks has the blocks that came, went and stayed" between_marks

says() { grep -q "$1" "$2"; }
# shape TRACE: a process of lost that stands still, traced by run; its pid is $lost
stay() {
	: >"$T/ready"
	"$FA" run -o "$2" -- "$P/lost" "$1" stay >"$T/ready" 2>"$T/err" & runner=$!
	wait_for 30 says ready "$T/ready"
	lost=$(pgrep -P $runner)
}
leave() { kill -9 "$lost"; wait $runner 2>/dev/null || true; }

# "definite indirect possible reachable", each "bytes/blocks"
our_answer() {
	"$FA" leaks "$lost" --trace "$1" --json >"$T/j"
	json "$T/j" '" ".join("%d/%d" % (j[k]["bytes"], j[k]["blocks"]) for k in ("definite", "indirect", "possible", "reachable"))'
}
valgrinds_answer() {
	valgrind --leak-check=full --leak-check-heuristics=none --show-leak-kinds=none "$P/lost" "$1" 2>"$T/v"
	sed -n 's/,//g; s/.*\(definitely lost\|indirectly lost\|possibly lost\|still reachable\): \([0-9]*\) bytes in \([0-9]*\) blocks.*/\2\/\3/p' "$T/v" | xargs
}
as_valgrind() {
	local shape
	for shape in plain lists rings middles threads; do
		stay $shape "$T/l.$shape.falloc"
		# The one possible block of threads, a thread's table of modules with such memory, has room for the shim.
		same "$shape $(our_answer "$T/l.$shape.falloc" | sed 's/ 304\/1 / 288\/1 /')" "$shape $(valgrinds_answer $shape)"
		json "$T/j" 'j["all_blocks_known"]' | grep -q true
		leave
	done
	same "$(json "$T/j" 'sorted((r["stack"][0]["function"], r["blocks"], r["bytes"]) for r in j["rows"] if r["reach"] == "definite")')" \
		"[('passer', 3, 2400), ('sleeper', 1, 700)]"
}
if command -v valgrind >/dev/null; then
	it 39.13 "definite, indirect, possible and reachable are valgrind's, of five programs" as_valgrind
else
	skip 39.13 "definite, indirect, possible and reachable are valgrind's, of five programs" "no valgrind"
fi

goes_on() {
	stay threads "$T/on.falloc"
	kill -STOP "$lost"
	wait_for 10 says 'State:.T' /proc/$lost/status
	"$FA" leaks --pid "$lost" --trace "$T/on.falloc" >"$T/out"
	grep -q "^lost (pid $lost): stopped for .*; 2 threads and .* of memory copied$" "$T/out"
	grep -q '^700 B in 1 block definite$' "$T/out"
	wait_for 10 says 'State:.T' /proc/$lost/status # stopped it was
	for task in /proc/$lost/task/*; do grep -q 'TracerPid:.0' $task/status; done
	kill -CONT "$lost"
	wait_for 10 says 'State:.S' /proc/$lost/status
	leave
}
it 39.14 "the process goes on as it was, also one that was stopped before" goes_on

in_session() {
	$fa enable grower --starts 1000 >/dev/null
	$fa start lk -o "$T/lk.falloc" --min-free 0 >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$P/grower" <"$T/in" >"$T/done" & pid=$!
	exec 8>"$T/in"
	wait_for 30 traced_now $pid
	rm -f /etc/ld.so.preload
	n=1
	echo 30 >&8
	wait_for 30 handled
	$fa leaks --name grower --json >"$T/j"
	same "$(json "$T/j" 'j["pid"], j["definite"], [r["stack"][0]["function"] for r in j["rows"] if r["reach"] == "definite"]')" \
		"($pid, {'blocks': 30, 'bytes': 1440}, ['log_request'])"
	# It has not noticed.
	n=2
	echo 12 >&8
	wait_for 30 handled
	local r=0
	$fa leaks $pid --fail-above 2015 --by function --json >"$T/j" || r=$?
	same "$r $(json "$T/j" 'j["definite"]["blocks"], j["reachable"]["blocks"] >= 31, j["lost"]')" "6 (42, True, 0)"
	$fa leaks $pid --fail-above 2016 --show reachable >"$T/out"
	grep -q '^    remember  grower.c:' "$T/out" && ! grep -q log_request "$T/out" || return 1
	exec 8>&-
	wait $pid
	$fa stop lk >/dev/null
	$fa disable grower >/dev/null
}
it 39.15 "by name, in the session that records it: what is lost, again and again" in_session

cat >"$T/anchor.c" <<'C'
#include <stdlib.h>
#include <unistd.h>
static void **anchor;
/* A copy of a pointer may be left on the stack and in a register. */
static void scrub(void)
{
	volatile char stack[16384];
	for (int i = 0; i < 16384; i++)
		stack[i] = 0;
	__asm__ volatile("xor %%r8d, %%r8d; xor %%r9d, %%r9d; xor %%r10d, %%r10d; xor %%r11d, %%r11d; pxor %%xmm0, %%xmm0" :
			 : : "r8", "r9", "r10", "r11", "xmm0");
}
int main(void)
{
	char c;
	int n = 0;
	anchor = malloc(800);
	write(1, "ready\n", 6);
	while (read(0, &c, 1) == 1) {
		anchor[n++] = malloc(40);
		malloc(56);
		scrub();
		write(1, "done\n", 5);
	}
	pause();
}
C
gcc -O0 -w -fno-builtin -o "$T/m/anchor" "$T/anchor.c"
five_done() { [ "$(grep -c done "$T/done")" = 5 ]; }
was_there_before() {
	: >"$T/done"
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$T/m/anchor" <"$T/in" >"$T/done" & pid=$!
	exec 8>"$T/in"
	wait_for 30 says ready "$T/done"
	rm -f /etc/ld.so.preload
	$fa start old --pid $pid -o "$T/anchor.falloc" --min-free 0 >/dev/null
	printf 12345 >&8
	wait_for 30 five_done
	$fa leaks $pid --show definite --json >"$T/j"
	same "$(json "$T/j" 'j["all_blocks_known"], j["definite"], j["reachable"]')" \
		"(False, {'blocks': 5, 'bytes': 280}, {'blocks': 5, 'bytes': 200})"
	$fa stop old >/dev/null
	exec 8>&-
	kill $pid
}
it 39.16 "of one that ran before: what an older block points to is not lost, and this is said" was_there_before

refusals() {
	local r=0
	sleep 1000 & pid=$!
	wait_for 10 asleep $pid
	$fa leaks $pid 2>"$T/out" || r=$?
	same "$r" 5
	grep -q "no session has process $pid" "$T/out"
	stay plain "$T/l.falloc"
	chmod 644 "$T/l.falloc"
	chmod 755 "$T"
	r=0; setpriv --reuid nobody --regid nogroup --clear-groups "$FA" leaks "$lost" --trace "$T/l.falloc" 2>"$T/out" || r=$?
	same "$r" 4
	r=0; "$FA" leaks $pid --trace "$T/l.falloc" 2>"$T/out" || r=$?
	same "$r" 5
	leave
	r=0; "$FA" leaks "$lost" --trace "$T/l.falloc" 2>"$T/out" || r=$?
	same "$r" 5
	r=0; "$FA" leaks 2>"$T/out" || r=$?
	same "$r" 2
	r=0; "$FA" leaks $pid --trace "$T/none.falloc" 2>"$T/out" || r=$?
	same "$r" 5
	kill $pid
}
it 39.17 "refused: not traced, not allowed, not there" refusals

snapshots() {
	$fa start nothing -o "$T/nothing.falloc" --image nobody --min-free 0 >/dev/null
	$fa snapshot config grower enable >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$P/grower" <"$T/in" >"$T/done" & pid=$!
	exec 8>"$T/in"
	n=0
	local all=0 count
	for count in 100 50 60; do
		all=$((all + count))
		echo $count >&8
		n=$((n + 1))
		wait_for 30 handled
		rm -f /etc/ld.so.preload
		$fa snapshot take --pid $pid -o "$T/snap$n.falloc" >/dev/null
	done
	exec 8>&-
	wait $pid
	"$FA" growth "$T"/snap?.falloc --json >"$T/j"
	same "$(json "$T/j" '[[a["bytes"] // 16 for a in r["at"]] for r in j["rows"]]')" "[[300, 450, 630], [100, 150, 210]]"
	same "$(row_functions 0)" "['log_request', 'main', '_start']"
	"$FA" diff "$T/snap1.falloc" "$T/snap3.falloc" --json >"$T/j"
	same "$(json "$T/j" '[(r["what"], r["change"], [r["of_blocks"][k]["blocks"] for k in ("added", "removed", "kept")]) for r in j["rows"]]')" \
		"[('grown', {'blocks': 110, 'bytes': 5280}, [110, 0, 100]), ('grown', {'blocks': 0, 'bytes': 1760}, [1, 1, 0])]"
	same "$(json "$T/j" 'j["by_block"], j["of_blocks"]["kept"]["blocks"]')" "(True, 200)"
	$fa snapshot config grower disable >/dev/null
	$fa stop nothing >/dev/null
}
it 39.18 "snapshots of one process: the leak grows, the cache does not; blocks are the same in both" snapshots
results
