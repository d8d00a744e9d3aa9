#!/bin/bash
# 33 - from boot, a whole machine: Debian's own kernel and systemd, emulated, with nothing there before PID 1: no /proc,
# no /run, the root read-only until the boot has looked at it. Claims:
#   33.1  the image is made
#   33.2  it boots and switches itself off, with the unit ready and no unit failed
#   33.3  every start of the flagged services is in the trace, read outside, with the programs' own counts: the trace
#         began in memory, because nothing could be written yet
#   33.4  the session ended before its file system did; Status says how it started
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/guest.sh"

if why=$(guest_lacks) || why=$(vm_lacks); then
	skip 33.1 "a boot of a whole machine" "$why"
	results
	exit
fi
G=$T/guest

image() {
	guest_make "$G"
	guest_services "$G"
	guest_flag "$G" enable
	mkdir -p "$G/etc/firstalloc/firstalloc.ini.d"
	printf '[Daemon]\nMinFree = 10\n' >"$G/etc/firstalloc/firstalloc.ini.d/small-disk.ini"
	"$FA" --root "$G" autologger enable boot
	echo 'systemctl list-units --failed --plain --no-legend >/results/failed
	systemctl show -p ActiveEnterTimestampMonotonic systemd-remount-fs.service >/results/remount
	systemctl show -p ActiveEnterTimestampMonotonic firstallocd.service >/results/ready' >>"$G/usr/lib/at-the-end"
	vm_image "$G" "$T/disk"
}
it 33.1 "an image of Debian with all of it" image

boots() {
	vm_boot "$T/disk" || { tail -n 30 "$T/console"; return 1; }
	vm_files "$T/disk" /results "$T/out"
	vm_files "$T/disk" /var/log/firstalloc "$T/out"
	vm_files "$T/disk" /var/lib/firstalloc/autologger "$T/out"
	grep -q '^ActiveState=active$' "$T/out/results/unit"
	same "$(cat "$T/out/results/failed")" ""
	# The unit is ready before the root may be written to.
	[ "$(cut -d = -f 2 "$T/out/results/ready")" -lt "$(cut -d = -f 2 "$T/out/results/remount")" ]
}
it 33.2 "it boots, the unit is ready before the root is writable, nothing failed, it switches itself off" boots

counts() {
	same "$(guest_counts "$T/out/firstalloc/boot.falloc")" "$(guest_own "$T/out/results")"
	same "$(json "$T/r.json" "len(j['processes']), sum(p['lost'] for p in j['processes'])")" "(9, 0)"
}
it 33.3 "nine starts of four services: nine in the trace, each with its own counts, none lost" counts

ended() {
	"$FA" dump "$T/out/firstalloc/boot.falloc" | tail -n 1 | tee "$T/end"
	grep -q 'end .*reason=stopped' "$T/end"
	grep -q '^Text = started$' "$T/out/autologger/boot.status"
	grep -q '^Status = 0$' "$T/out/autologger/boot.status"
}
it 33.4 "shutdown ended the session before its file system; Status 0" ended
results
