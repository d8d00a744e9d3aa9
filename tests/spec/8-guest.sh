#!/bin/bash
# 8 - a guest that harms nobody: hard ways to live with a library that sits in all processes.
#
# Claims: under `run`, programs that interrupt, fork, jump, thread, filter, limit and end in hard ways
# print, return and last as they do alone, and their events are there or counted. With the shim in
# ld.so.preload, programs of other makes (sanitizers, static, set-user-id, other namespaces of the linker)
# do as they do without. (As root, in a private mount namespace.)
. "$(dirname "$0")/lib.sh"

O=$T/t.falloc
# Where every user may read it, wherever the build folder is.
cp "$B/libfirstalloc_preload.so" "$T/" && chmod 755 "$T"
LIB=$T/libfirstalloc_preload.so
traced() { # command...: as alone in output and status; its stderr in $T/err, the trace in $T/r.json
	local alone=0 status=0
	"$@" >"$T/alone" 2>/dev/null || alone=$?
	rm -f "$O"
	"$FA" run -o "$O" -- "$@" >"$T/out" 2>"$T/err" || status=$?
	cmp "$T/alone" "$T/out"
	same $status $alone
	"$FA" report --json "$O" >"$T/r.json" || true # its status tells of losses
}
sum() { json "$T/r.json" "$1"; }

# --- 8.1 signal handlers at random moments, with an allocator that handlers may call
signals() { # how, how many at least
	LD_PRELOAD=$P/guest_bump traced "$P/guest_signals" "$1" 10 "$2"
	same "$(cat "$T/out")" "signals ok"
	same "$(sum "j['events']['alloc'] > 100000")" true
}
lossless_signals() { signals "$1" 15000; same "$(sum "j['lost']")" 0; }
it 8.1 "handlers that allocate: nothing is lost" lossless_signals alloc
it 8.2 "handlers that leave by siglongjmp leave the thread traced" lossless_signals jump
it 8.3 "handlers that switch to another stack and back" lossless_signals context
cancelled() {
	signals cancel 200
	echo "$(cat "$T/err"): $(sum "(j['events'], j['lost'], j['outstanding'], j['unknown_frees'])")"
	same "$(sum "(j['lost'], j['unknown_frees'])")" "(0, 0)"
	# What it was just at is left, and what libc keeps of threads.
	same "$(sum "j['outstanding']['blocks'] <= $(sed -n 's/ signals.*//p' "$T/err") + 20")" true
}
it 8.6 "threads that are cancelled at any moment, out of libc's handler: nothing is lost" cancelled
fork_signals() {
	signals "$1" 60
	# What a child does to the buffer that its parent was writing just then is at most counted.
	json "$T/r.json" "(j['lost'], len(j['processes']))"
	same "$(sum "j['lost'] < len(j['processes']) and len(j['processes']) > 50")" true
}
it 8.4 "a fork in a handler: the child comes back into the interrupted call" fork_signals fork
it 8.5 "the same, allocating in the handler" fork_signals forkheap

