#!/bin/bash
# 44 - autologgers' own values, and what follows from them in a boot. Claims:
#   44.1-44.4    odd values are overridden, and it is said what was requested and what holds; images are flagged for
#                the session alone; a broken value stops that session only
#   44.5-44.9    `autologger set` and `check`, `boot add`, `status` and `cancel`: what is wrong now is told now
#   44.20-44.25  a boot in a container: images of one session alone, stacks as filtered, sessions that end by themselves,
#                one that `boot stop` collects
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/guest.sh"

R=$T/root
mkdir -p "$R/etc/firstalloc/firstalloc.ini.d"
fa="$FA --root $R"
ini() { printf '%s\n' "$@" >"$R/etc/firstalloc/firstalloc.ini"; }

overridden() {
	ini '[Autologger a]' 'ClockType = 2' 'BufferSize = 2048' 'MinimumBuffers = 8' 'MaximumBuffers = 4' 'FlushTimer = 0' 'Boot = 1'
	$fa autologger show a >"$T/o"
	cat "$T/o"
	grep -q '^ClockType = 1$' "$T/o"
	grep -q '^BufferSize = 1024$' "$T/o"
	grep -q '^MaximumBuffers = 8$' "$T/o"
	grep -q '^FlushTimer = 1$' "$T/o"
	same "$(grep -o '^Overridden: [A-Za-z]*: requested [^:]*:' "$T/o" | sort)" "Overridden: Boot: requested 1, effective 0:
Overridden: BufferSize: requested 2048, effective 1024:
Overridden: ClockType: requested 2, effective 1:
Overridden: FlushTimer: requested 0, effective 1:
Overridden: MaximumBuffers: requested 4, effective 8:"
	$fa autologger show --json a >"$T/j"
	same "$(json "$T/j" "(len(j['overrides']), j['problem'], [o['effective'] for o in j['overrides'] if o['key'] == 'BufferSize'])")" "(5, None, ['1024'])"
}
it 44.1 "values that cannot be had are overridden: requested, effective and why are shown" overridden

buffering() {
	ini '[Autologger b]' 'LogFileMode = buffering' 'FileName = /var/log/b' 'FileMax = 3' 'MaxFileSize = 7'
	$fa autologger show b | grep -o '^Overridden: .*effective [^:]*' | sort >"$T/o"
	same "$(cat "$T/o")" "Overridden: FileMax: requested 3, effective 0
Overridden: FileName: requested /var/log/b, effective (memory)
Overridden: MaxFileSize: requested 7, effective 0"
}
it 44.2 "a session that buffers has no file: what is of a file is overridden" buffering

images() {
	ini '[Autologger c]' 'Images = one, two'
	$fa enable two >/dev/null
	$fa autologger enable c >/dev/null
	rules() { $fa images --json | "$PYTHON" -c 'import json,sys; print(sorted((r["image"], "named" in r["options"]) for r in json.load(sys.stdin)["images"]))'; }
	same "$(rules)" "[('one', True), ('two', False)]"
	ini '[Autologger c]' 'Images = three'
	$fa autologger enable c >/dev/null
	same "$(rules)" "[('three', True), ('two', False)]"
	$fa autologger disable c >/dev/null
	same "$(rules)" "[('two', False)]"
	$fa disable two >/dev/null
}
it 44.3 "Images are flagged while their autologger is enabled, beside those that somebody enabled" images

broken() {
	ini '[Autologger d]' 'Start = 1' 'StackWalkingFilter = HeapAloc' '[Autologger e]' 'StopAt = whenever' '[Autologger f]' 'PostBootDelay = 5'
	$fa autologger list >"$T/o" 2>&1
	grep -q "firstalloc.ini:3: \[Autologger d\] StackWalkingFilter: 'HeapAloc'" "$T/o"
	grep -q "firstalloc.ini:5: \[Autologger e\] StopAt: 'whenever'" "$T/o"
	$fa autologger show f >"$T/o"
	! grep -q 'cannot start' "$T/o" || return 1
	grep -q '^StopAt = default.target$' "$T/o"
}
it 44.4 "a broken value names file, line and key; PostBootDelay alone counts from the end of the boot" broken

