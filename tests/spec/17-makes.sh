#!/bin/bash
# 17 - programs of other makes on a machine that traces by name: with the shim in ld.so.preload, not flagged
# and flagged with a session, each does as it does without; and who is flagged, started and not traced is
# said with the reason, in `status` and in the trace.
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 17 "programs of other makes"
umask 022
mkdir "$T/m/bin"
LIBS=/usr/lib/x86_64-linux-gnu
watched=1
[ "$(stat -L -c %i /proc/self/ns/pid)" = 4026531836 ] && [ "$(stat -L -c %i /proc/self/ns/user)" = 4026531837 ] || watched=

cat >"$T/p.c" <<'C'
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static void *work(void *a) { for (int i = 0; i < 500; i++) free(malloc(i + 1)); return a; }
int main(int argc, char **argv)
{
	pthread_t t[3];
	sigset_t wake;
	sigemptyset(&wake);
	sigaddset(&wake, SIGCONT);
	sigprocmask(SIG_BLOCK, &wake, NULL);
	for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, work, NULL);
	for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
	char *p = strdup("program ok");
	puts(p);
	fflush(stdout);
	fprintf(stderr, "to stderr\n");
	free(p);
	/* So many seconds, or until it is woken: who is to be looked at must live until then. */
	if (argc > 1 || getenv("NAP")) sigtimedwait(&wake, NULL, &(struct timespec){atoi(argc > 1 ? argv[1] : getenv("NAP")), 0});
	return 3;
}
C
# built NAME compiler words...: $T/m/bin/NAME
built() {
	local name=$1
	shift
	"$@" -w -g -o "$T/m/bin/$name" "$T/p.c" ${last_words:-} -lpthread
}

trace=$T/m/t.falloc
is_listed() { # IMAGE
	$fa status --json >"$T/st.json"
	same "$(json "$T/st.json" "any(m['image'] == '$1' for m in j['coverage']['missed'])")" true
}
# A program that is not traced naps at its end, as who is gone before the daemon looks is counted as unknown, and not
# listed; until it is listed.
wake_when_listed() { # IMAGE
	wait_for 20 is_listed "$1"
	# shellcheck disable=SC2046 # a list of numbers
	kill -CONT $(json "$T/st.json" "' '.join(str(m['pid']) for m in j['coverage']['missed'] if m['image'] == '$1')") 2>/dev/null
}
run_once() { # pass, command...: what it prints, complains and returns
	local pass=$1 status=0
	shift
	"$@" >"$T/$pass.out" 2>"$T/$pass.err" </dev/null || status=$?
	echo $status >"$T/$pass.status"
}
# judged IMAGE command...: alone, dormant, and with IMAGE flagged while a session runs; then $T/r.json is the
# report, $T/st.json the status
judged() {
	local image=$1 what
	shift
	run_once alone "$@"
	$fa enable somebody-else >/dev/null 2>&1
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	run_once dormant "$@"
	$fa enable "$image" ${rule_options:-} >/dev/null 2>&1
	$fa start spec -o "$trace" --overwrite --min-free 0 >/dev/null 2>&1 || { rm -f "$trace"; $fa start spec -o "$trace" --min-free 0 >/dev/null; }
	if [ -n "${unseen:-}" ] && [ -n "$watched" ]; then
		NAP=${nap:-0} run_once traced "$@" &
		wake_when_listed "$image" || true # it has ended already
		wait
		is_listed "$image"
	else
		run_once traced "$@"
	fi
	$fa status --json >"$T/st.json"
	rm -f /etc/ld.so.preload
	$fa stop spec >/dev/null
	$fa disable "$image" >/dev/null
	"$FA" report --json "$trace" >"$T/r.json" || true
	for what in out err status; do
		cmp "$T/alone.$what" "$T/dormant.$what"
		cmp "$T/alone.$what" "$T/traced.$what"
	done
}
traced() { # IMAGE command...: and it is in the trace, without loss
	judged "$@"
	same "$(json "$T/r.json" "[any(p['events'] > ${least:-0} for p in j['processes'] if p['image'] == '$1'), sum(p['lost'] for p in j['processes'])]")" "[True, 0]"
}
not_traced() { # IMAGE REASON command...: and it is not, which is said with the reason
	local image=$1 reason=$2
	shift 2
	unseen=1 nap=60 judged "$image" "$@"
	same "$(json "$T/r.json" "[p for p in j['processes'] if p['image'] == '$image']")" "[]"
	[ -n "$watched" ] || return 0
	same "$(json "$T/st.json" "sorted({m['reason'] for m in j['coverage']['missed'] if m['image'] == '$image'})")" "['$reason']"
	same "$(json "$T/r.json" "sorted({m['reason'] for m in j['coverage'] if m['image'] == '$image'})")" "['$reason']"
	"$FA" report "$trace" | grep -q "$image.*: "
}
has() { # number, claim, file or command...: skips where one is missing
	local number=$1 claim=$2 n
	shift 2
	for n; do
		[ -e "$n" ] || command -v "$n" >/dev/null || { skip "$number" "$claim" "$n is not installed"; return 1; }
	done
}