# --- 8.10 lives
life() { traced "$P/guest_life" "$@"; same "$(sum "j['lost'] == 0 and not j['lost_unknown']")" true; }
it 8.10 "3,000 short threads" life threads 3000
it 8.11 "300 threads at once" life crowd 300
it 8.12 "200 threads at once in a child that forked: the arena grows there, too" life child_crowd 200
it 8.13 "1,000 forks one after the other" life forks 1000
it 8.14 "100 children alive at once" life family 100
it 8.15 "a filter that kills for all but malloc's, threads' and fork's calls" life filtered 2000
it 8.16 "coroutines whose stacks are unmapped" life coroutines 500
it 8.17 "recursion of 1,000,000 frames that allocates" life recursion 1000000
it 8.18 "stacks of 16 KiB, with alloca" life small 300
it 8.19 "threads cancelled while they allocate" life cancel 100
it 8.20 "handlers on an alternate stack" life altstack 500
it 8.21 "destructors of thread-local data" life keys 200
it 8.22 "constructors, destructors, atexit, detached threads after main" life late
it 8.23 "no descriptor, no file size, no core, a small stack" life limits 50
it 8.24 "all memory locked" life locked 100
strict() {
	traced "$P/guest_life" strict
	same "$(sum "j['lost_unknown']")" true
}
it 8.25 "strict secure computing: the program lives, its loss is said to be unknown" strict
too_many() {
	traced "$P/guest_life" family 200
	same "$(sum "len(j['processes']) >= 100")" true
	# who was not traced is listed, each
	same "$(sum "len(j['processes']) + len([c for c in j['coverage'] if c['reason'] == 'FAMILY_FULL']) >= 201")" true
}
it 8.26 "more children than a family holds: those left out are listed" too_many
limited() { # bytes of address space
	local alone=0 status=0
	( ulimit -v "$1"; "$P/guest_life" crowd 5 ) >"$T/alone" 2>"$T/err" || alone=$?
	rm -f "$O"
	"$FA" run -o "$O" -- sh -c "ulimit -v $1; exec $P/guest_life crowd 5" >"$T/out" 2>"$T/err" || status=$?
	same "$status $(cat "$T/out")" "$alone $(cat "$T/alone")"
}
it 8.27 "64 MB of address space" limited 65536
it 8.28 "16 MB of address space" limited 16384
it 8.29 "4 MB of address space" limited 4096

# --- 8.30 malloc's contract
contract() { traced "$P/guest_contract"; }
it 8.30 "alignment, errno, zeroes, overflow, sizes: the same lines as alone" contract
contract_dormant() {
	same "$(LD_PRELOAD=$LIB "$P/guest_contract")" "$("$P/guest_contract")"
}
it 8.31 "and unflagged" contract_dormant

# --- 8.32 what a program does to itself, and who looks into it
watched() { traced "$P/guest_watched" "$@"; same "$(sum "j['lost'] == 0 and not j['lost_unknown']")" true; }
it 8.32 "not dumpable, then 100 threads" watched dumpable
it 8.33 "all descriptors closed: the next one has the number that it has alone" watched closed
it 8.34 "rights dropped after the start, then 100 threads" watched drop
core_size() {
	local alone
	"$P/guest_watched" core 2>"$T/e1"
	watched core
	alone=$(sed -n 's/core \(.*\) KiB/\1/p' "$T/e1")
	echo "KiB alone: $alone, traced: $(cat "$T/err")"
	[ "$(sed -n 's/core \(.*\) KiB/\1/p' "$T/err")" -lt $((alone + 1024)) ]
}
it 8.36 "a core dump has no arena in it" core_size
bomb() {
	watched bomb 6
	same "$(sum "len(j['processes'])")" 127
}
it 8.37 "127 programs that each fork and execute two" bomb
TURNS=20000000 # long enough for the slowest tool to attach, also where an event costs little
stepped_once() { # pattern, tool: attached and detached again and again while the program runs
	local pattern=$1 run pid='' status=0
	shift
	rm -f "$O"
	"$FA" run -o "$O" -- "$P/guest_watched" loop $TURNS >"$T/out" 2>"$T/err" &
	run=$!
	while kill -0 $run && [ -z "$pid" ]; do pid=$(pgrep -P $run -x guest_watched) || true; done
	while kill -0 "$pid" 2>/dev/null; do
		"$@" "$pid" </dev/null >"$T/tool" 2>&1 || true
		grep -q "$pattern" "$T/tool" && seen=$((seen + 1))
	done
	wait $run || status=$?
	same "$status $(cat "$T/out")" "0 $("$P/guest_watched" loop $TURNS)"
	"$FA" report --json "$O" >"$T/r.json"
	same "$(sum "j['lost'] == 0 and j['events']['alloc'] >= $TURNS")" true
}
stepped() { # on a busy machine the tool may come too late
	local seen=0
	for _ in 1 2 3 4 5; do
		[ $seen -gt 0 ] || stepped_once "$@"
	done
	echo "attached $seen times"
	[ $seen -ge 1 ]
}
strace_once() { # PID: until it is attached
	local tool
	strace -f -p "$1" &
	tool=$!
	came() { grep -q attached "$T/tool" || ! kill -0 "$1"; }
	wait_for 20 came "$1"
	kill $tool
	wait $tool
}
strace_watches() { stepped 'Process [0-9]* detached' strace_once; }
gdb_watches() { stepped 'main (argc' timeout 60 gdb -q -nx -batch -ex bt -p; }
if strace -o /dev/null true 2>/dev/null; then
	it 8.38 "strace attaches and leaves while it is traced" strace_watches