drop_in() { cat "$R/etc/firstalloc/firstalloc.ini.d/$1.ini"; }
sets() {
	ini '[Autologger s]' 'FlushTimer = 7' 'MaxFileSize = 5'
	cp "$R/etc/firstalloc/firstalloc.ini" "$T/before"
	$fa autologger set s Start=0 FlushTimer=2 LogFileMode="circular, preallocate" >/dev/null
	$fa autologger set s FlushTimer=3 >/dev/null
	cmp "$R/etc/firstalloc/firstalloc.ini" "$T/before"
	same "$(drop_in zz-s)" "; Written by 'firstalloc autologger'.
[Autologger s]
Start = 0
FlushTimer = 3
LogFileMode = circular, preallocate"
	$fa autologger set s LogFileMode= >/dev/null
	$fa autologger show s >"$T/o"
	grep -q '^FlushTimer = 3$' "$T/o"
	grep -q '^LogFileMode = sequential$' "$T/o"
	grep -q '^MaxFileSize = 5$' "$T/o"
	$fa autologger enable s >/dev/null 2>&1
	$fa autologger show s | grep -q '^FlushTimer = 3$'
	$fa autologger disable s >/dev/null
}
it 44.5 "set writes a drop-in of its own, value by value; nothing that a person wrote is touched" sets

refuses() { # MESSAGE arguments...
	local status=0 message=$1
	shift
	$fa "$@" >/dev/null 2>"$T/e" || status=$?
	same $status 2
	grep -qF -- "$message" "$T/e" || { cat "$T/e"; return 1; }
}
refused() {
	drop_in zz-s >"$T/before"
	refuses "FileMax: '17' is not what is expected: files, 1 to 16" autologger set s FlushTimer=9 FileMax=17
	refuses "Flushtimer: there is no such value" autologger set s Flushtimer=9
	refuses "Flushtimer: there is no such value" autologger set s Flushtimer=
	refuses "'Start' is not KEY=VALUE" autologger set s Start
	refuses "set needs KEY=VALUE" autologger set s
	refuses "did you mean 'check'?" autologger chek
	refuses "stop needs the file" boot stop
	refuses "--stage is for 'boot add'" boot status --stage service
	refuses "is none of add, status, stop, cancel" boot ad
	same "$(drop_in zz-s)" "$(cat "$T/before")"
}
it 44.6 "a wrong value, key or verb is refused, with exit status 2, before anything is written" refused

# Each problem alone, from a machine that has none.
problems() { status=0; $fa autologger check --json k >"$T/j" || status=$?; json "$T/j" "sorted(p.replace('$R', 'ROOT') for p in j[0]['problems'])"; }
checks() {
	local unit=$R/usr/lib/systemd/system/firstallocd.service
	ini '[Daemon]' 'MinFree = 1'
	mkdir -p "${unit%/*}" "$R/etc/systemd/system/sysinit.target.wants" "$R/var/log/firstalloc"
	printf '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=sysinit.target\n' >"$unit"
	ln -sf "$unit" "$R/etc/systemd/system/sysinit.target.wants/firstallocd.service"
	echo /lib/libfirstalloc_preload.so >"$R/etc/ld.so.preload"
	$fa enable something >/dev/null
	$fa autologger enable k --stage service >/dev/null 2>&1
	same "$(problems)" "[]"
	$fa autologger check k >"$T/o"
	grep -q '^k: at the next boot it starts before the other services, into /var/log/firstalloc/k.falloc; it runs until' "$T/o"
	grep -q 'note: stage service: PID 1, generators and mount helpers are not seen' "$T/o"
	rm "$R/etc/systemd/system/sysinit.target.wants/firstallocd.service"
	problems >"$T/o"
	same $status 1
	grep -q "\[.firstallocd.service is not enabled" "$T/o"
	ln -s "$unit" "$R/etc/systemd/system/sysinit.target.wants/firstallocd.service"
	mv "$R/etc/ld.so.preload" "$T/line"
	problems >"$T/o"
	same $status 1
	grep -q "\[.ROOT/etc/ld.so.preload does not name the library" "$T/o"
	mv "$T/line" "$R/etc/ld.so.preload"
	$fa disable something >/dev/null
	problems >"$T/o"
	same $status 1
	grep -q "\[.no program is flagged: " "$T/o"
	$fa enable something >/dev/null
	$fa off >/dev/null
	problems >"$T/o"
	same $status 1
	grep -q '\[.tracing is switched off: by' "$T/o"
	$fa on >/dev/null
	: >"$R/etc/firstalloc/early"
	problems >"$T/o"
	same $status 1
	grep -q "\[.stage initramfs was chosen, but it begins with its unit: neither initramfs-tools nor dracut is installed" "$T/o"
	rm "$R/etc/firstalloc/early"
	ini '[Daemon]' 'MinFree = 16000000'
	problems >"$T/o"
	same $status 1
	grep -q "\[.ROOT/var/log/firstalloc: .* are free, and MinFree leaves 15.3 TiB" "$T/o"
	ini '[Daemon]' 'MinFree = 1'
	rmdir "$R/var/log/firstalloc"
	: >"$R/var/log/firstalloc"
	problems >"$T/o"
	same $status 1
	grep -q "\[.ROOT/var/log/firstalloc is no folder.\]" "$T/o"
	rm "$R/var/log/firstalloc"
	ini '[Daemon]' 'MinFree = 1' '[Autologger k]' 'LogFileMode = circular'
	problems >"$T/o"
	same $status 1
	grep -q "\[.it cannot start: circular needs a MaximumFileSize" "$T/o"
	ini '[Daemon]' 'MinFree = 1'
	same "$(problems)" "[]"
}
if [ "$(id -u)" = 0 ]; then
	it 44.7 "check: unit, library, rules, switch, initramfs, space, folder and values, each problem by itself" checks
