#!/bin/bash
# 5-report.sh - replay, symbols and report, on traces that `firstalloc run` makes here. Needs no root.
#
# A small program leaks, churns, grows by realloc, forks and recurses in numbers that are known; the
# report must say exactly these numbers, where they come from, and nothing that is not so.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$T" || exit 1

cat >prog.c <<'C'
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void *volatile keep[1000];
static inline __attribute__((always_inline)) void *make(size_t n)
{
	void *volatile p = malloc(n);                    /* line 8 */
	return p;
}
__attribute__((noinline)) void leak(int i) { keep[i] = make(1000); __asm__(""); } /* line 11 */
__attribute__((noinline)) void churn(void) { free(make(64)); __asm__(""); }
__attribute__((noinline)) void grow(void)
{
	void *p = NULL;
	for (int i = 1; i <= 20; i++)
		p = realloc(p, (size_t)i * 100);         /* line 17 */
	keep[900] = p;
}
__attribute__((noinline)) int deep(int n)
{
	int r = n ? deep(n - 1) : (leak(500), 0);
	__asm__ volatile("" : "+r"(r));
	return r + 1;
}
__attribute__((noinline)) void peak(void)
{
	void *big = make(1 << 20);                       /* line 28 */
	memset(big, 1, 10);
	free(big);
	__asm__("");
}
int main(int argc, char **argv)
{
	peak();
	for (int i = 0; i < 50; i++) {
		leak(i);
		churn();
	}
	grow();
	deep(30);
	if (argc > 1) {
		if (fork() == 0) {
			free(keep[0]);
			leak(0);
			_exit(0);
		}
		wait(NULL);
	}
	_exit(0);
}
C
gcc -O1 -g -o prog prog.c || exit 1
strip -s -o bare prog
"$FA" run -o t.falloc -- ./prog
"$FA" run -o fork.falloc -- ./prog fork
"$FA" run -o bare.falloc -- ./bare
mkdir other && gcc -O2 -g -o other/prog prog.c

report() { "$FA" report "$@"; }

numbers() {
	report t.falloc --json >j
	same "$(json j 'j["outstanding"]')" "{'blocks': 52, 'bytes': 53000}"
	same "$(json j 'j["events"]')" "{'alloc': 102, 'realloc': 20, 'free': 51}"
	same "$(json j 'j["total"]["blocks"]')" 122
	same "$(json j 'j["total"]["bytes"]')" $((51 * 1000 + 50 * 64 + 21000 + 1048576))
	same "$(json j 'j["peak"]["bytes"], j["peak"]["blocks"]')" "(1048576, 1)"
	same "$(json j 'j["temporary"]["blocks"]')" 51
	same "$(json j 'j["lost"], j["threads"], len(j["processes"])')" "(0, 1, 1)"
	same "$(json j '[j["processes"][0][k] for k in ("image", "uid", "events", "lost", "outstanding_bytes")]')" \
		"['prog', $(id -u), 173, 0, 53000]"
	json j '0 < j["peak"]["time_ns"] < j["duration_ns"] < 60e9' | grep -q true
}
it 5.1 "the summary's numbers are those of the program" numbers

leak_row() {
	report t.falloc --view outstanding --json >j
	same "$(json j '[(r["blocks"], r["bytes"]) for r in j["rows"]]')" "[(50, 50000), (1, 2000), (1, 1000)]"
	same "$(json j '[(f["function"], f["file"].split("/")[-1], f["line"], f["inlined"]) for f in j["rows"][0]["stack"][:3]]')" \
		"[('make', 'prog.c', 8, True), ('leak', 'prog.c', 11, False), ('main', 'prog.c', 37, False)]"
	same "$(json j 'j["rows"][1]["stack"][0]["function"], j["rows"][1]["stack"][0]["line"]')" "('grow', 17)"
	json j 'j["rows"][0]["stack"][0]["module"].endswith("/prog")' | grep -q true
}
it 5.2 "a leak has its function, file and line, inlined frames included" leak_row

views() {
	report t.falloc --view peak --json >j
	same "$(json j '[(r["blocks"], r["bytes"]) for r in j["rows"]]')" "[(1, 1048576)]"
	same "$(json j 'j["rows"][0]["stack"][1]["function"]')" peak
	report t.falloc --view temporary --json >j
	same "$(json j 'j["rows"][0]["blocks"], j["rows"][0]["stack"][1]["function"]')" "(50, 'churn')"
	report t.falloc --view total --json >j
	same "$(json j 'sum(r["blocks"] for r in j["rows"])')" 122
	report t.falloc --view total --by function --json >j
	same "$(json j 'len(j["rows"]), len(j["rows"][0]["stack"])')" "(2, 1)"
	report t.falloc --view threads --json >j
	same "$(json j 'len(j["threads"]), j["threads"][0]["events"]')" "(1, 173)"
	report t.falloc --view processes --json >j
	same "$(json j 'j["processes"][0]["outstanding_bytes"]')" 53000
}
it 5.3 "peak, temporary, total, threads and processes say what they are named for" views

