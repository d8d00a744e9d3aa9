# guest.sh - a Debian of its own to boot: in a container (half a second), or in an emulated machine with Debian's own
# kernel (20 s). Source it after lib.sh. What is downloaded is made once and kept in the build folder.
#   guest_lacks              prints why there can be none here, and fails where there can
#   guest_make DIR           a system below DIR with all of `make install` and `firstalloc install`
#   guest_service DIR NAME LINES   a unit NAME.service, enabled; LINES follow its [Unit]
#   guest_program DIR PROGRAM NAME...   one of tests/programs under the names by which it is to be flagged
#   guest_services DIR       four services that note what they have allocated: one early, before there are tmpfiles; one of
#                            its own user; one that stays until the shutdown; one late, which powers the machine off
#   guest_flag DIR enable    (or disable) them
#   guest_own RESULTS        "IMAGE PID ALLOCATIONS FREES" of each start, as the programs have it; RESULTS: DIR/results
#   guest_counts TRACE       the same, as a trace has it (and the whole report in $T/r.json)
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

guest_services() {
	install -d -m 1777 "$1/results"
	guest_program "$1" service early-service usual-service late-service stays
	guest_service "$1" early 'DefaultDependencies=no
Before=sysinit.target systemd-tmpfiles-setup.service
[Service]
Type=oneshot
ExecStart=/usr/bin/early-service /run/early 100
ExecStart=/usr/bin/early-service /run/early 200'
	guest_service "$1" usual '[Service]
Type=oneshot
User=games
ExecStart=/bin/sh -c "for i in 1 2 3 4 5; do /usr/bin/usual-service /results/usual 1001; done"'
	guest_service "$1" stays '[Service]
ExecStart=/usr/bin/stays /results/stays 10 stay'
	guest_service "$1" late 'After=multi-user.target early.service usual.service stays.service
[Service]
Type=oneshot
ExecStart=/usr/bin/late-service /results/late 5000
ExecStart=-/bin/sh /usr/lib/at-the-end
ExecStart=/bin/systemctl --no-block poweroff'
	cat >"$1/usr/lib/at-the-end" <<-'U'
		cp /run/early /results/early
		command -v firstalloc >/dev/null || exit 0
		firstalloc status --json >/results/status.json
		systemctl show -p Type,ActiveState,StandardOutput firstallocd.service >/results/unit
		systemd-analyze verify --man=no firstallocd.service late.service 2>/results/order
	U
}

guest_flag() {
	local image
	for image in early-service usual-service late-service stays; do
		"$FA" --root "$1" "$2" $image >/dev/null || return
	done
}

guest_counts() {
	"$FA" report --json "$1" >"$T/r.json" || return
	json "$T/r.json" "'\n'.join(sorted('%s %d %d %d' % (p['image'], p['pid'], p['events_by_kind']['alloc'], p['events_by_kind']['free']) for p in j['processes']))"
}

guest_own() {
	local f
	for f in early:early-service usual:usual-service late:late-service stays:stays; do
		sed "s/^/${f#*:} /" "$1/${f%:*}" || return
	done | sort
}

container_boot() {
	timeout -k 5 "${CONTAINER_LIMIT:-60}" systemd-nspawn -q -D "$1" -b --register=no --keep-unit --private-network --console=pipe \
		--system-call-filter="fanotify_init fanotify_mark" --capability=all \
		</dev/null >"$T/console" 2>&1 || { tail -n 20 "$T/console"; return 1; }
}

# An emulated machine: Debian's kernel for clouds has NVMe, ext4 and the serial console built in, so that the root
# disk alone is enough, without an initramfs and without modules.
KERNEL=linux-image-cloud-amd64
vm_lacks() {
	local tool
	for tool in qemu-system-x86_64 mke2fs debugfs e2fsck; do
		command -v $tool >/dev/null || { echo "needs $tool"; return; }
	done
	vm_fetch_kernel || { echo "no kernel could be fetched: $(tail -n 1 "$GUEST/kernel.log")"; return; }
	return 1
}