# --- 17.1 other linkers, or none
static() { built static-one gcc -static && not_traced static-one STATIC "$T/m/bin/static-one"; }
it 17.1 "static: said so" static
static_pie() { built static-pie gcc -static-pie && not_traced static-pie STATIC "$T/m/bin/static-pie"; }
it 17.2 "static-pie" static_pie
musl() { built musl-one musl-gcc && not_traced musl-one OTHER_LIBC "$T/m/bin/musl-one"; }
musl_run() {
	built musl-two musl-gcc
	run_once alone "$T/m/bin/musl-two"
	"$FA" run -o "$T/mu.falloc" -- "$T/m/bin/musl-two" >"$T/out" 2>"$T/err" || echo $? >"$T/status"
	cmp "$T/alone.out" "$T/out" && cmp "$T/alone.err" "$T/err" && cmp "$T/alone.status" "$T/status" || return 1
	"$FA" report --json "$T/mu.falloc" >"$T/r.json"
	same "$(json "$T/r.json" "[(c['image'], c['reason']) for c in j['coverage']]")" "[('musl-two', 'OTHER_LIBC')]"
}
if has 17.3 "musl" musl-gcc; then
	it 17.3 "musl, which ignores ld.so.preload: said so" musl
	it 17.4 "musl under run, where its linker does load the shim" musl_run
fi
bits32() {
	cat >"$T/b.c" <<-'C'
		void _start(void)
		{
			int *stack = (int *)__builtin_frame_address(0) + 1, nap[2] = {60, 0}, r; /* argc, argv, environment */
			unsigned wake[2] = {1u << 17, 0}; /* SIGCONT */
			__asm__ volatile("int $0x80" : "=a"(r) : "a"(175), "b"(0), "c"(wake), "d"(0), "S"(8) : "memory");
			for (char **e = (char **)stack + *stack + 2; *e; e++)
				if (*(int *)*e == ('N' | 'A' << 8 | 'P' << 16 | '=' << 24))
					__asm__ volatile("int $0x80" : "=a"(r) : "a"(177), "b"(wake), "c"(0), "d"(nap), "S"(8) : "memory");
			__asm__ volatile("int $0x80" : : "a"(1), "b"(5));
		}
	C
	gcc -m32 -w -O1 -nostdlib -static -ffreestanding -fno-pic -fno-stack-protector -o "$T/m/bin/bits32" "$T/b.c"
	not_traced bits32 BITS32 "$T/m/bin/bits32"
	same "$(cat "$T/alone.status")" 5
}
printf 'void _start(void) { __asm__ volatile("int $0x80" : : "a"(1), "b"(0)); }' >"$T/b.c"
if gcc -m32 -w -nostdlib -static -ffreestanding -fno-pic -o "$T/b" "$T/b.c" 2>/dev/null && "$T/b"; then
	it 17.5 "32-bit" bits32
else
	skip 17.5 "32-bit" "cannot be built or run here"
fi
run_static() {
	"$FA" run -o "$T/s.falloc" -- "$T/m/bin/static-one" >/dev/null 2>&1 || true
	"$FA" report --json "$T/s.falloc" >"$T/r.json"
	same "$(json "$T/r.json" "[(c['image'], c['reason']) for c in j['coverage']]")" "[('static-one', 'STATIC')]"
	"$FA" run -o "$T/s2.falloc" -- /bin/true
	"$FA" report --json "$T/s2.falloc" >"$T/r.json"
	same "$(json "$T/r.json" "j['coverage']")" "[]"
}
it 17.6 "run of a command that cannot be traced is no empty success" run_static

