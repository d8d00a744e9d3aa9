# whole.sh - for specs that install on the whole machine: in a mount namespace of its own whose /etc, /usr, /var
# and /run may be changed. Source it behind lib.sh; $shim is the library to install.
# private SCRIPT: bash in a namespace of its own with writable overlays; $T/before/etc is the machine's /etc
cat > "$T/private" <<'INNER'
set -eu
T=$1 SCRIPT=$2
mkdir -p "$T/ns" "$T/before"
mount -t tmpfs tmpfs "$T/ns"
for d in etc usr var; do
	mkdir -p "$T/before/$d" "$T/ns/$d.u" "$T/ns/$d.w"
	mount --bind /$d "$T/before/$d"
	mount -t overlay -o lowerdir=/$d,upperdir="$T/ns/$d.u",workdir="$T/ns/$d.w" overlay /$d
done
mount -t tmpfs tmpfs /run
exec bash -c "$SCRIPT"
INNER
private() {
	export -f silent same as_before wait_for
	export FA T B P shim SRC force
	unshare -m --propagation private bash "$T/private" "$T" "$1"
}
# What changed lies in the upper folders: each of its files must equal the one below.
as_before() {
	local bad=0 path below
	while IFS= read -r path; do
		below=$T/before/${path/.u\//\/}
		if [ -c "$T/ns/$path" ]; then
			[ ! -e "$below" ] && [ ! -L "$below" ] || { echo "gone: $path"; bad=1; }
		elif [ -d "$T/ns/$path" ]; then
			[ -d "$below" ] || { echo "new folder: $path"; bad=1; }
		else
			cmp "$T/ns/$path" "$below" && same "$(stat -c %a:%u:%g "$T/ns/$path")" "$(stat -c %a:%u:%g "$below")" || bad=1
		fi
	done < <(cd "$T/ns" && find etc.u/* usr.u/* var.u/lib/* 2> /dev/null)
	diff -r --no-dereference "$T/before/etc" /etc || bad=1
	diff -r --no-dereference "$T/before/var/lib/dpkg/info" /var/lib/dpkg/info > /dev/null || bad=1
	return $bad
}
# valgrind brings a 32-bit libc; that refusal is 10.10
force=
[ -e "${shim%/*}/libfirstalloc_preload_32.so" ] || for f in /lib/i386-linux-gnu /lib32 /usr/lib32; do [ ! -e $f/libc.so.6 ] || force=--force; done
silent() { same "$(/bin/sh -c '/bin/true; echo x' 2>&1)" x; }

# Killed before each STEPth of the system calls that change files, from FIRST on: programs start silently, and the
# next run mends. Install: by turns finished by a second install, and taken back at once.
install_killed() { # FIRST STEP
	private 'set -e
	n='$1' turn=0
	while :; do
		status=0
		"$P/kill_at" $n "$FA" install $force --library "$shim" >/dev/null 2>&1 || status=$?
		echo "call $n"
		silent
		[ $status = 0 ] || break
		if [ $((turn % 2)) = 0 ]; then
			"$FA" install $force --library "$shim" >/dev/null
			silent
			grep -q libfirstalloc_preload /proc/self/maps
		fi
		"$FA" uninstall >/dev/null
		silent
		as_before
		n=$((n + '$2')) turn=$((turn + 1))
	done
	[ $status = 1 ] && [ $turn -gt 3 ]'
}
uninstall_killed() { # FIRST STEP
	private 'set -e
	n='$1' turn=0
	while :; do
		"$FA" install $force --library "$shim" >/dev/null
		"$FA" enable cat >/dev/null
		status=0
		"$P/kill_at" $n "$FA" uninstall >/dev/null 2>&1 || status=$?
		echo "call $n"
		silent
		[ $status = 0 ] || break
		"$FA" uninstall >/dev/null
		silent
		as_before
		n=$((n + '$2')) turn=$((turn + 1))
	done
	[ $status = 1 ] && [ $turn -gt 3 ] && as_before'
}
