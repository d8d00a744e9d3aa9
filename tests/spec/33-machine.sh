#!/bin/bash
# 33 - from boot, a whole machine: Debian's own kernel, initramfs and systemd, emulated. Nothing is there before PID 1
# but what the initramfs has made; the root is read-only until the boot has looked at it. Claims:
#   33.1  the image and its initramfs are made by Debian's own tools; the earliest stage is chosen by itself
#   33.2  it boots and switches itself off; firstallocd came with the initramfs, and is the unit's main process
#   33.3  every start of the flagged services is in the trace, read outside, with the programs' own counts; a child
#         of a generator, too, which no unit can see
#   33.4  PID 1 itself, which was flagged explicitly
#   33.5  the session ended before its file system did; Status says how it started
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/guest.sh"

if why=$(guest_lacks) || why=$(vm_lacks); then
	skip 33.1 "a boot of a whole machine" "$why"
	results
	exit
fi
G=$T/guest

image() {
	vm_guest "$G"
	# Generators run before there is any unit.
	guest_program "$G" service by-generator
	printf '#!/bin/sh\n/usr/bin/by-generator /run/by-generator 300\n' >"$G/usr/lib/systemd/system-generators/ours"
	chmod 755 "$G/usr/lib/systemd/system-generators/ours"
	echo 'cp /run/by-generator /results; dmesg | grep firstalloc >/results/log' >>"$G/usr/lib/at-the-end"
	"$FA" --root "$G" enable by-generator
	"$FA" --root "$G" enable systemd --pid1
	vm_initramfs "$G"
	"$FA" --root "$G" autologger enable boot >"$T/o"
	cat "$T/o"
	grep -q '^stage initramfs: from the first process on' "$T/o"
	vm_image "$G" "$T/disk"
}
it 33.1 "an image of Debian with all of it, and an initramfs that starts firstallocd" image
VM_INITRD=$(ls "$G"/boot/initrd.img-*)

boots() {
	vm_boot "$T/disk" || { tail -n 30 "$T/console"; return 1; }
	vm_results "$T/disk" "$T/out"
	same "$(json "$T/out/results/status.json" "j['daemon']['how']")" "since the initramfs"
	same "$(sort "$T/out/results/group")" "ControlGroup=/system.slice/firstallocd.service
MainPID=$(json "$T/out/results/status.json" "j['daemon']['keeper']")"
	grep -q '^ActiveState=active$' "$T/out/results/unit"
	same "$(cat "$T/out/results/failed")" ""
}
it 33.2 "it boots; firstallocd runs since the initramfs, as its unit's main process; it switches itself off" boots

counts() {
	guest_counts "$T/out/firstalloc/boot.falloc" >"$T/counts"
	{ guest_own "$T/out/results"; sed 's/^/by-generator /' "$T/out/results/by-generator"; } | sort >"$T/own"
	cat "$T/out/results/log"
	same "$(grep -v '^systemd ' "$T/counts")" "$(cat "$T/own")"
	same "$(grep -c . "$T/own")" 10
	same "$(json "$T/r.json" "sum(p['lost'] for p in j['processes'] if p['image'] != 'systemd')")" 0
}
it 33.3 "ten starts of five programs: ten in the trace, each with its own counts, none lost" counts

first_process() {
	json "$T/r.json" "[p for p in j['processes'] if p['pid'] == 1]"
	same "$(json "$T/r.json" "[p['image'] for p in j['processes'] if p['pid'] == 1]")" "['systemd']"
	[ "$(json "$T/r.json" "[p['events_by_kind']['alloc'] for p in j['processes'] if p['pid'] == 1][0]")" -gt 10000 ]
}
it 33.4 "PID 1 is in the trace" first_process

ended() {
	"$FA" dump --no-events "$T/out/firstalloc/boot.falloc" | tail -n 1 | tee "$T/end"
	grep -q 'end .*reason=stopped' "$T/end"
	grep -q '^Text = started$' "$T/out/autologger/boot.status"
	grep -q '^Status = 0$' "$T/out/autologger/boot.status"
}
it 33.5 "shutdown ended the session before its file system; Status 0" ended
results
