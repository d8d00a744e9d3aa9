# machine.sh - for specs that need the real thing: a private mount namespace in which the shim is in
# /etc/ld.so.preload and a firstallocd of its own runs. Source it before lib.sh; needs root. The
# machine's own files are not touched, and what runs outside does not see any of it.
#   private_machine     after lib.sh: sets up; $R is the --root, $fa the command
#   by_name IMAGE TRACE command...   enable, start a session, run the command, stop, disable
if [ "$(id -u)" = 0 ] && [ -z "${FA_PRIVATE:-}" ]; then
	export FA_PRIVATE=1
	exec unshare -m --propagation private bash "$0" "$@"
fi

private_machine() {
	mkdir "$T/m"
	mount -t tmpfs -o mode=755 tmpfs "$T/m"
	chmod 755 "$T"
	mkdir "$T/m/u" "$T/m/w" "$T/m/root"
	cp "$B/libfirstalloc_preload.so" "$T/m/"
	R=$T/m/root
	mkdir -p "$R/etc/firstalloc/door" "$T/m/u/firstalloc"
	: >"$R/etc/firstalloc/door/bell"
	mount -t overlay -o lowerdir=/etc,upperdir="$T/m/u",workdir="$T/m/w" overlay /etc
	mount --bind "$R/etc/firstalloc" /etc/firstalloc
	fa="$FA --root $R"
	trap leave_machine EXIT
}

leave_machine() {
	rm -f /etc/ld.so.preload
	kill "$(cat "$R/run/firstalloc/firstallocd.pid" 2>/dev/null)" 2>/dev/null
	umount -l /etc/firstalloc /etc 2>/dev/null
	umount -l "$T/m"
	rm -rf "$T"
}

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