else
	skip 8.38 "strace attaches and leaves while it is traced" "no strace that may trace"
fi
if command -v gdb >/dev/null; then
	it 8.39 "gdb attaches, walks the stack and leaves while it is traced" gdb_watches
else
	skip 8.39 "gdb attaches, walks the stack and leaves while it is traced" "no gdb"
fi

# --- 8.35 the collector stops
stopped() {
	local run base
	rm -f "$O"
	"$FA" run -o "$O" -- "$P/guest_loop" 0 2>/dev/null
	base=$("$FA" report --json "$O" | python3 -c 'import json,sys; print(sum(json.load(sys.stdin)["events"].values()))')
	rm -f "$O"
	"$FA" run -o "$O" -- "$P/guest_loop" 30000000 2>"$T/err" &
	run=$!
	at_work() { [ "$(stat -c %s "$O")" -gt 50000 ]; }
	wait_for 20 at_work
	kill -STOP $run
	sleep 2
	kill -CONT $run
	wait $run
	"$FA" report --json "$O" >"$T/r.json" || true
	same "$(sum "j['lost'] > 0")" true
	same "$(sum "sum(j['events'].values()) + j['lost']")" $((60000000 + base))
	[ "$(head -n 1 "$T/err")" -lt 1500 ]
}
it 8.35 "while the collector is stopped the program waits once, a second, and each loss is counted" stopped

# --- 8.40 programs of other makes, with the shim in ld.so.preload
if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then
	skip 8.40 "programs of other makes in a private mount namespace" "needs root"
	results
	exit
fi
R=$T/root
mkdir -p "$R/etc/firstalloc/door" "$R/var/lib/firstalloc"
: >"$R/etc/firstalloc/door/bell"
chmod -R a+rX "$T"
preload=$LIB # the line of ld.so.preload
inside() { # command: with the index and the preload line, the machine's own files untouched
	unshare -m bash -c '
		set -e
		mount -t tmpfs tmpfs /mnt
		mkdir /mnt/u /mnt/w /mnt/u/firstalloc
		cp -a "$1/etc/firstalloc/." /mnt/u/firstalloc/
		echo "$2" >/mnt/u/ld.so.preload
		mount -t overlay -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w overlay /etc
		shift 2
		exec "$@"' sh "$R" "$preload" "$@"
}
"$FA" --root "$R" enable victim >/dev/null 2>&1
"$FA" --root "$R" enable filtered-too >/dev/null 2>&1
cat >"$T/victim.c" <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void *work(void *a) { for (int i = 0; i < 1000; i++) free(malloc(i + 1)); return a; }
int main(int argc, char **argv)
{
	pthread_t t[3];
	for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, work, NULL);
	for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
	char *p = strdup("victim ok");
	puts(p);
	if (argc > 1) { volatile char *q = malloc(8); q[atoi(argv[1])] = 1; }
	free(p);
	return 3;
}
C
# as_without NAME PROGRAM args: under each of two names (flagged, not flagged) as without the shim
as_without() {
	local program=$1 name want got
	shift
	want=$("$program" "$@" 2>"$T/e1" </dev/null; echo $?)
	for name in victim other; do
		cp -p "$program" "$T/$name"
		got=$(inside "$T/$name" "$@" 2>"$T/e2" </dev/null; echo $?)
		same "$got" "$want"
		[ -s "$T/e1" ] || same "$(cat "$T/e2")" ""
		rm -f "$T/$name"
	done
}
built() { # how the program is built: words
	"$@" -w -g -o "$T/p" "$T/victim.c" -lpthread
	as_without "$T/p"
}
it 8.40 "an ordinary program" built gcc -O2
it 8.41 "static" built gcc -static
it 8.42 "static-pie" built gcc -static-pie
number=43
for cc in gcc clang; do
	for s in address thread undefined; do
		if command -v $cc >/dev/null && echo 'int main(void){return 0;}' | $cc -fsanitize=$s -x c -o "$T/try" - 2>/dev/null && "$T/try"; then
			it 8.$number "$cc -fsanitize=$s" built $cc -fsanitize=$s
		else
			skip 8.$number "$cc -fsanitize=$s" "not to be had here"
		fi
		number=$((number + 1))
	done