else
	skip 44.7 "check finds each problem by itself" "needs root"
fi

adds() {
	printf '[Autologger shot]\nStart = 0\nStopAt = 3m\nImages = somebody\n' >"$T/profile.ini"
	$fa boot add "$T/profile.ini" --stage service >"$T/o" 2>&1
	grep -q '^shot: at the next boot it starts before the other services, .*; it ends after 180 s$' "$T/o"
	$fa images | grep -q '^somebody'
	status=0
	$fa boot add other 2>"$T/o" || status=$?
	same $status 1
	grep -q 'shot is set up already' "$T/o"
	$fa boot status >"$T/o"
	same "$(head -n 1 "$T/o")" "now: it does not run"
	$fa boot status --json >"$T/j"
	same "$(json "$T/j" "(j['entry'], j['now'], j['next'][0]['Start'], j['next'][0]['problems'])")" "('shot', None, True, [])"
	status=0
	$fa boot stop "$T/x" 2>"$T/o" || status=$?
	same $status 5
	$fa boot cancel >/dev/null
	! $fa images | grep '^somebody' || return 1
	$fa boot status --json >"$T/j"
	same "$(json "$T/j" "(j['entry'], j['now'])")" "(None, None)"
	same "$(ls "$R/etc/firstalloc/firstalloc.ini.d" | grep -c shot || true)" 0
	status=0
	$fa boot cancel 2>/dev/null || status=$?
	same $status 5
}
if [ "$(id -u)" = 0 ]; then
	it 44.8 "boot add takes a profile, status tells of it, cancel leaves what was before" adds
else
	skip 44.8 "boot add, status and cancel" "needs root"
fi

bad_profile() {
	printf '[Autologger x]\nFileMax = 20\n' >"$T/profile.ini"
	! $fa boot add "$T/profile.ini" 2>"$T/o" || return 1
	grep -q "profile.ini:2: \[Autologger x\] FileMax: '20'" "$T/o"
	printf '[Autologger x]\n[Autologger y]\n' >"$T/profile.ini"
	! $fa boot add "$T/profile.ini" 2>"$T/o" || return 1
	grep -q 'a profile is one section' "$T/o"
	$fa boot status | grep -q '^No boot trace is set up'
}
it 44.9 "a broken profile is refused with file, line and key" bad_profile

if why=$(guest_lacks); then
	skip 44.20 "boots in a container" "$why"
	results
	exit
fi
G=$T/guest
RES=$G/results
gfa="$FA --root $G"
LOG=$G/var/log/firstalloc

