#!/bin/bash
# 11 - from boot, what takes longer: the service stage on a whole machine, a power cut, and the kernel's word. Claims:
#   11.1  the image is made, without an initramfs; the service stage is chosen
#   11.2  service stage: the unit is ready before the root is writable; every start of the flagged services is in the
#         trace with the programs' own counts; nothing failed
#   11.3  a machine that is switched off in the middle: its trace is read up to some seconds before
#   11.4  with firstalloc=off on the kernel's command line, and an initramfs, nothing is traced; the machine boots
spec=$(cd "$(dirname "$0")/../spec" && pwd)
. "$spec/lib.sh"
. "$spec/guest.sh"

if why=$(guest_lacks) || why=$(vm_lacks); then
	skip 11.1 "boots of a whole machine" "$why"
	results
	exit
fi
G=$T/guest

image() {
	vm_guest "$G"
	echo 'echo lasts-until $(cut -d " " -f 1 /proc/uptime) >/dev/ttyS0' >"$G/usr/lib/say-uptime"
	"$FA" --root "$G" autologger enable boot >"$T/o"
	grep -q '^stage service: all services are seen' "$T/o"
	vm_image "$G" "$T/disk"
}
it 11.1 "an image of Debian with all of it, without an initramfs: the service stage is chosen" image

service_stage() {
	cp --sparse=always "$T/disk" "$T/disk.1"
	vm_boot "$T/disk.1" || { tail -n 30 "$T/console"; return 1; }
	vm_results "$T/disk.1" "$T/service"
	same "$(cat "$T/service/results/failed")" ""
	[ "$(cat "$T/service/results/ready")" -lt "$(cat "$T/service/results/remount")" ]
	same "$(guest_counts "$T/service/firstalloc/boot.falloc")" "$(guest_own "$T/service/results")"
	same "$(json "$T/r.json" "len(j['processes']), sum(p['lost'] for p in j['processes'])")" "(9, 0)"
	"$FA" dump "$T/service/firstalloc/boot.falloc" | tail -n 1 | grep -q 'reason=stopped'
}
it 11.2 "service stage: ready before the root is writable; nine starts of four services, all counts, none lost" service_stage

# Instead of switching itself off the machine says each half second how long it runs. The emulator is killed once
# it has said so for long enough that much has been written.
power_cut() {
	local boot said last
	cp --sparse=always "$T/disk" "$T/disk.2"
	printf 'while :; do . /usr/lib/say-uptime; sleep 0.5; done\n' >"$T/forever"
	debugfs -w -R "rm /usr/lib/at-the-end" "$T/disk.2" 2>/dev/null
	debugfs -w -R "write $T/forever /usr/lib/at-the-end" "$T/disk.2" 2>/dev/null
	vm_boot "$T/disk.2" &
	boot=$!
	wait_for 250 eval '[ "$(grep -c lasts-until "$T/console")" -gt 40 ]'
	kill -9 "$(pgrep -P "$(pgrep -P $boot timeout || echo $boot)" qemu || pgrep -f "file=$T/disk.2" | head -n 1)"
	wait $boot || true
	said=$(grep -o 'lasts-until [0-9.]*' "$T/console" | tail -n 1 | cut -d ' ' -f 2)
	vm_results "$T/disk.2" "$T/cut"
	"$FA" dump "$T/cut/firstalloc/boot.falloc" >"$T/dump" 2>"$T/warning" || true
	cat "$T/warning"
	grep -q 'was not ended properly' "$T/warning"
	last=$(grep -o 'mono_ns=[0-9]*' "$T/dump" | tail -n 1 | cut -d = -f 2)
	echo "the machine ran for $said s, the last clock in its trace is of $last ns"
	echo "# power cut at $said s, trace until $((last / 1000000)) ms" >&3
	[ "${last%?????????}" -ge $((${said%.*} - 10)) ]
	guest_counts "$T/cut/firstalloc/boot.falloc" >"$T/counts" || true
	grep -q '^late-service [0-9]* 5000 2500$' "$T/counts"
}
exec 3>&1
it 11.3 "a power cut: the trace has all services, and is read until some seconds before" power_cut

switched_off() {
	vm_initramfs "$G"
	"$FA" --root "$G" autologger enable boot | grep -q '^stage initramfs'
	vm_image "$G" "$T/disk.3"
	vm_boot "$T/disk.3" firstalloc=off || { tail -n 30 "$T/console"; return 1; }
	vm_results "$T/disk.3" "$T/off"
	same "$(cat "$T/off/results/failed")" ""
	same "$(json "$T/off/results/status.json" "j['off'], j['daemon']['how'], len(j['processes'])")" "(['kernel'], 'as a systemd unit', 0)"
	same "$(guest_own "$T/off/results" | wc -l)" 9
	same "$(guest_counts "$T/off/firstalloc/boot.falloc")" ""
}
it 11.4 "firstalloc=off: nothing in the initramfs, nothing traced, the machine boots" switched_off
results
