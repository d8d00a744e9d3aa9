#!/bin/bash
# 12 - autologger: a real systemd boots in a container, and a flagged service is traced from its first
# event on. Claims:
#   12.1-12.6   `autologger` writes, lists and explains sections; a broken one stops only itself
#   12.7-12.10  a boot with an enabled autologger: the service's events are in the file, all of them
#   12.11      the next boot moves the trace to .1
#   12.12      after disable and autologger disable the next boot writes nothing
# The container's root is made once by mmdebstrap (half a minute) and kept in the build folder.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/guest.sh"

R=$T/root
mkdir -p "$R/etc/firstalloc"
fa="$FA --root $R"

enables() {
	$fa autologger enable boot >"$T/o"
	grep -q 'enabled' "$T/o"
	$fa autologger list --json >"$T/l.json"
	same "$(json "$T/l.json" "[(a['name'], a['Start'], a['FileName'], a['MaxFileSize']) for a in j]")" \
		"[('boot', True, '/var/log/firstalloc/boot.falloc', 0)]"
	$fa autologger show boot | grep -q '^Start = 1'
}
it 12.1 "enable makes an autologger with all defaults; list and show have it" enables

disables() {
	$fa autologger disable boot >"$T/o"
	$fa autologger show boot | grep -q '^Start = 0'
}
it 12.2 "disable writes Start = 0 and keeps the section" disables

unknown() {
	! $fa autologger show bot 2>"$T/o" || return 1
	grep -q "did you mean 'boot'" "$T/o"
	status=0
	$fa autologger disable bot 2>/dev/null || status=$?
	same $status 5
}
it 12.3 "an unknown name is answered with the nearest one" unknown

own_file() {
	printf '[Autologger boot]\nStart = 0\nFlushTimer = 3\n; mine\n' >"$R/etc/firstalloc/firstalloc.ini"
	cp "$R/etc/firstalloc/firstalloc.ini" "$T/before"
	$fa autologger enable boot >/dev/null
	cmp "$R/etc/firstalloc/firstalloc.ini" "$T/before"
	$fa autologger show boot >"$T/o"
	grep -q '^Start = 1' "$T/o" && grep -q '^FlushTimer = 3' "$T/o" || return 1
}
it 12.4 "a file that a person wrote is never changed; its other values hold" own_file

index_flag() {
	$fa autologger enable boot >/dev/null
	on=$(od -An -tu4 -j36 -N4 "$R/etc/firstalloc/registry.idx" | tr -d ' ')
	$fa autologger disable boot >/dev/null
	off=$(od -An -tu4 -j36 -N4 "$R/etc/firstalloc/registry.idx" | tr -d ' ')
	same "$on $off" "1 0"
}
it 12.5 "the index says whether an autologger is enabled" index_flag

broken() {
	printf '[Autologger bad]\nStart = 1\nBufferSize = big\n' >"$R/etc/firstalloc/firstalloc.ini"
	$fa autologger list >"$T/o" 2>&1
	grep -q 'firstalloc.ini:3: \[Autologger bad\] BufferSize' "$T/o"
	status=0
	$fa autologger enable bad 2>"$T/o" || status=$?
	same $status 1
	grep -q 'firstalloc.ini:3:' "$T/o"
}
it 12.6 "a broken section is told with file, line and key" broken

if why=$(guest_lacks); then
	skip 12.7 "boots in a container" "$why"
	results
	exit
fi

G=$T/guest RES=$T/results
mkdir "$G" "$RES"
gfa="$FA --root $G"