vm_fetch_kernel() {
	local package
	[ -e "$GUEST/kernel-1/vmlinuz" ] && return
	package=$(apt-cache depends $KERNEL 2>/dev/null | awk '/Depends: linux-image/ {print $2; exit}')
	[ -n "$package" ] || { echo "apt does not know $KERNEL" >"$GUEST/kernel.log"; return 1; }
	rm -rf "$GUEST/kernel.new"
	mkdir -p "$GUEST/kernel.new"
	(cd "$GUEST/kernel.new" && apt-get -q download "$package" && dpkg-deb -x ./*.deb . && rm ./*.deb &&
		mv boot/vmlinuz-* vmlinuz && rm -rf usr lib/modules/*/kernel) >"$GUEST/kernel.log" 2>&1 || return
	rm -rf "$GUEST/kernel-1"
	mv "$GUEST/kernel.new" "$GUEST/kernel-1"
}

# vm_guest DIR: all of it with flagged services and an autologger, for a disk that is smaller than what sessions leave free
vm_guest() {
	guest_make "$1"
	guest_services "$1"
	guest_flag "$1" enable
	mkdir -p "$1/etc/firstalloc/firstalloc.ini.d"
	printf '[Daemon]\nMinFree = 10\n' >"$1/etc/firstalloc/firstalloc.ini.d/small-disk.ini"
	echo 'systemctl list-units --failed --plain --no-legend >/results/failed
	systemctl show -p ActiveEnterTimestampMonotonic --value systemd-remount-fs.service >/results/remount
	systemctl show -p ActiveEnterTimestampMonotonic --value firstallocd.service >/results/ready
	systemctl show -p ControlGroup,MainPID firstallocd.service >/results/group' >>"$1/usr/lib/at-the-end"
}

vm_image() { # DIR IMAGE
	echo "/dev/nvme0n1 / ext4 errors=remount-ro 0 1" >"$1/etc/fstab"
	rm -f "$2"
	truncate -s 640M "$2"
	mke2fs -q -t ext4 -E lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 -m 0 -d "$1" "$2"
}

# Emulation is slow: what has nothing to do with us does not run. On a busy machine the kernel would find that the
# emulated TSC is late, and change its clock in the middle of a trace.
VM_QUIET="quiet loglevel=3 mitigations=off tsc=reliable systemd.show_status=0"
for unit in systemd-udev-trigger.service systemd-logind.service getty.target systemd-update-utmp.service \
	systemd-update-utmp-runlevel.service systemd-journal-flush.service systemd-random-seed.service hwclock.service \
	timers.target; do
	VM_QUIET="$VM_QUIET systemd.mask=$unit"
done

vm_boot() { # IMAGE [words for the kernel]; VM_INITRD. The root is read-only at first, as Debian has it.
	local image=$1
	shift
	timeout -k 5 "${VM_LIMIT:-300}" qemu-system-x86_64 -M q35 -accel tcg -cpu max -m 512 -smp 1 -nodefaults \
		-no-user-config -display none -no-reboot -serial stdio \
		-drive file="$image",if=none,id=d0,format=raw,cache=unsafe -device nvme,drive=d0,serial=d0 \
		-kernel "$GUEST/kernel-1/vmlinuz" ${VM_INITRD:+-initrd "$VM_INITRD"} \
		-append "console=ttyS0 root=/dev/nvme0n1 ro panic=-1 $VM_QUIET $*" </dev/null >"$T/console" 2>&1
}

# vm_results IMAGE DIR: what spec and firstalloc have left there: results, log, status
vm_results() {
	vm_files "$1" /results "$2"
	vm_files "$1" /var/log/firstalloc "$2"
	vm_files "$1" /var/lib/firstalloc/autologger "$2"
}

# vm_files IMAGE FOLDER DIR: what lies in a folder of it now, into DIR
vm_files() {
	e2fsck -fp "$1" >"$T/fsck" 2>&1 || [ $? = 1 ] || { cat "$T/fsck"; return 1; }
	mkdir -p "$3"
	debugfs -R "rdump $2 $3" "$1" >"$T/debugfs" 2>&1
}

# vm_initramfs DIR: Debian's own, made by its own tools in DIR, with what `make install` has put there
vm_initramfs() {
	local version
	version=$(ls "$GUEST/kernel-1/lib/modules")
	cp -a "$GUEST/kernel-1/lib/modules" "$1/usr/lib/"
	cp "$GUEST"/kernel-1/boot/config-* "$1/boot/"
	sed -i 's/^MODULES=.*/MODULES=list/' "$1/etc/initramfs-tools/initramfs.conf"
	unshare -m --propagation private sh -c 'mount -t proc proc "$0/proc" && chroot "$0" mkinitramfs -o "/boot/initrd.img-$1" "$1"' \
		"$1" "$version"
	VM_INITRD=$1/boot/initrd.img-$version
}