# --- 17.10 sanitizers, refused by themselves; the undefined one has no allocator and is traced
number=10
for cc in gcc clang; do
	for s in address thread undefined; do
		sanitized() {
			built "$cc-$s" $cc -fsanitize=$s
			if [ $s = undefined ]; then traced "$cc-$s" "$T/m/bin/$cc-$s"; else
				not_traced "$cc-$s" SANITIZER "$T/m/bin/$cc-$s"
			fi
		}
		if command -v $cc >/dev/null && built try $cc -fsanitize=$s 2>/dev/null && "$T/m/bin/try" >/dev/null 2>&1; [ $? = 3 ]; then
			it 17.$number "$cc -fsanitize=$s" sanitized
		else
			skip 17.$number "$cc -fsanitize=$s" "cannot be built or run here"
		fi
		number=$((number + 1))
	done
done

# --- 17.20 rights of the file
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
chmod 755 "$T" "$T/m" "$T/m/bin"
set_user_id() {
	built suid gcc && chmod 4755 "$T/m/bin/suid" || return 1
	not_traced suid SECURE as_nobody "$T/m/bin/suid"
}
it 17.20 "a set-user-id program run by another user" set_user_id
wanted_secure() { rule_options=--secure traced suid as_nobody "$T/m/bin/suid"; }
it 17.21 "and traced where the rule says so" wanted_secure
capable() {
	built capable gcc && setcap cap_net_raw+ep "$T/m/bin/capable" || return 1
	not_traced capable SECURE as_nobody "$T/m/bin/capable"
}
built try gcc
if command -v setcap >/dev/null && setcap cap_net_raw+ep "$T/m/bin/try" 2>/dev/null; then
	it 17.22 "a program with file capabilities" capable
else
	skip 17.22 "a program with file capabilities" "setcap is not to be had here"
fi
su_fails() { not_traced su SECURE as_nobody su -c id; }
it 17.23 "su by who may not" su_fails
su_ok() { traced su su -s /bin/sh nobody -c 'id -un; exit 4'; same "$(cat "$T/alone.status")" 4; }
it 17.24 "su by root, whose rights do not grow: traced" su_ok

pinged() { not_traced ping SECURE as_nobody sh -c 'ping -n -c 1 127.0.0.1 | sed "s/time.*//; /^rtt/d"'; }
wanted_ping() { rule_options=--secure traced ping as_nobody sh -c 'ping -n -c 1 127.0.0.1 | sed "s/time.*//; /^rtt/d"'; }
if has 17.25 "ping" ping && [ -n "$(getcap "$(readlink -f "$(command -v ping)")" 2>/dev/null)" ]; then
	it 17.25 "ping, which has its right from the file, by another user" pinged
	it 17.26 "and traced where the rule says so" wanted_ping
fi

# --- 17.30 allocators
number=30
for a in libjemalloc.so.2 libmimalloc.so.2 libtcmalloc_minimal.so.4; do
	linked() {
		last_words="-Wl,--no-as-needed $LIBS/$a" built "with-${a%%.*}" gcc
		least=3000 traced "with-${a%%.*}" "$T/m/bin/with-${a%%.*}"
	}
	preloaded() {
		built "pre-${a%%.*}" gcc
		not_traced "pre-${a%%.*}" OWN_ALLOCATOR env LD_PRELOAD="$LIBS/$a" "$T/m/bin/pre-${a%%.*}"
		# And says so itself while it lives.
		echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
		$fa enable "pre-${a%%.*}" >/dev/null
		rm -f "$T/nap" # of the allocator before, or the wait below is none
		LD_PRELOAD="$LIBS/$a" "$T/m/bin/pre-${a%%.*}" 60 >"$T/nap" 2>&1 &
		wait_for 20 test -s "$T/nap"
		$fa status --json --pid $! >"$T/st.json"
		rm -f /etc/ld.so.preload
		kill $!
		wait $! || true
		$fa disable "pre-${a%%.*}" >/dev/null
		same "$(json "$T/st.json" "j['reason']")" OWN_ALLOCATOR
	}
	if has 17.$number "linked with $a" "$LIBS/$a"; then
		it 17.$number "linked with $a: its calls are traced" linked
		it 17.$((number + 1)) "$a preloaded before us: its own, and said so" preloaded
	fi
	number=$((number + 2))
