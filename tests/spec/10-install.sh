#!/bin/bash
# 10 Install. Claims:
#   10.1-10.6   below --root: everything in place, repeatable, other lines kept, all of it taken back
#   10.7-10.10  what is refused changes nothing: a broken library, one that prints, one that kills, 32-bit libc
#   10.11-10.15 the machine itself, in a private mount namespace: programs start silently before, between
#               and after; after uninstall /etc, /usr and /var/lib are as before, byte by byte
#   10.16       killed at any moment, install and uninstall leave a machine that starts programs silently
#   10.19       a 32-bit program starts silently on a machine that has 32-bit programs
#   10.20       uninstall ends firstallocd
#   10.17-10.18 make install and make uninstall: exactly what was put there goes away
. "$(dirname "$0")/lib.sh"

shim=$B/libfirstalloc_preload.so
if [ ! -e "$shim" ]; then
	shim=$T/dummy.so
	echo 'int fa_nothing(void); int fa_nothing(void) { return 1; }' | gcc -shared -fPIC -x c -o "$shim" -
fi
R=$T/root
new_root() {
	rm -rf "$R"
	mkdir -p "$R"/etc "$R"/usr/lib/x86_64-linux-gnu "$R"/var/lib
	chmod 755 "$R" "$R"/etc
}
inst() { "$FA" --root "$R" install --library "${1:-$shim}" "${@:2}"; }

everything() {
	new_root
	inst && cmp "$shim" "$R/usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so" &&
		same "$(stat -c %a "$R/usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so")" 755 &&
		same "$(cat "$R/etc/ld.so.preload")" /usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so &&
		same "$(stat -c %a:%s "$R/etc/firstalloc/door/bell")" 644:0 &&
		same "$(stat -c %a "$R/etc/firstalloc/registry.idx")" 644 &&
		"$FA" --root "$R" doctor
}
it 10.1 "library, line, doorbell and index are in place, and doctor finds no problem" everything
twice() {
	(cd "$R" && find . -type f -print0 | sort -z | xargs -0 sha256sum) > "$T/first"
	local inode
	inode=$(stat -c %i "$R/usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so")
	inst && (cd "$R" && find . -type f -print0 | sort -z | xargs -0 sha256sum) | diff "$T/first" - &&
		same "$(stat -c %i "$R/usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so")" "$inode"
}
it 10.2 "a second install changes nothing" twice
update() {
	cp "$shim" "$T/newer.so" && printf 'x' >> "$T/newer.so" || return 1
	local inode
	inode=$(stat -c %i "$R/usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so")
	inst "$T/newer.so" && cmp "$T/newer.so" "$R/usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so" &&
		[ "$(stat -c %i "$R/usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so")" != "$inode" ]
}
it 10.3 "an update is a new file, never written into the mapped one" update
taken_back() {
	"$FA" --root "$R" enable cat > /dev/null && "$FA" --root "$R" autologger enable boot > /dev/null || return 1
	"$FA" --root "$R" uninstall && same "$(find "$R" -type f)" "" && same "$(cd "$R" && find . | sort | tr '\n' ' ')" \
		". ./etc ./usr ./usr/lib ./usr/lib/x86_64-linux-gnu ./var ./var/lib "
}
it 10.4 "uninstall takes all of it away, rules included" taken_back
it 10.5 "a second uninstall finds nothing and is content" bash -c "'$FA' --root '$R' uninstall | grep -q 'nothing was installed'"
kept_lines() {
	new_root
	printf '# ours\n\n/opt/a.so:/opt/b.so\n/opt/c.so' > "$R/etc/ld.so.preload"
	chmod 640 "$R/etc/ld.so.preload"
	cp -a "$R" "$T/before"
	inst && same "$(head -n 1 "$R/etc/ld.so.preload")" /usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so &&
		same "$(stat -c %a "$R/etc/ld.so.preload")" 640 && tail -n +2 "$R/etc/ld.so.preload" | cmp - "$T/before/etc/ld.so.preload" &&
		"$FA" --root "$R" uninstall && diff -r "$T/before" "$R" && same "$(stat -c %a "$R/etc/ld.so.preload")" 640 || return 1
}
it 10.6 "other lines keep their bytes, order and mode; a file that was there stays" kept_lines