filters() {
	report t.falloc --view outstanding --size 1500, --json >j
	same "$(json j '[r["bytes"] for r in j["rows"]]')" "[2000]"
	report t.falloc --view outstanding --function '^deep$' --json >j
	same "$(json j '[r["bytes"] for r in j["rows"]]')" "[1000]"
	report t.falloc --view outstanding --module 'nothing' --json >j
	same "$(json j 'j["rows"]')" "[]"
	report t.falloc --view total --lifetime 0,1h --json >j
	same "$(json j 'sum(r["blocks"] for r in j["rows"])')" 70
	report t.falloc --view outstanding --top 1 --json >j
	same "$(json j 'len(j["rows"]), j["row_count"]')" "(1, 3)"
	report t.falloc --range 1h,2h --json >j
	same "$(json j 'j["outstanding"]["blocks"], j["range"]["aofo"]["blocks"]')" "(0, 52)"
	report t.falloc --range ,1h --json >j
	same "$(json j 'j["range"]["aifi"]["blocks"], j["range"]["aifo"]["blocks"]')" "(70, 52)"
	report t.falloc --process prog --json >j
	same "$(json j 'j["outstanding"]["blocks"]')" 52
}
it 5.4 "filters by size, function, module, lifetime, range and process" filters

not_found() {
	local r=0
	report t.falloc --process porg >out 2>&1 || r=$?
	same "$r" 5
	grep -q "did you mean 'prog'" out
	r=0; report nothing.falloc >out 2>&1 || r=$?
	same "$r" 5
	r=0; report prog.c >out 2>&1 || r=$?
	same "$r" 1
	grep -q 'not a firstalloc trace' out
	r=0; report t.falloc --range 5 >out 2>&1 || r=$?
	same "$r" 2
}
it 5.5 "what is not there is an error with a hint, not an empty report" not_found

inherits() {
	report fork.falloc --json >j
	same "$(json j 'sorted((p["outstanding_blocks"], p["inherited_blocks"]) for p in j["processes"])')" \
		"[(1, 51), (52, 0)]"
	same "$(json j 'j["unknown_frees"], j["implied_frees"]')" "(0, 0)"
	report fork.falloc >out
	grep -q 'inherited)' out
}
it 5.6 "a child has what it inherited beside its own, and may free it" inherits

folded() {
	report t.falloc --view outstanding >out
	grep -q 'this frame 2[89] more times\|this frame 30 more times' out
	same "$(COLUMNS=70 "$FA" report t.falloc | awk 'length > 70' | grep -vc 'install the\|or give')" 0
}
it 5.7 "recursion is folded, lines fit the terminal" folded

cat >rec.c <<'C'
#include <stdlib.h>
static void *volatile keep[64];
static int n;
__attribute__((noinline)) void leaf(void) { keep[n++] = malloc(100); __asm__(""); }
__attribute__((noinline)) void self(int d)
{
	if (d == 0)
		leaf();
	else
		self(d - 1);
	__asm__("");
}
__attribute__((noinline)) void odd(int d);
__attribute__((noinline)) void even(int d)
{
	if (d == 0)
		leaf();
	else
		odd(d - 1);
	__asm__("");
}
__attribute__((noinline)) void odd(int d)
{
	even(d - 1);
	__asm__("");
}
int main(void)
{
	for (int d = 2; d < 12; d++)
		self(d);
	for (int d = 4; d < 24; d += 2)
		even(d);
	return 0;
}
C
gcc -g -O1 -fno-optimize-sibling-calls -fno-ipa-cp -fno-ipa-sra -o rec rec.c
"$FA" run --depth 500 -o rec.falloc -- ./rec 2>/dev/null

