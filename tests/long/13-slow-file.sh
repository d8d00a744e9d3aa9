#!/bin/bash
# 13 - a trace on a file system that answers each request of firstallocd 1.3 s late: longer than the keeper bears silence,
# so each thing that is asked of the file must count as waiting for a disk. Needs root and /dev/fuse.
. "$(dirname "$0")/../spec/machine.sh"
. "$(dirname "$0")/../spec/lib.sh"
private_machine 13 "a slow file system"
slow_leave() { umount -l "$T/slow" 2>/dev/null; leave_machine; }
trap slow_leave EXIT

restarts() { $fa status --json >"$T/status.json" && json "$T/status.json" "j['daemon']['restarts']"; }

slow_file() {
	mkdir "$T/slow"
	"$P/fuse_server" "$T/slow" "$T/backing" 0 0 firstallocd 1300 >"$T/calls" & server=$!
	wait_for 10 mountpoint -q "$T/slow"
	$fa enable threads --starts 10 >/dev/null
	timeout 100 $fa start s -o "$T/slow/trace" --min-free 0
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$P/threads" 1 100
	rm -f /etc/ld.so.preload
	same "$(restarts)" 0
	timeout 100 $fa stop s
	umount "$T/slow"
	wait $server
	"$FA" report --json "$T/backing" >"$T/r.json"
	same "$(json "$T/r.json" "(j['session']['ended'], j['lost'], j['events']['alloc'] > 100)")" "(True, 0, True)"
}
if [ -c /dev/fuse ]; then
	it 13.1 "firstallocd waits for the file, and nobody is taken for silent; the trace is whole" slow_file
else
	skip 13.1 "a trace on a slow file system" "no /dev/fuse here"
fi
results
