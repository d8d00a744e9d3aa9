#!/bin/bash
# 44 - the module for dracut, without a boot. Claims:
#   44.50  its functions: taken where firstallocd is, with the hook, the script that initramfs-tools has, and programs
#   44.51  the hook starts firstallocd in the new root, with /dev, /proc, /sys and /run there, and leaves nothing behind;
#          not where the stage is another, nor where there is no firstallocd
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
D=$SRC/boot/dracut

functions() {
	mkdir -p "$T/root/usr/sbin"
	dracutsysrootdir=$T/root
	moddir=$D
	inst_simple() { [ $# = 2 ] && echo "simple $1 $2"; }
	inst_multiple() { for p; do command -v "$p" >/dev/null || return; done; echo "multiple $*"; }
	inst_hook() { [ -f "$3" ] && echo "hook $1 ${3##*/}"; }
	. "$D/module-setup.sh"
	! check || return 1
	: >"$T/root/usr/sbin/firstallocd"
	chmod 755 "$T/root/usr/sbin/firstallocd"
	check
	depends
	same "$(install)" "simple /usr/share/initramfs-tools/scripts/init-bottom/firstalloc /usr/lib/firstalloc/start-early
multiple cat chroot mount umount
hook pre-pivot pre-pivot.sh"
	sh -n "$D/pre-pivot.sh"
}
it 44.50 "dracut takes the module where firstallocd is, and gets the hook and what it needs" functions

if [ -z "${FA_PRIVATE:-}" ]; then
	skip 44.51 "the hook starts firstallocd in the new root" "needs root, and a mount namespace"
	results
	exit
fi

# The machine's own programs, in a root of their own.
new_root() {
	N=$T/new
	mkdir "$N"
	mount -t tmpfs tmpfs "$N"
	mkdir -p "$N"/{usr,u,w,etc/firstalloc,dev,proc,sys,run}
	mount -t overlay -o lowerdir=/usr,upperdir="$N/u",workdir="$N/w" overlay "$N/usr"
	for d in bin sbin lib lib64; do
		[ ! -L /$d ] || cp -a /$d "$N/$d"
		[ -L /$d ] || [ ! -d /$d ] || { mkdir "$N/$d" && mount --bind /$d "$N/$d"; }
	done
	mount -t tmpfs tmpfs /sys/fs/cgroup
	mkdir /sys/fs/cgroup/init.scope
}
hook() {
	rm -f "$N/seen"
	sed "s|/usr/lib/firstalloc/start-early|$SRC/boot/initramfs-tools/init-bottom|" "$D/pre-pivot.sh" >"$T/pre-pivot.sh"
	NEWROOT=$N sh -e -c ". $T/pre-pivot.sh; echo on" >"$T/o"
	same "$(cat "$T/o")" on
	same "$(grep -cE " $N/(dev|proc|sys|run)" /proc/self/mountinfo || true)" 0
}
starts() {
	new_root
	hook
	[ ! -e "$N/seen" ]
	: >"$N/etc/firstalloc/early"
	hook
	[ ! -e "$N/seen" ]
	cat >"$N/usr/sbin/firstallocd" <<-'U'
		#!/bin/sh
		[ -c /dev/null ] && [ -e /proc/self/stat ] && [ -d /sys/fs ] && [ -d /run ] && echo "all there: $*" >/seen
	U
	chmod 755 "$N/usr/sbin/firstallocd"
	hook
	same "$(cat "$N/seen")" "all there: --early"
	same "$(cat /sys/fs/cgroup/init.scope/cgroup.procs)" 0
	rm "$N/etc/firstalloc/early"
	hook
	[ ! -e "$N/seen" ]
}
it 44.51 "the hook starts firstallocd in the new root where that stage is chosen, and leaves no mount behind" starts
umount -l "$T/new" /sys/fs/cgroup 2>/dev/null
results