done
own() {
	last_words="-rdynamic $SRC/tests/programs/guest_bump.c" built own-malloc gcc
	not_traced own-malloc OWN_ALLOCATOR "$T/m/bin/own-malloc"
}
it 17.36 "a malloc of its own: recognised" own

# --- 17.40 other preloads
built ordinary gcc
deep() { traced ordinary env -i "$T/m/bin/ordinary"; }
it 17.40 "env -i" deep
eatmydata() { traced ordinary env LD_PRELOAD="$LIBS/libeatmydata.so" "$T/m/bin/ordinary"; }
has 17.41 "libeatmydata" $LIBS/libeatmydata.so && it 17.41 "libeatmydata before us" eatmydata
fakeroot_one() { traced ordinary fakeroot -- sh -c "id -u; $T/m/bin/ordinary"; }
has 17.42 "fakeroot" fakeroot && it 17.42 "fakeroot, whose daemon starts with us in it" fakeroot_one
stdbuf_one() { traced ordinary stdbuf -oL "$T/m/bin/ordinary"; }
it 17.43 "stdbuf" stdbuf_one
under_run() { # an installed shim is loaded as well: one of the two records
	run_once alone "$T/m/bin/ordinary"
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	$fa enable ordinary >/dev/null
	rm -f "$T/o.falloc"
	"$FA" run -o "$T/o.falloc" -- "$T/m/bin/ordinary" >"$T/out" 2>"$T/err" || echo $? >"$T/status"
	rm -f /etc/ld.so.preload
	[ -z "$watched" ] || wait_for 20 is_listed ordinary
	$fa disable ordinary >/dev/null
	[ -z "$watched" ] || same "$(json "$T/st.json" "{m['reason'] for m in j['coverage']['missed'] if m['image'] == 'ordinary'}")" "{'UNDER_RUN'}"
	cmp "$T/alone.out" "$T/out" && cmp "$T/alone.err" "$T/err" && cmp "$T/alone.status" "$T/status" || return 1
	"$FA" report --json "$T/o.falloc" >"$T/r.json"
	same "$(json "$T/r.json" "[(p['image'], p['events'] > 3000, p['lost']) for p in j['processes']]")" "[('ordinary', True, 0)]"
}
refused_in_run() {
	local all
	printf '#include <stdlib.h>\nint main(void) { free(malloc(9)); return 0; }\n' >"$T/q.c"
	gcc -O0 -fno-builtin -fsanitize=address -o "$T/m/bin/quick asan" "$T/q.c"
	gcc -O0 -fno-builtin -o "$T/m/bin/quick-pre" "$T/q.c"
	cat >"$T/many" <<-SH
		for i in \$(seq 50); do
			"$T/m/bin/quick asan"
			LD_PRELOAD="$LIBS/libjemalloc.so.2 \$LD_PRELOAD" $T/m/bin/quick-pre
		done
		exec "$T/m/bin/quick asan"
	SH
	"$FA" run -v -o "$T/n.falloc" -- sh "$T/many" 2>"$T/err"
	grep -q ', 101 not traced, ' "$T/err"
	"$FA" report --json "$T/n.falloc" >"$T/r.json"
	all="[(c['image'], c['reason']) for c in j['coverage']]"
	same "$(json "$T/r.json" "sorted((n, w, $all.count((n, w))) for n, w in set($all))")" "[('quick asan', 'SANITIZER', 51), ('quick-pre', 'OWN_ALLOCATOR', 50)]"
	"$FA" run -v -o "$T/n.falloc" -- "$T/m/bin/quick asan" 2>"$T/err"
	grep -q 'quick asan was not traced: refused: built with a sanitizer' "$T/err"
	"$FA" report --json "$T/n.falloc" >"$T/r.json"
	same "$(json "$T/r.json" "$all")" "[('quick asan', 'SANITIZER')]"
	"$FA" run --only other -o "$T/n.falloc" -- "$T/m/bin/quick asan"
	"$FA" report --json "$T/n.falloc" >"$T/r.json"
	same "$(json "$T/r.json" "$all")" "[]"
}
has 17.45 "run says who refused" $LIBS/libjemalloc.so.2 && it 17.45 "run says who refused of all that the command started" refused_in_run
it 17.44 "run where the shim is installed, too" under_run