guest() {
	guest_make "$G"
	install -m 755 "$P/families" "$G/usr/bin/flagged-service"
	cat >"$G/etc/systemd/system/flagged.service" <<-'U'
		[Unit]
		Description=a service of its own user, flagged by name
		[Service]
		Type=oneshot
		RemainAfterExit=yes
		User=games
		ExecStart=-/usr/bin/flagged-service
		[Install]
		WantedBy=multi-user.target
	U
	cat >"$G/etc/systemd/system/spec.service" <<-'U'
		[Unit]
		After=flagged.service multi-user.target
		[Service]
		Type=oneshot
		StandardOutput=null
		StandardError=null
		ExecStart=/bin/bash /results/run.sh
	U
	mkdir -p "$G/etc/systemd/system/multi-user.target.wants"
	ln -s ../flagged.service ../spec.service "$G/etc/systemd/system/multi-user.target.wants/"
	cat >"$RES/run.sh" <<-'U'
		exec >/results/out 2>&1
		set -x
		sleep 0.3
		systemctl show -p Result,ExecMainStatus,User flagged.service >/results/service
		systemctl show -p ActiveState,SubState firstallocd.service >/results/unit
		firstalloc status --json >/results/status.json
		firstalloc status >/results/status.txt
		systemctl stop firstallocd.service
		cp -a /var/log/firstalloc/. /results/log/
		cp -a /var/lib/firstalloc/. /results/state/
		systemctl --no-block exit 0
	U
	[ "$(wc -l <"$G/etc/ld.so.preload")" = 1 ]
}
it 12.7 "the guest has the programs, the shim and the unit" guest

boot() {
	rm -rf "$RES/log" "$RES/state"
	mkdir "$RES/log" "$RES/state"
	timeout 60 systemd-nspawn -q -D "$G" -b --volatile=overlay --register=no --keep-unit \
		--console=pipe --system-call-filter="fanotify_init fanotify_mark" --capability=all \
		--bind="$RES":/results </dev/null >"$T/console" 2>&1 || { tail -n 20 "$T/console"; return 1; }
	[ -s "$RES/status.json" ] || { tail -n 20 "$T/console"; cat "$RES/out"; return 1; }
}

first_boot() {
	$gfa enable flagged-service --flags heap >/dev/null
	$gfa autologger enable boot >/dev/null
	boot
	cat "$RES/unit" "$RES/service" "$RES/status.txt"
	grep -q ActiveState=active "$RES/unit"
	grep -q User=games "$RES/service"
	same "$(json "$RES/status.json" "[(s['name'], s['autologger']) for s in j['sessions']]")" "[('boot', True)]"
	json "$RES/status.json" "j['daemon']['how']" | grep -q unit
}
it 12.8 "at boot the unit runs the autologger's session before the service starts" first_boot

traced() {
	"$FA" report --json "$RES/log/boot.falloc" >"$T/r.json"
	cat "$T/r.json" | head -40
	same "$(json "$T/r.json" "[(p['image'], p['uid'], p['lost']) for p in j['processes']]")" "[('flagged-service', 5, 0)]"
	same "$(json "$T/r.json" "j['events']['alloc'], j['events']['realloc'], j['events']['free']")" "(7, 4, 1)"
	same "$(json "$T/r.json" "j['outstanding']['blocks'], j['outstanding']['bytes']")" "(7, 7936)"
	"$FA" dump --no-events "$RES/log/boot.falloc" | tail -n 1 | grep -q 'end .*reason='
}
it 12.9 "a service of its own user is in the file, from its first event to its last" traced

status_value() {
	grep -q '^Status = 0' "$RES/state/autologger/boot.status"
	same "$(stat -c %a "$RES/log/boot.falloc")" 600
}
it 12.10 "Status says how the start went; the file is root's alone" status_value

moved() {
	mkdir -p "$G/var/log/firstalloc"
	cp "$RES/log/boot.falloc" "$G/var/log/firstalloc/"
	sum=$(sha256sum <"$RES/log/boot.falloc")
	boot
	same "$(sha256sum <"$RES/log/boot.falloc.1")" "$sum"
	"$FA" report --json "$RES/log/boot.falloc" >"$T/r.json"
	same "$(json "$T/r.json" "len(j['processes'])")" 1
	rm -rf "$G/var/log/firstalloc"
}
it 12.11 "the next boot moves the last trace to .1" moved

off() {
	$gfa disable flagged-service >/dev/null
	$gfa autologger disable boot >/dev/null
	boot
	ls -R "$RES/log"
	same "$(find "$RES/log" -name '*.falloc*')" ""
	same "$(json "$RES/status.json" "len(j['sessions']), len(j['processes'])")" "(0, 0)"
}
it 12.12 "after disable and autologger disable the next boot writes nothing" off
results