fold_recursion() {
	local rows='[r["blocks"] for r in j["rows"] if any(f["function"] == "leaf" for f in r["stack"])]'
	report rec.falloc --view outstanding --json >j
	same "$(json j "$rows")" "$(python3 -c 'print([1] * 20)')"
	report rec.falloc --view outstanding --json --fold-recursion >j
	same "$(json j "$rows")" '[10, 10]'
	# The innermost call, the repeated one once, the first; and of two functions that call each other, both.
	names='sorted([f["function"] for f in r["stack"]][:r["stack"].index(next(f for f in r["stack"] if f["function"] == "main")) + 1] for r in j["rows"] if r["stack"][0]["function"] == "leaf")'
	same "$(json j "$names")" \
		"[['leaf', 'even', 'odd', 'even', 'main'], ['leaf', 'self', 'self', 'main']]"
	same "$(json j 'sorted((f["function"], f["recursion"]) for r in j["rows"] for f in r["stack"] if "recursion" in f)')" \
		"[('odd', 2), ('self', 1)]"
	report rec.falloc --view outstanding --fold-recursion >out
	grep -A1 '^    self' out | grep -q 'recursion: this frame any number of times'
	grep -A1 '^    odd' out | grep -q 'recursion: from here 2 frames any number of times'
	! report rec.falloc --view outstanding | grep -q 'recursion:' || return 1
}
it 5.15 "--fold-recursion: stacks that differ only in the depth of a recursion are one row" fold_recursion

stripped() {
	report bare.falloc --view outstanding --json >j
	same "$(json j 'j["rows"][0]["stack"][0]["function"]')" None
	json j 'j["rows"][0]["stack"][0]["module"].endswith("/bare")' | grep -q true
	offset=$(json j 'j["rows"][0]["stack"][0]["offset"]')
	addr2line -fi -e prog "$(printf %x $((offset - 1)))" | grep -q '^leak$'
	report bare.falloc >out
	grep -q 'of the frames have no symbols, most of them in bare' out
	grep -q 'dbgsym' out
}
it 5.8 "without symbols there are module and offset, and how to get names" stripped

debug_dir() {
	id=$(readelf -n prog | awk '/Build ID/ {print $3}')
	mkdir -p "dbg/.build-id/${id:0:2}"
	objcopy --only-keep-debug prog "dbg/.build-id/${id:0:2}/${id:2}.debug"
	report bare.falloc --view outstanding --debug-dir dbg --json >j
	same "$(json j 'j["rows"][0]["stack"][1]["function"], j["rows"][0]["stack"][1]["line"]')" "('leak', 11)"
}
it 5.9 "--debug-dir finds the debug file of a stripped program by its build id" debug_dir

replaced() {
	cp prog prog.kept
	cp other/prog prog.new && mv prog.new prog
	report t.falloc --view outstanding --json >j
	mv prog.kept prog
	same "$(json j 'j["rows"][0]["stack"][0]["function"]')" None
}
it 5.10 "a program that was replaced since gives no wrong names" replaced

no_cull() {
	[ "$(command -v g++)" ] || return 0
	echo 'int main() { volatile auto p = new int[50]; (void)p; __builtin_exit(0); }' >n.cc
	g++ -g -O0 -o n n.cc && "$FA" run -o n.falloc -- ./n
	report n.falloc --view outstanding --size 200,201 --json >j
	same "$(json j 'j["rows"][0]["stack"][0]["function"]')" main
	report n.falloc --view outstanding --size 200,201 --no-cull --json >j
	same "$(json j 'j["rows"][0]["stack"][0]["function"]')" 'operator new(unsigned long)'
}
it 5.11 "operator new is culled, --no-cull shows it" no_cull

cut_file() {
	size=$(stat -c %s t.falloc)
	head -c $((size - 20)) t.falloc >cut.falloc
	report cut.falloc --json >j 2>err
	grep -q 'cut at byte' err
	same "$(wc -l <err)" 1
	cp t.falloc bad.falloc
	printf '\377\377\377\377' | dd of=bad.falloc bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
	r=0; report bad.falloc >out 2>err || r=$?
	same "$r" 2
	grep -q 'damaged at byte' err
}
it 5.12 "a cut file is reported with a warning, a damaged one with status 2" cut_file

against_valgrind() {
	valgrind --run-libc-freeres=no --run-cxx-freeres=no ./prog 2>vg
	same "$(awk '/in use at exit/ {print $6, $9}' vg | tr -d ,)" "53000 52"
}
if [ "$(command -v valgrind)" ]; then
	it 5.13 "outstanding equals what valgrind has in use at exit" against_valgrind
else
	skip 5.13 "outstanding equals what valgrind has in use at exit" "no valgrind"
fi

no_network() {
	[ "$(command -v strace)" ] || return 0
	DEBUGINFOD_URLS=http://127.0.0.1:9 strace -f -e trace=network -o net "$FA" report bare.falloc >out
	same "$(grep -c 'socket(\|connect(' net)" 0
}
it 5.14 "no server is asked without --debuginfod" no_network

results
