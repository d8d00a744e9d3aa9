#!/bin/bash
# 44 - autologgers' own values, and what follows from them in a boot. Claims:
#   44.1-44.4    odd values are overridden, and it is said what was requested and what holds; images are flagged for
#                the session alone; a broken value stops that session only
#   44.20-44.24  a boot in a container: images of one session alone, stacks as filtered, sessions that end by themselves
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
	container_boot "$G"
	[ -s "$RES/status.json" ]
}
it 44.20 "a container boots with six autologgers" boot

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

said() {
	$gfa autologger show all >"$T/o"
	cat "$T/o"
	grep -q '^Status = 0   (started, ' "$T/o"
	grep -q '^Override = BufferSize: requested 2000, effective 1024: ' "$G/var/lib/firstalloc/autologger/all.status"
}
it 44.24 "Status says how the start went, and what was overridden" said
results
