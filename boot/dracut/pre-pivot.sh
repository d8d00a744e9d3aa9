#!/bin/sh
# Sourced by dracut, so it works in a shell of its own. dracut moves /dev with the switch only: until then firstallocd
# gets it by a bind, like the others.
(
	# Under a systemd of the initramfs: out of this hook's unit, which ends with the switch, and all that it has.
	echo 0 2>/dev/null >/sys/fs/cgroup/init.scope/cgroup.procs
	mount -n -o bind /dev "${NEWROOT:?}/dev" || exit 0
	rootmnt=$NEWROOT /bin/sh /usr/lib/firstalloc/start-early
	umount -l "$NEWROOT/dev"
) 2>/dev/null || :