# --- 17.50 other roots and namespaces
unshared() {
	# behind a shell: as process 1 of its namespace it would be refused
	traced ordinary unshare -p -f -n -i -u -m sh -c "$T/m/bin/ordinary; exit \$?"
}
it 17.50 "in namespaces of its own: traced" unshared
user_namespace() { traced ordinary unshare -U -r "$T/m/bin/ordinary"; }
if unshare -U -r true 2>/dev/null; then
	it 17.59 "in a user namespace of its own: traced" user_namespace
else
	skip 17.59 "in a user namespace of its own: traced" "none may be made here (a chroot?)"
fi
root_of_others() {
	mkdir -p "$T/m/r/etc" "$T/m/r/lib64" "$T/m/r$LIBS"
	cp -L /lib64/ld-linux-x86-64.so.2 "$T/m/r/lib64/"
	cp -L $LIBS/libc.so.6 "$T/m/r$LIBS/"
	cp "$T/m/bin/ordinary" "$T/m/r/in-a-root"
	not_traced in-a-root NOT_LOADED chroot "$T/m/r" /in-a-root
}
it 17.51 "a root that has none of our files: silent, and said so" root_of_others
root_with_us() {
	local lib=$T/m/libfirstalloc_preload.so
	mkdir -p "$T/m/r/etc/firstalloc" "$T/m/r${lib%/*}"
	cp "$lib" "$T/m/r$lib"
	mount --bind "$R/etc/firstalloc" "$T/m/r/etc/firstalloc"
	echo "$lib" >"$T/m/r/etc/ld.so.preload"
	traced in-a-root chroot "$T/m/r" /in-a-root
	umount "$T/m/r/etc/firstalloc"
}
it 17.52 "a root that has them: traced" root_with_us
root_without_bell() {
	mkdir -p "$T/m/r/etc/firstalloc"
	cp "$R/etc/firstalloc/registry.idx" "$T/m/r/etc/firstalloc/" 2>/dev/null || true
	unseen=1 judged in-a-root chroot "$T/m/r" /in-a-root
}
it 17.53 "a root that has the library, an old index and no doorbell" root_without_bell

# A container with a root of its own, its /usr ours: --as-pid2, or the program is its process 1.
contained() { # options of systemd-nspawn...
	systemd-nspawn -q -D "$T/m/c" --bind-ro=/usr --register=no --keep-unit --private-network --console=pipe --setenv=NAP="${NAP:-0}" "$@"
}
container() {
	local d
	mount -t tmpfs tmpfs /run # of this namespace: it leaves a folder there
	mkdir -p "$T/m/c/etc/firstalloc"
	for d in usr proc sys dev run tmp var root; do mkdir "$T/m/c/$d"; done
	for d in bin sbin lib lib64; do ln -s "usr/$d" "$T/m/c/$d"; done
	echo 'root:x:0:0:root:/root:/bin/sh' >"$T/m/c/etc/passwd"
	for d in boxed-bare boxed-ours boxed-first; do cp "$T/m/bin/ordinary" "$T/m/c/$d"; done
}
boxed_bare() { container && not_traced boxed-bare NOT_LOADED contained --as-pid2 /boxed-bare; }
boxed_ours() {
	cp "$T/m/libfirstalloc_preload.so" "$T/m/c/"
	echo /libfirstalloc_preload.so >"$T/m/c/etc/ld.so.preload"
	traced boxed-ours contained --bind-ro="$R/etc/firstalloc:/etc/firstalloc" --as-pid2 /boxed-ours
	same "$(tail -n 1 "$T/traced.out")" "program ok"
}
boxed_first() { not_traced boxed-first PID1 contained --bind-ro="$R/etc/firstalloc:/etc/firstalloc" /boxed-first; }
if has 17.54 "containers" systemd-nspawn; then
	it 17.54 "a container that has none of our files: silent, and said so" boxed_bare
	it 17.55 "a container that has library, list and /etc/firstalloc: traced" boxed_ours
	it 17.56 "as process 1 of its container: refused, and said so" boxed_first
	umount /run 2>/dev/null
fi