done
asan_finds() {
	gcc -w -g -fsanitize=address -o "$T/victim" "$T/victim.c" -lpthread
	inside "$T/victim" 9 >"$T/out" 2>&1 && return 1
	grep -q heap-buffer-overflow "$T/out"
}
it 8.49 "AddressSanitizer still finds what it is there to find" asan_finds
setuid() {
	gcc -w -o "$T/p" "$T/victim.c" -lpthread
	chmod 4755 "$T/p"
	cp -p "$T/p" "$T/victim"
	mkdir -m 777 -p "$T/run"
	same "$(inside setpriv --reuid=65534 --clear-groups env FIRSTALLOC_RUN_DIR="$T/run" "$T/victim" 2>&1; echo $?)" "$(printf 'victim ok\n3')"
	same "$(ls "$T/run")" ""
	rm -f "$T/victim"
}
it 8.50 "a set-user-id program, whose environment is not believed" setuid
filter_before() { # name
	gcc -w -o "$T/$1" -x c - <<'C'
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
	for (int i = 0; i < 3000; i++) free(malloc(i * 7));
	free(malloc(1 << 20));
	write(1, "filtered ok\n", 12);
	_exit(4);
}
C
	same "$(inside "$P/guest_filter" "$T/$1" 2>&1; echo $?)" "$(printf 'filtered ok\n4')"
}
it 8.51 "a filter set before exec: unflagged" filter_before unknown
it 8.52 "and flagged" filter_before filtered-too
namespaces() {
	cat >"$T/ns.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	for (int i = 0; i < 50; i++) {
		void *h = i % 3 == 0 ? dlmopen(LM_ID_NEWLM, argv[1], RTLD_NOW) : dlopen(argv[1], RTLD_NOW | (i % 3 == 1 ? RTLD_DEEPBIND : 0));
		void *(*f)(int) = h ? dlsym(h, "plugin_alloc") : NULL;
		if (f == NULL) { puts(dlerror()); return 1; }
		f(100);
		dlclose(h);
	}
	puts("namespaces ok");
	return 0;
}
C
	gcc -w -o "$T/p" "$T/ns.c" -ldl
	as_without "$T/p" "$P/plugin"
	traced "$T/p" "$P/plugin"
}
it 8.53 "dlmopen and RTLD_DEEPBIND" namespaces
second_initfirst() {
	echo 'int here; __attribute__((constructor)) static void c(void) { here = 1; }' |
		gcc -w -shared -fPIC -Wl,-z,initfirst -o "$T/second.so" -x c -
	gcc -w -o "$T/p" "$T/victim.c" -lpthread
	preload="$LIB $T/second.so" as_without "$T/p"
	preload="$T/second.so $LIB" as_without "$T/p"
	preload="$LIB $P/guest_bump" as_without "$T/p"
	preload="$P/guest_bump $LIB" as_without "$T/p"
	LD_PRELOAD=$P/guest_bump as_without "$T/p"
}
it 8.54 "other preloads before and after: a second initfirst object, an allocator" second_initfirst
everyday() {
	local c
	for c in 'stdbuf -oL echo hi' 'env -i /bin/echo hi' 'timeout 5 ls /' 'python3 -c "print(sum(range(1000)))"' \
		'perl -e "print 7*6"' 'bash -c "echo \$((1+1)) | sort | uniq -c"' 'tar cf - /etc/passwd | wc -c'; do
		same "$(inside bash -c "$c" 2>&1; echo $?)" "$(bash -c "$c" 2>&1; echo $?)"
	done
}
it 8.55 "everyday commands, all of whose processes have the shim" everyday
results
