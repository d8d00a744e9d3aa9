#!/bin/bash
# 32 - from boot, in a container: a real systemd as PID 1, Debian's own units, and flagged services at three moments of
# the boot. Claims:
#   32.1       the guest is made by `make install` and `firstalloc install`
#   32.2-32.4  every start is traced, to the counts that the programs themselves have written down; with symbols
#   32.5-32.6  shutdown ends the session before its file system goes, also while a service still allocates
#   32.7       FileMax: each boot has a file of its own, and behind the last one comes the first
#   32.8       a broken section is told with file, line and key; the other session runs
#   32.9       after disable nothing is traced; after uninstall nothing is left
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

# Early: when the file systems are just there, before sysinit.target. Short ones write their counts to /results; the
# one that stays is ended by the shutdown.
guest() {
	guest_make "$G"
	install -d -m 1777 "$RES"
	guest_program "$G" service early-service usual-service late-service stays
	guest_service "$G" early 'DefaultDependencies=no
Before=sysinit.target systemd-tmpfiles-setup.service
[Service]
Type=oneshot
ExecStart=/usr/bin/early-service /results/early 100
ExecStart=/usr/bin/early-service /results/early 200'
	guest_service "$G" usual '[Service]
Type=oneshot
User=games
ExecStart=/bin/sh -c "for i in 1 2 3 4 5; do /usr/bin/usual-service /results/usual 1001; done"'
	guest_service "$G" stays '[Service]
ExecStart=/usr/bin/stays /results/stays 10 stay'
	guest_service "$G" late 'After=multi-user.target early.service usual.service stays.service
[Service]
Type=oneshot
ExecStart=/usr/bin/late-service /results/late 5000
ExecStart=-/bin/sh /results/run.sh
ExecStart=/bin/systemctl --no-block poweroff'
	mkdir -p "$LOG" "$G/etc/firstalloc/firstalloc.ini.d"
	[ "$(wc -l <"$G/etc/ld.so.preload")" = 1 ]
}
it 32.1 "the guest has the programs, the library and its line" guest

boot() {
	rm -f "$RES"/*
	cat >"$RES/run.sh" <<-'U'
		firstalloc status --json >/results/status.json
		systemctl show -p Type,ActiveState,StandardOutput firstallocd.service >/results/unit
		systemd-analyze verify --man=no firstallocd.service late.service 2>/results/order
	U
	container_boot "$G"
	[ -s "$RES/status.json" ]
}

# counts TRACE: for each process "IMAGE PID ALLOCATIONS FREES", as the trace has it; own: as the programs have it
counts() {
	"$FA" report --json "$1" >"$T/r.json"
	json "$T/r.json" "'\n'.join(sorted('%s %d %d %d' % (p['image'], p['pid'], p['events_by_kind']['alloc'], p['events_by_kind']['free']) for p in j['processes']))"
}
own() {
	local f
	for f in early:early-service usual:usual-service late:late-service stays:stays; do
		sed "s/^/${f#*:} /" "$RES/${f%:*}"
	done | sort
}

first_boot() {
	for p in early-service usual-service late-service stays; do
		$gfa enable $p >/dev/null
	done
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
	same "$(counts "$LOG/boot.falloc.0001")" "$(own)"
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
	"$FA" dump "$LOG/boot.falloc.0001" | tail -n 1 | tee "$T/end"
	grep -q 'end .*reason=stopped' "$T/end"
	grep -q '^Status = 0$' "$G/var/lib/firstalloc/autologger/boot.status"
}
it 32.5 "shutdown ends the session properly, and its file is whole" ended

stays_ended() {
	same "$(counts "$LOG/boot.falloc.0001" | grep ^stays)" "$(own | grep ^stays)"
	[ "$(own | awk '/^stays/ {print $3}')" -gt 10 ]
}
it 32.6 "a service that allocates until it is told to end is in the trace to its last event" stays_ended

rotation() {
	sum=$(sha256sum <"$LOG/boot.falloc.0001")
	boot
	same "$(cd "$LOG"; echo *.falloc*)" "boot.falloc.0001 boot.falloc.0002"
	same "$(sha256sum <"$LOG/boot.falloc.0001")" "$sum"
	same "$(counts "$LOG/boot.falloc.0002")" "$(own)"
	$gfa autologger show boot | grep -q '^FileCounter = 2 '
	same "$($gfa --json autologger show boot | "$PYTHON" -c 'import json,sys; print(json.load(sys.stdin)["FileCounter"])')" 2
	boot
	same "$(cd "$LOG"; echo *.falloc*)" "boot.falloc.0001 boot.falloc.0002"
	same "$(counts "$LOG/boot.falloc.0001")" "$(own)"
}
it 32.7 "FileMax = 2: the second boot writes .0002 and leaves .0001 alone, the third writes .0001" rotation

broken() {
	printf '[Autologger bad]\nStart = 1\nFileMax = 17\n' >"$G/etc/firstalloc/firstalloc.ini.d/bad.ini"
	boot
	same "$(counts "$LOG/boot.falloc.0002")" "$(own)"
	$gfa autologger show bad >"$T/o"
	cat "$T/o"
	grep -q '^Status = 22 .*bad.ini:3: \[Autologger bad\] FileMax' "$T/o"
	same "$(json "$RES/status.json" "[s['name'] for s in j['sessions']]")" "['boot']"
	rm "$G/etc/firstalloc/firstalloc.ini.d/bad.ini"
}
it 32.8 "a broken section has Status 22 with file, line and key; the other session runs" broken

gone() {
	for p in early-service usual-service late-service stays; do
		$gfa disable $p >/dev/null
	done
	$gfa autologger disable boot >/dev/null
	rm "$LOG"/*
	boot
	same "$(json "$RES/status.json" "len(j['sessions']), len(j['processes'])")" "(0, 0)"
	same "$(find "$LOG" -name '*.falloc*')" ""
	$gfa uninstall --purge >/dev/null
	make -s -C "$SRC" B="$B" DESTDIR="$G" uninstall >/dev/null
	rm -f "$RES"/*
	: >"$RES/run.sh"
	container_boot "$G"
	same "$(wc -l <"$RES/usual")" 5
	find "$G" -xdev -name '*firstalloc*' -printf '%P\n' >"$T/left"
	same "$(cat "$T/left")" ""
}
it 32.9 "after disable nothing is traced; after uninstall --purge the services run, and nothing is left" gone
results