# --- 17.60 scripts
script() {
	printf '#!/bin/sh\necho script ok\nexit 6\n' >"$T/m/bin/a-script"
	chmod 755 "$T/m/bin/a-script"
	judged a-script "$T/m/bin/a-script"
	same "$(json "$T/r.json" "sum(p['events'] for p in j['processes']) > 0")" true
}
it 17.60 "a script, by its name" script
given() {
	printf 'print("given", len([str(i) for i in range(100)]))\n' >"$T/m/bin/given.py"
	rule_options=--script judged given.py env -i "$(python3 -c 'import sys; print(sys.executable)')" "$T/m/bin/given.py"
	same "$(json "$T/r.json" "sum(p['events'] for p in j['processes']) > 0")" true
}
it 17.61 "a script that an interpreter is given: --script" given
script_of_static() {
	printf '#!%s\n' "$T/m/bin/static-one" >"$T/m/bin/st-script"
	chmod 755 "$T/m/bin/st-script"
	not_traced st-script STATIC "$T/m/bin/st-script"
}
it 17.62 "a script whose interpreter cannot be traced is listed by its own name" script_of_static

# --- 17.70 starts that nobody could look at
storm() {
	local known unknown before
	built stormy gcc -static
	$fa status --json >"$T/st.json"
	known=$(json "$T/st.json" "j['coverage']['unknown']")
	$fa enable stormy >/dev/null
	for _ in $(seq 400); do "$T/m/bin/stormy" >/dev/null 2>&1 & done
	wait
	before=$known
	seen() {
		$fa status --json >"$T/st.json"
		unknown=$(json "$T/st.json" "j['coverage']['unknown'] - $before")
		known=$(json "$T/st.json" "len([m for m in j['coverage']['missed'] if m['image'] == 'stormy'])")
		[ $((known + unknown)) -ge 400 ]
	}
	wait_for 20 seen || true
	$fa disable stormy >/dev/null
	echo "listed $known, unknown $unknown"
	[ $((known + unknown)) -ge 400 ] && [ "$known" -le 400 ] || return 1
}
count_quick() { # FILE LIST: how many of quick-* with which reason
	json "$1" "(lambda all: sorted((n, w, all.count((n, w))) for n, w in set(all)))([(m['image'][6:], m['reason']) for m in $2 if m['image'][:6] == 'quick-'])"
}
# Gone before anybody could look at them: but each has told why it refuses.
refused() {
	local a every="[('asan', 'SANITIZER', 100), ('pid1', 'PID1', 100), ('pre', 'OWN_ALLOCATOR', 100), ('small', 'NO_MEMORY', 100), ('suid', 'SECURE', 100)]"
	printf '#include <stdlib.h>\nint main(void) { free(malloc(9)); return 0; }\n' >"$T/q.c"
	gcc -O0 -fno-builtin -fsanitize=address -o "$T/m/bin/quick-asan" "$T/q.c"
	gcc -O0 -fno-builtin -o "$T/m/bin/quick-suid" "$T/q.c"
	for a in pid1 small pre; do cp "$T/m/bin/quick-suid" "$T/m/bin/quick-$a"; done
	chmod 4755 "$T/m/bin/quick-suid"
	for a in asan suid pid1 small pre; do $fa enable quick-$a >/dev/null 2>&1; done
	rm -f "$trace"
	$fa start spec -o "$trace" --min-free 0 >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	for _ in $(seq 100); do
		"$T/m/bin/quick-asan"
		as_nobody "$T/m/bin/quick-suid"
		unshare -p -f "$T/m/bin/quick-pid1"
		(ulimit -v 4000 && exec "$T/m/bin/quick-small")
		LD_PRELOAD=$LIBS/libjemalloc.so.2 "$T/m/bin/quick-pre"
	done 2>/dev/null
	rm -f /etc/ld.so.preload
	all_told() { $fa status --json >"$T/st.json"; same "$(count_quick "$T/st.json" "j['coverage']['missed']")" "$every"; }
	wait_for 20 all_told || true
	$fa stop spec >/dev/null
	for a in asan suid pid1 small pre; do $fa disable quick-$a >/dev/null; done
	"$FA" report --json "$trace" >"$T/r.json"
	count_quick "$T/st.json" "j['coverage']['missed']" >"$T/in-status"
	count_quick "$T/r.json" "j['coverage']" >"$T/in-trace"
	same "$(cat "$T/in-status")" "$every"
	same "$(cat "$T/in-trace")" "$(cat "$T/in-status")"
}
if has 17.71 "short-lived programs that refuse" $LIBS/libjemalloc.so.2; then
	it 17.71 "100 short-lived programs of each kind that refuses: all listed with the reason" refused
fi
if [ -n "$watched" ]; then
	it 17.70 "400 starts at once: listed, or counted as unknown" storm
else
	skip 17.70 "400 starts at once: listed, or counted as unknown" "not in the first pid namespace"
fi
results
