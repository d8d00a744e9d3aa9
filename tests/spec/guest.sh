# guest.sh - a Debian of its own to boot: in a container (half a second), or in an emulated machine with Debian's own
# kernel (20 s). Source it after lib.sh. What is downloaded is made once and kept in the build folder.
#   guest_lacks [vm]         prints why there can be none here, and fails where there can
#   guest_make DIR           a system below DIR with all of `make install` and `firstalloc install`
#   guest_service DIR NAME LINES   a unit NAME.service, enabled; LINES follow its [Unit]
#   guest_program DIR PROGRAM NAME...   one of tests/programs under the names by which it is to be flagged
#   container_boot DIR       boots it, until it powers itself off; console in $T/console
GUEST=$B/guest
GUEST_TAR=$GUEST/debian-1.tar

guest_fetch_base() {
	[ -e "$GUEST_TAR" ] && return
	mkdir -p "$GUEST"
	mmdebstrap --variant=essential --format=tar \
		--include=systemd-sysv,dbus,udev,initramfs-tools,zstd,libsqlite3-0,libinih1,libdw1,liblz4-1,libzstd1 \
		--aptopt='Acquire::Languages none' --dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		bookworm "$GUEST_TAR.new" \
		$(ls /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1) \
		>"$GUEST/log" 2>&1 && mv "$GUEST_TAR.new" "$GUEST_TAR"
}

guest_lacks() {
	local tool f
	[ "$(id -u)" = 0 ] || { echo "needs root"; return; }
	for tool in mmdebstrap systemd-nspawn; do
		command -v $tool >/dev/null || { echo "needs $tool"; return; }
	done
	for f in "$B/firstallocd" "$B/libfirstalloc_preload.so" "$P/service"; do
		[ -e "$f" ] || { echo "$f is not built"; return; }
	done
	guest_fetch_base || { echo "mmdebstrap failed: $(tail -n 1 "$GUEST/log")"; return; }
	return 1
}

guest_make() {
	mkdir -p "$1"
	tar xf "$GUEST_TAR" -C "$1"
	make -s -C "$SRC" B="$B" DESTDIR="$1" install
	"$FA" --root "$1" install --library "$B/libfirstalloc_preload.so"
	systemd-sysusers --root="$1" "$SRC/boot/firstalloc-sysusers.conf"
	# No first boot, and nothing to bring up to date: only what a boot does each time.
	echo 0123456789abcdef0123456789abcdef >"$1/etc/machine-id"
	touch "$1/etc/.updated" "$1/var/.updated"
}

guest_program() {
	local dir=$1 program=$2 name
	shift 2
	for name; do
		install -m 755 "$P/$program" "$dir/usr/bin/$name"
	done
}

guest_service() {
	local wants=multi-user.target
	[[ $3 != *"Before=sysinit.target"* ]] || wants=sysinit.target
	printf '[Unit]\n%s\n' "$3" >"$1/etc/systemd/system/$2.service"
	mkdir -p "$1/etc/systemd/system/$wants.wants"
	ln -sf "../$2.service" "$1/etc/systemd/system/$wants.wants/$2.service"
}

container_boot() {
	timeout 60 systemd-nspawn -q -D "$1" -b --register=no --keep-unit --private-network --console=pipe \
		--system-call-filter="fanotify_init fanotify_mark" --capability=all \
		</dev/null >"$T/console" 2>&1 || { tail -n 20 "$T/console"; return 1; }
}
