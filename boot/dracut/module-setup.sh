#!/bin/bash
# The earliest stage of capture from boot, for initramfs images that dracut makes: the lines that start firstallocd are
# those that initramfs-tools gets.
check() {
	[ -x "${dracutsysrootdir-}/usr/sbin/firstallocd" ] || return 1
	return 0
}

depends() {
	return 0
}

install() {
	inst_simple /usr/share/initramfs-tools/scripts/init-bottom/firstalloc /usr/lib/firstalloc/start-early
	inst_multiple cat chroot mount umount
	# Behind all that others do to the root: it is as the first program will find it.
	inst_hook pre-pivot 99 "${moddir:?}/pre-pivot.sh"
}
