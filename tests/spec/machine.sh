# machine.sh - for specs that need the real thing: a private mount namespace in which the shim is in
# /etc/ld.so.preload and a firstallocd of its own runs. Source it before lib.sh; needs root. The
# machine's own files are not touched, and what runs outside does not see any of it.
#   OWN_PIDS=yes                     before it is sourced: a pid namespace, too, so that no process of others is seen
#   private_machine NUMBER CLAIM     after lib.sh: sets up; $R is the --root, $fa the command. Where that cannot be,
#                                    the spec ends here, and is skipped under this number
#   by_name IMAGE TRACE command...   enable, start a session, run the command, stop, disable
#   traced_now PID                   is it attached? To wait for before it is looked at or interfered with
if [ "$(id -u)" = 0 ] && [ -z "${FA_PRIVATE:-}" ] && unshare -m --propagation private true 2>/dev/null; then
	export FA_PRIVATE=1
	exec unshare -m --propagation private ${OWN_PIDS:+--pid --fork --mount-proc} bash "$0" "$@"
fi

private_machine() {
	local why=
	if [ "$(id -u)" != 0 ]; then
		why="needs root"
	elif [ -z "${FA_PRIVATE:-}" ] || ! own_etc; then
		umount -l "$T/m" 2>/dev/null
		why="no mount namespace with an /etc of its own may be made here"
	fi
	if [ -n "$why" ]; then
		skip "$1" "$2" "$why"
		results
		exit
	fi
	trap leave_machine EXIT
	chmod 755 "$T"
	cp "$B/libfirstalloc_preload.so" "$T/m/"
	mkdir "$R/etc/firstalloc/door"
	: >"$R/etc/firstalloc/door/bell"
	fa="$FA --root $R"
}

own_etc() {
	mkdir "$T/m" && mount -t tmpfs -o mode=755 tmpfs "$T/m" || return
	R=$T/m/root
	mkdir -p "$T/m/w" "$T/m/u/firstalloc" "$R/etc/firstalloc"
	mount -t overlay -o lowerdir=/etc,upperdir="$T/m/u",workdir="$T/m/w" overlay /etc || return
	mount --bind "$R/etc/firstalloc" /etc/firstalloc
}

leave_machine() {
	rm -f /etc/ld.so.preload
	# Whatever is still in this namespace is ours, also what a claim that failed has left running.
	local namespace pid
	namespace=$(readlink /proc/self/ns/mnt)
	for pid in $(find /proc/[0-9]*/ns/mnt -maxdepth 0 -lname "${namespace//[\[\]]/?}" 2>/dev/null | cut -d / -f 3); do
		[ "$pid" = $$ ] || kill -9 "$pid" 2>/dev/null
	done
	umount -l /etc/firstalloc /etc 2>/dev/null
	umount -l "$T/m"
	rm -rf "$T"
}

traced_now() { "$FA" --root "$R" status --json --pid "$1" | grep -q '"reason": "TRACED"'; }

by_name() {
	local status=0
	rm -f "$2"
	$fa enable "$1" --starts 1000 >/dev/null
	$fa start spec -o "$2" --min-free 0 >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"${@:3}" || status=$?
	rm -f /etc/ld.so.preload
	$fa stop spec >/dev/null
	$fa disable "$1" >/dev/null
	return $status
}
