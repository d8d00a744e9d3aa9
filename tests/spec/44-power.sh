#!/bin/bash
# 44 - what a power cut leaves of an autologger's trace: the disk as it is at some moment, while all goes on. The file
# system writes its journal by itself every ten minutes only, so that what is there was brought there. Claims:
#   44.40  the trace has events soon after they happened, and then later ones
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 44.40 "a disk at the moment of a power cut"

for tool in mke2fs e2fsck debugfs; do
	command -v $tool >/dev/null || { skip 44.40 "a disk at the moment of a power cut" "needs $tool"; results; exit; }
done
LOG=$R/var/log/firstalloc
mkdir -p "$LOG"
truncate -s 32M "$T/m/disk"
mke2fs -q -t ext4 "$T/m/disk"
if ! mount -o loop,commit=600 "$T/m/disk" "$LOG" 2>"$T/why"; then
	skip 44.40 "a disk at the moment of a power cut" "no loop device: $(head -n 1 "$T/why")"
	results
	exit
fi

# How many allocations the trace has on the disk, were it cut off now.
on_disk() {
	rm -f "$T/m/cut" "$T/cut.falloc"
	cp --sparse=always "$T/m/disk" "$T/m/cut"
	e2fsck -fp "$T/m/cut" >/dev/null 2>&1
	debugfs -R "dump /cut.falloc $T/cut.falloc" "$T/m/cut" >/dev/null 2>&1
	"$FA" report --json "$T/cut.falloc" >"$T/r.json" 2>/dev/null && json "$T/r.json" "j['events']['alloc']"
}
has_more_than() { [ "$(on_disk)" -gt "$1" ]; }

power_cut() {
	local pid first
	printf '[Daemon]\nMinFree = 1\n[Autologger cut]\nStart = 1\n' >"$R/etc/firstalloc/firstalloc.ini"
	$fa enable service >/dev/null
	"$B/firstallocd" --root "$R"
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$P/service" "$T/own" 10 stay &
	pid=$!
	wait_for 20 traced_now $pid
	rm /etc/ld.so.preload
	wait_for 20 has_more_than 0
	first=$(on_disk)
	wait_for 20 has_more_than "$first"
	kill $pid
	wait $pid
	$fa stop cut >/dev/null
	same "$("$FA" report --json "$LOG/cut.falloc" >"$T/r.json"; json "$T/r.json" "j['events']['alloc']")" "$(cut -d ' ' -f 2 "$T/own")"
}
it 44.40 "the disk has what was recorded, within a moment, and again" power_cut
kill "$(cat "$R/run/firstalloc/firstallocd.pid")" && wait_for 20 eval '! test -e "$R/run/firstalloc/firstallocd.pid"'
umount "$LOG"
results