refused() {
	new_root
	cp -a "$R" "$T/before.$1"
	local got=0
	inst "$2" "${@:4}" > "$T/o" 2> "$T/e" || got=$?
	cat "$T/e"
	same "$got" 1 && grep -q -- "$3" "$T/e" && diff -r "$T/before.$1" "$R" || return 1
}
echo 'no library' > "$T/text.so"
head -c 2000 "$shim" > "$T/cut.so" # maps pages that the file does not have: SIGBUS
it 10.7 "a library that the dynamic linker does not take is refused, nothing is changed" refused 7 "$T/text.so" "cannot be preloaded"
gcc -shared -fPIC -x c -o "$T/prints.so" - <<< '#include <unistd.h>
__attribute__((constructor)) static void hello(void) { (void)!write(2, "hello\n", 6); }'
it 10.8 "a library that prints is refused" refused 8 "$T/prints.so" "printed: hello"
gcc -shared -fPIC -x c -o "$T/kills.so" - <<< '#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void hello(void) { if (getuid()) abort(); }'
if [ "$(id -u)" = 0 ]; then
	it 10.9 "a library that only unprivileged programs die of is refused" refused 9 "$T/kills.so" "killed by signal 6.*unprivileged"
else
	skip 10.9 "a library that only unprivileged programs die of is refused" "needs root"
fi
two_classes() {
	local line='/usr/$LIB/libfirstalloc_preload.so' one=usr/lib/i386-linux-gnu two=usr/lib32
	new_root
	mkdir -p "$R/$one" "$R/$two" "$T/alone" && : > "$R/$one/libc.so.6" && : > "$R/$two/libc.so.6" || return 1
	cp -a "$R" "$T/before.32" && cp "$shim" "$T/alone/" || return 1
	! inst "$T/alone/${shim##*/}" 2> "$T/e" && grep -q '32-bit' "$T/e" && diff -r "$T/before.32" "$R" &&
		inst "$T/alone/${shim##*/}" --force && "$FA" --root "$R" uninstall && diff -r "$T/before.32" "$R" || return 1
	[ -e "$B/libfirstalloc_preload_32.so" ] || return 0
	inst "$B/libfirstalloc_preload.so" && same "$(cat "$R/etc/ld.so.preload")" "$line" &&
		cmp "$B/libfirstalloc_preload_32.so" "$R/$one/libfirstalloc_preload.so" &&
		cmp "$B/libfirstalloc_preload_32.so" "$R/$two/libfirstalloc_preload.so" &&
		"$FA" --root "$R" doctor && "$FA" --root "$R" uninstall && diff -r "$T/before.32" "$R"
}
it 10.10 "with a 32-bit libc: refused without a 32-bit library; with it one line serves both" two_classes

. "$(dirname "$0")/whole.sh"

if [ "$(id -u)" != 0 ] || ! private true > "$T/why" 2>&1; then
	for n in 11 12 13 14 15 16 18; do skip 10.$n "the machine itself" "no private mount namespace"; done
