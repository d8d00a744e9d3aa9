#!/bin/bash
# 32 - from boot, in a container: a real systemd as PID 1, Debian's own units, and flagged services at three moments of
# the boot. Claims:
#   32.1       the guest is made by `make install` and `firstalloc install`
#   32.2-32.4  every start is traced, to the counts that the programs themselves have written down; with symbols
#   32.5-32.6  shutdown ends the session before its file system goes, also while a service still allocates
#   32.7       FileMax: each boot has a file of its own, and behind the last one comes the first
#   32.8       a broken section is told with file, line and key; the other session runs
#   32.9       a trace whose folder is mounted only later begins in memory and goes on in its file, also when the
#              collector is killed before and after
#   32.10      with a damaged index or configuration, a library that is gone, a firstallocd that cannot start, a full
#              disk, a /var that is full or read-only, and the kill switch, the machine boots, and its services do what they do
#   32.11      after disable nothing is traced; after uninstall nothing is left
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/guest.sh"

if why=$(guest_lacks); then
	skip 32.1 "boots in a container" "$why"
	results
	exit
fi
G=$T/guest
RES=$G/results
gfa="$FA --root $G"
LOG=$G/var/log/firstalloc

guest() {
	guest_make "$G"
	guest_services "$G"
	mkdir -p "$LOG" "$G/etc/firstalloc/firstalloc.ini.d"
	[ "$(wc -l <"$G/etc/ld.so.preload")" = 1 ]
}
it 32.1 "the guest has the programs, the library and its line" guest

boot() {
	rm -f "$RES"/*
	container_boot "$G"
	[ -s "$RES/status.json" ]
}

first_boot() {
	guest_flag "$G" enable
	printf '[Autologger boot]\nFileMax = 2\n' >"$G/etc/firstalloc/firstalloc.ini.d/boot.ini"
	$gfa autologger enable boot >/dev/null
	boot
	cat "$RES/unit"
	grep -q '^Type=notify$' "$RES/unit"
	grep -q '^ActiveState=active$' "$RES/unit"
	grep -q '^StandardOutput=null$' "$RES/unit"
	same "$(cat "$RES/order")" "" # nothing to say about the order that we ask for
	same "$(ls "$LOG"/*.falloc*)" "$LOG/boot.falloc.0001"
}
it 32.2 "at boot the unit is ready before the first flagged service starts" first_boot

all_starts() {
	same "$(wc -l <"$RES/early") $(wc -l <"$RES/usual") $(wc -l <"$RES/late") $(wc -l <"$RES/stays")" "2 5 1 1"
	same "$(guest_counts "$LOG/boot.falloc.0001")" "$(guest_own "$RES")"
	same "$(json "$T/r.json" "sum(p['lost'] for p in j['processes'])")" 0
}
it 32.3 "nine starts of four services: nine in the trace, each with its own counts, none lost" all_starts

symbols() {
	# Where the programs are that were traced: in the guest that is switched off.
	chroot "$G" /usr/bin/firstalloc report /var/log/firstalloc/boot.falloc.0001 --view outstanding --by function >"$T/report"
	cat "$T/report"
	grep -q 'keep_one.*service.c' "$T/report"
}
it 32.4 "the report names the programs' functions and lines" symbols

ended() {
	"$FA" dump --no-events "$LOG/boot.falloc.0001" | tail -n 1 | tee "$T/end"
	grep -q 'end .*reason=stopped' "$T/end"
	grep -q '^Status = 0$' "$G/var/lib/firstalloc/autologger/boot.status"
}
it 32.5 "shutdown ends the session properly, and its file is whole" ended

stays_ended() {
	same "$(guest_counts "$LOG/boot.falloc.0001" | grep ^stays)" "$(guest_own "$RES" | grep ^stays)"
	[ "$(guest_own "$RES" | awk '/^stays/ {print $3}')" -gt 10 ]
}
it 32.6 "a service that allocates until it is told to end is in the trace to its last event" stays_ended

rotation() {
	sum=$(sha256sum <"$LOG/boot.falloc.0001")
	boot
	same "$(cd "$LOG"; echo *.falloc*)" "boot.falloc.0001 boot.falloc.0002"
	same "$(sha256sum <"$LOG/boot.falloc.0001")" "$sum"
	same "$(guest_counts "$LOG/boot.falloc.0002")" "$(guest_own "$RES")"
	$gfa autologger show boot | grep -q '^FileCounter = 2 '
	same "$($gfa --json autologger show boot | "$PYTHON" -c 'import json,sys; print(json.load(sys.stdin)["FileCounter"])')" 2
	boot
	same "$(cd "$LOG"; echo *.falloc*)" "boot.falloc.0001 boot.falloc.0002"
	same "$(guest_counts "$LOG/boot.falloc.0001")" "$(guest_own "$RES")"
}
it 32.7 "FileMax = 2: the second boot writes .0002 and leaves .0001 alone, the third writes .0001" rotation

broken() {
	printf '[Autologger bad]\nStart = 1\nFileMax = 17\n' >"$G/etc/firstalloc/firstalloc.ini.d/bad.ini"
	boot
	same "$(guest_counts "$LOG/boot.falloc.0002")" "$(guest_own "$RES")"
	$gfa autologger show bad >"$T/o"
	cat "$T/o"
	grep -q '^Status = 22 .*bad.ini:3: \[Autologger bad\] FileMax' "$T/o"
	same "$(json "$RES/status.json" "[s['name'] for s in j['sessions']]")" "['boot']"
	rm "$G/etc/firstalloc/firstalloc.ini.d/bad.ini"
}
it 32.8 "a broken section has Status 22 with file, line and key; the other session runs" broken

# The folder is mounted after the early services have run; the collector is killed before that, and again when the
# trace is in its file.
memory() {
	mkdir -p "$G/srv/log"
	rm -f "$LOG"/*
	echo '/srv/log /var/log/firstalloc none bind,x-systemd.after=kill-1.service 0 0' >"$G/etc/fstab"
	cat >"$G/usr/lib/kill-collector" <<-'U'
		read -r keeper </run/firstalloc/firstallocd.pid
		collector() { for c in $(cat /proc/$keeper/task/$keeper/children); do
			grep -q '^Uid:.0.' /proc/$c/status || echo $c; done; }
		while [ "$1" = 2 ] && ! [ -s /srv/log/boot.falloc.0001 ]; do sleep 0.02; done
		killed=$(collector)
		kill -9 "$killed" && echo "killed $1" >>/run/early-kills
		while [ "$(collector)" = "$killed" ] || [ -z "$(collector)" ]; do sleep 0.02; done
	U
	guest_service "$G" kill-1 'DefaultDependencies=no
After=early.service
Before=sysinit.target local-fs.target
[Service]
Type=oneshot
ExecStart=/bin/sh /usr/lib/kill-collector 1
ExecStart=/bin/sh -c "firstalloc status --json >/run/in-memory.json"'
	guest_service "$G" kill-2 'After=local-fs.target
Before=usual.service
[Service]
Type=oneshot
ExecStart=/bin/sh /usr/lib/kill-collector 2'
	echo 'cp /run/early-kills /run/in-memory.json /results/' >>"$G/usr/lib/at-the-end"
	boot
	rm "$G/etc/fstab" "$G"/etc/systemd/system/*/kill-?.service
	same "$(cat "$RES/early-kills")" "killed 1
killed 2"
	same "$(json "$RES/in-memory.json" "[(s['name'], s['file']) for s in j['sessions']]")" "[('boot', '(memory)')]"
	same "$(ls "$LOG")" ""
	same "$(guest_counts "$G/srv/log/boot.falloc.0001")" "$(guest_own "$RES")"
	"$FA" dump --no-events "$G/srv/log/boot.falloc.0001" | tail -n 1 | grep -q 'reason=stopped'
}
it 32.9 "a folder that is mounted late: the trace begins in memory and loses nothing, killed collectors included" memory