# The last service waits until those sessions that are to end by themselves have.
boot() {
	guest_make "$G"
	guest_services "$G"
	mkdir -p "$LOG" "$G/etc/firstalloc/firstalloc.ini.d" "$G/etc/systemd/system/late.service.d"
	cat >"$G/usr/lib/until-ended" <<-'U'
		until firstalloc status --json | grep -c '"end": "its StopAt was reached"' | grep -qx 3; do sleep 0.05; done
	U
	printf '[Service]\nExecStartPre=/bin/sh /usr/lib/until-ended\n' >"$G/etc/systemd/system/late.service.d/wait.conf"
	for image in early-service usual-service late-service; do
		$gfa enable $image --stacks all >/dev/null
	done
	cat >"$G/etc/firstalloc/firstalloc.ini.d/some.ini" <<-'U'
		[Autologger all]
		BufferSize = 2000
		[Autologger only]
		Images = stays
		StackWalkingFilter = HeapFree
		[Autologger until]
		StopAt = sysinit.target
		[Autologger brief]
		StopAt = 1s
		[Autologger behind]
		StopAt = sysinit.target
		PostBootDelay = 1
		[Autologger hours]
		StopAt = sysinit.target
		PostBootDelay = 9000
	U
	for name in all only until brief behind hours; do
		$gfa autologger enable $name >/dev/null
	done
	printf '[Autologger shot]\nImages = usual-service\n' >"$T/profile.ini"
	$gfa boot add "$T/profile.ini" >"$T/o" || { cat "$T/o"; return 1; }
	cat >"$T/collect" <<-'U'
		firstalloc boot status --json >/results/boot.json
		firstalloc boot stop /results/shot.falloc "slow again" >/results/stopped
		firstalloc boot status >/results/boot.after
	U
	cat "$T/collect" "$G/usr/lib/at-the-end" >"$T/at-the-end"
	cp "$T/at-the-end" "$G/usr/lib/at-the-end"
	container_boot "$G"
	[ -s "$RES/status.json" ]
}
it 44.20 "a container boots with six autologgers and one boot trace" boot

of_images() { "$FA" report --json "$LOG/$1.falloc" | "$PYTHON" -c 'import json,sys; print(sorted(set(p["image"] for p in json.load(sys.stdin)["processes"])))'; }
alone() {
	same "$(of_images only)" "['stays']"
	same "$(guest_counts "$LOG/only.falloc")" "$(guest_own "$RES" | grep ^stays)"
	same "$(of_images all)" "['early-service', 'late-service', 'usual-service']"
	same "$(guest_counts "$LOG/all.falloc")" "$(guest_own "$RES" | grep -v ^stays)"
}
it 44.21 "a session with Images has these alone, to all their counts; the others have all but these" alone

# From its next tick on, so the last ones are looked at: it goes on until the shutdown.
stacks() {
	"$FA" dump --json "$LOG/only.falloc" >"$T/d"
	with() { grep "\"record\": \"$1\"" "$T/d" | tail -n 20 | grep -c '"stack": [1-9]'; }
	same "$(with alloc || true) $(with free)" "0 20"
}
it 44.22 "StackWalkingFilter holds for its session's programs" stacks

ended() {
	for name in until brief behind; do
		"$FA" dump "$LOG/$name.falloc" | tail -n 1 | grep -q 'end .*reason=stop-at' || { echo "$name"; return 1; }
	done
	for name in all only hours; do
		"$FA" dump "$LOG/$name.falloc" | tail -n 1 | grep -q 'end .*reason=stopped' || { echo "$name"; return 1; }
	done
	same "$(guest_counts "$LOG/until.falloc" | grep -c early-service)" 2
	! guest_counts "$LOG/until.falloc" | grep late-service || return 1
	! guest_counts "$LOG/behind.falloc" | grep late-service || return 1
	same "$(guest_counts "$LOG/hours.falloc" | grep -c late-service)" 1
}
it 44.23 "sessions end by themselves: at a unit, after a time, so long behind the unit; and not before" ended

collected() {
	cat "$RES/stopped"
	same "$(json "$RES/boot.json" "(j['entry'], j['now']['running'], j['next'][0]['problems'])")" "('shot', True, [])"
	same "$(guest_counts "$RES/shot.falloc")" "$(guest_own "$RES" | grep ^usual-service)"
	"$FA" dump "$RES/shot.falloc" | grep -q 'mark .*slow again'
	"$FA" dump "$RES/shot.falloc" | tail -n 1 | grep -q 'reason=stopped'
	same "$(cat "$RES/boot.after")" "No boot trace is set up."
	same "$(find "$G/etc" "$LOG" -name '*shot*')" ""
	[ -L "$G/etc/systemd/system/sysinit.target.wants/firstallocd.service" ]
}
it 44.25 "boot stop collects the trace with its description, and the next boot does not start it" collected

said() {
	$gfa autologger show all >"$T/o"
	cat "$T/o"
	grep -q '^Status = 0   (started, ' "$T/o"
	grep -q '^Override = BufferSize: requested 2000, effective 1024: ' "$G/var/lib/firstalloc/autologger/all.status"
}
it 44.24 "Status says how the start went, and what was overridden" said
results