else
	it 10.11 "after install programs start silently and have the library, as root and as another user" private '
		"$FA" install $force --library "$shim" && silent && grep -q libfirstalloc_preload /proc/self/maps &&
		setpriv --reuid 65534 --regid 65534 --clear-groups grep -q libfirstalloc_preload /proc/self/maps &&
		same "$(setpriv --reuid 65534 --regid 65534 --clear-groups /bin/true 2>&1)" ""'
	it 10.12 "user and group are there, and the collector is not a member of the group" private '
		"$FA" install $force --library "$shim" > /dev/null && id -u _firstalloc && getent group firstalloc && ! id -Gn _firstalloc | grep -qw firstalloc &&
		same "$(getent shadow _firstalloc | cut -d: -f2)" "!*"'
	it 10.13 "uninstall leaves a machine as before" private '
		"$FA" install $force --library "$shim" > /dev/null && "$FA" enable cat > /dev/null && "$FA" uninstall && as_before && silent &&
		! grep -q libfirstalloc_preload /proc/self/maps'
	it 10.14 "install twice, uninstall once: as before" private '
		"$FA" install $force --library "$shim" > /dev/null && "$FA" install $force --library "$shim" > /dev/null && "$FA" uninstall && as_before'
	it 10.15 "a refused library leaves a machine as before" private '
		! "$FA" install $force --library "$T/cut.so" && as_before && silent'
	gcc -m32 -nostdlib -nostartfiles -no-pie -fno-pic -Wl,--dynamic-linker=/lib/ld-linux.so.2 -Wl,--no-as-needed \
		-x c -o "$T/p32" - -x none /lib32/libc.so.6 2> /dev/null <<< 'void _start(void) { __asm__ volatile("mov $1,%eax; mov $7,%ebx; int $0x80"); }'
	if [ -x "$T/p32" ] && [ -z "$force" ]; then
		it 10.19 "32-bit programs start silently too" private '
			"$FA" install --library "$shim" && same "$("$T/p32" 2>&1; echo $?)" 7 && silent'
	else
		skip 10.19 "32-bit programs start silently too" "no 32-bit libc"
	fi
	if [ -x "$B/firstallocd" ]; then
		it 10.20 "uninstall stops a running firstallocd, and nothing comes back afterwards" private '
			"$FA" install $force --library "$shim" > /dev/null && "$B/firstallocd" && wait_for 20 test -S /run/firstalloc/control &&
			"$FA" enable cat > /dev/null && "$FA" doctor && "$FA" uninstall && [ ! -e /run/firstalloc ] && sleep 1.2 && as_before'
	fi
	killed() {
		private '
		for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
			"$FA" install $force --library "$shim" > /dev/null 2>&1 & pid=$!
			sleep 0.0$((n * 4 / 10))$((n * 4 % 10)); kill -9 $pid 2> /dev/null; wait $pid 2> /dev/null
			silent || exit 1
			[ $((n % 3)) = 0 ] || continue
			"$FA" install $force --library "$shim" > /dev/null || exit 1
			"$FA" uninstall > /dev/null 2>&1 & pid=$!
			sleep 0.0$((n / 2 / 10))$((n / 2 % 10)); kill -9 $pid 2> /dev/null; wait $pid 2> /dev/null
			silent || exit 1
		done
		"$FA" install $force --library "$shim" > /dev/null && "$FA" uninstall && as_before && silent' 2>&1 | grep -v Killed
		return "${PIPESTATUS[0]}"
	}
	it 10.16 "killed at any moment: programs start silently, and the next run finishes the work" killed
fi

staged() {
	local d=$T/stage
	mkdir -p "$d/usr/bin" "$d/usr/share/man" && cp -a "$d" "$T/stage.before"
	local make="make -s -C $SRC B=$B DESTDIR=$d"
	$make install && for f in usr/bin/firstalloc usr/sbin/firstallocd usr/lib/firstalloc/libfirstalloc_preload.so \
		usr/share/man/man1/firstalloc.1 usr/share/man/man1/firstalloc-enable.1 usr/share/man/man8/firstallocd.8 \
		usr/share/man/man5/firstalloc.ini.5 usr/share/bash-completion/completions/firstalloc \
		usr/lib/libfirstalloc.so.0 usr/lib/libfirstalloc.so usr/include/firstalloc.h usr/lib/pkgconfig/firstalloc.pc \
		usr/share/man/man3/fa_start_heap_trace.3 usr/lib/systemd/system/firstallocd.service usr/lib/sysusers.d/firstalloc.conf etc/firstalloc/firstalloc.ini; do
		[ -s "$d/$f" ] || { echo "no $f"; return 1; }
	done
	! grep -q @ "$d/usr/lib/pkgconfig/firstalloc.pc" && same "$(readlink "$d/usr/lib/libfirstalloc.so")" libfirstalloc.so.0 &&
		gcc -I"$d/usr/include" "$SRC/examples/session.c" -L"$d/usr/lib" -lfirstalloc -o "$T/by-installed" &&
		! grep -q @PREFIX@ "$d/usr/lib/systemd/system/firstallocd.service" && $make install && $make uninstall && diff -r "$T/stage.before" "$d"
}
if [ -e "$B/firstallocd" ] && [ -e "$B/libfirstalloc_preload.so" ] && grep -q install.mk "$SRC/Makefile"; then
	it 10.17 "make install puts everything in place, make uninstall takes exactly that away" staged
	if [ "$(id -u)" = 0 ] && unshare -m true 2> /dev/null; then
		it 10.18 "make install, firstalloc install, and both back: as before" private '
			make -s -C "$SRC" B="$B" install > /dev/null && firstalloc install $force && firstalloc enable cat > /dev/null && firstalloc doctor | tee $T/d &&
			! make -s -C "$SRC" B="$B" uninstall && firstalloc uninstall && hash -r && make -s -C "$SRC" B="$B" uninstall && as_before'
	fi
else
	skip 10.17 "make install and make uninstall" "not everything is built"
fi
results