# whole NAME: a boot with all services, whatever is wrong
whole() {
	rm -f "$RES"/* "$LOG"/*
	container_boot "$G" || { echo "$1: no boot"; return 1; }
	same "$1: $(guest_own "$RES" | cut -d ' ' -f 1 | sort | uniq -c | xargs)" \
		"$1: 2 early-service 1 late-service 1 stays 5 usual-service"
}

# with NAME FILE command...: FILE is changed by the command for one boot
with() {
	local file=$G/$2
	cp -a "$file" "$T/saved"
	"${@:3}"
	whole "$1" || return
	rm -f "$file"
	mv "$T/saved" "$file"
}

wrong() {
	with "damaged index" etc/firstalloc/registry.idx dd if=/dev/urandom of="$G/etc/firstalloc/registry.idx" bs=300 count=1 status=none
	with "damaged ini" etc/firstalloc/firstalloc.ini dd if=/dev/urandom of="$G/etc/firstalloc/firstalloc.ini" bs=3000 count=1 status=none
	with "no library" usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so rm "$G/usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so"
	with "no daemon" usr/sbin/firstallocd cp "$G/usr/bin/false" "$G/usr/sbin/firstallocd"
	echo 'tmpfs /var/log/firstalloc tmpfs size=16k 0 0' >"$G/etc/fstab"
	whole "full disk"
	local how
	for how in size=4k ro; do # all of it: registry, state, log
		echo "tmpfs /var tmpfs $how 0 0" >"$G/etc/fstab"
		whole "/var $how"
		same "$(json "$RES/status.json" "[(s['file'], s['events_lost']) for s in j['sessions']]")" "[('(memory)', 0)]"
	done
	rm "$G/etc/fstab"
	: >"$G/etc/firstalloc/off"
	whole "switched off"
	rm "$G/etc/firstalloc/off"
	same "$(json "$RES/status.json" "j['off'], len([p for p in j['processes'] if p['state'] == 'traced'])")" "(['file'], 0)"
	whole "nothing wrong"
	same "$(guest_counts "$(ls "$LOG"/boot.falloc.*)")" "$(guest_own "$RES")"
}
it 32.10 "whatever is broken, the machine boots and its services run; repaired, all is traced again" wrong

gone() {
	guest_flag "$G" disable
	$gfa autologger disable boot >/dev/null
	rm -f "$LOG"/*
	boot
	same "$(json "$RES/status.json" "len(j['sessions']), len(j['processes'])")" "(0, 0)"
	same "$(find "$LOG" -name '*.falloc*')" ""
	$gfa uninstall --purge >/dev/null
	make -s -C "$SRC" B="$B" DESTDIR="$G" uninstall >/dev/null
	rm -f "$RES"/*
	container_boot "$G"
	same "$(wc -l <"$RES/usual")" 5
	find "$G" -xdev -name '*firstalloc*' -printf '%P\n' >"$T/left"
	same "$(cat "$T/left")" ""
}
it 32.11 "after disable nothing is traced; after uninstall --purge the services run, and nothing is left" gone
results
