#!/bin/bash
# 16 - the life of an installed firstalloc: switched off and on, disarmed after crashes, updated, killed
# while it installs, damaged by hand. In a private mount namespace; needs root.
#   16.1 to 16.7    the kill switch, three ways
#   16.8 to 16.11   crash loops
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
if [ "$(id -u)" != 0 ]; then
	skip 16 "life on a machine" "needs root"
	results
	exit
fi
private_machine
FALLER=$T/m/faller
cp "$P/faller" "$FALLER"
ALICE=23451
as() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
shim_on() { echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload; }
shim_off() { rm -f /etc/ld.so.preload; }
session() { $fa stop s >/dev/null 2>&1 || true; rm -f "$T/s.falloc"; $fa start s -o "$T/s.falloc" --min-free 0 "$@" >/dev/null; }
# faller MS: in the background, with the shim; its pid in $S once it is at work
faller() {
	: >"$T/up"
	shim_on
	"$FALLER" "$@" >"$T/up" 2>"$T/faller.err" &
	S=$!
	wait_for 5 grep -q up "$T/up"
	shim_off
}
state() { $fa status --json >"$T/st.json"; json "$T/st.json" "[(p['state'], p['reason']) for p in j['processes'] if p['pid'] == $S]"; }
is_state() { [ "$(state)" = "$1" ]; }
reason() { $fa status --pid $S --json >"$T/pid.json"; json "$T/pid.json" "j['reason']"; }
is_reason() { [ "$(reason)" = $1 ]; }
off_now() { $fa status --json >"$T/st.json"; json "$T/st.json" "j['off']"; }
ended() { { kill $S && wait $S; } 2>/dev/null || true; } # the program of faller()
in_trace() { "$FA" report --json "$T/s.falloc" >"$T/r.json"; json "$T/r.json" "[(p['pid'], p['lost']) for p in j['processes']]"; }

as_new() { rm -f "$R/etc/firstalloc/off"; umount /proc/cmdline 2>/dev/null || true; $fa on >/dev/null; shim_off; true; }
# switched HOW-OFF HOW-ON NAME: what every way of the kill switch must do
switched() {
	local first
	as_new
	$fa enable faller >/dev/null
	session
	faller 20000
	first=$S
	is_state "[('traced', 'TRACED')]"
	$1
	same "$(off_now)" "['$3']"
	$fa status | grep -q '^OFF: no program is traced'
	wait_for 2 is_state "[('waiting', 'OFF')]"
	kill -0 $first # it runs on
	wait_for 2 is_reason OFF
	faller 20000
	same "$(reason)" OFF
	same "$(cat "$T/faller.err")" ""
	ended
	$2
	same "$(off_now)" "[]"
	sleep 1.3 # the keeper looks each second
	S=$first
	same "$(reason)" OFF # until it is started again
	faller 800
	same "$(reason)" TRACED
	wait $S
	kill $first
	$fa stop s >/dev/null
	$fa disable faller >/dev/null
	same "$(in_trace)" "[($first, 0), ($S, 0)]"
	grep -q . "$T/faller.err" && return 1 || true
}
off() { $fa off | grep -q '^Tracing is off: by'; }
on() { $fa on | grep -q '^Tracing is on'; }
it 16.1 "off: the traced are let go within 2 s and run on, new starts are not traced; on: they are again" switched off on command
touch_it() { touch "$R/etc/firstalloc/off"; }
rm_it() { rm "$R/etc/firstalloc/off"; }
it 16.2 "the file /etc/firstalloc/off does the same, and so does taking it away" switched touch_it rm_it file
echo "quiet firstalloc=offer xfirstalloc=off firstalloc=off" >"$T/cmdline"
word() { mount --bind "$T/cmdline" /proc/cmdline; }
no_word() { umount /proc/cmdline; }
it 16.3 "and so does the word firstalloc=off on the kernel's command line" switched word no_word kernel

near_word() {
	local status=0
	as_new
	echo "quiet firstalloc=offer xfirstalloc=off -firstalloc=off" >"$T/cmdline"
	word
	same "$(off_now)" "[]"
	echo firstalloc=off >"$T/cmdline"
	$fa on >"$T/o" 2>"$T/err" || status=$?
	no_word
	same $status 1
	grep -q 'boot without it' "$T/err"
}
it 16.4 "words that only look like it do nothing; 'on' says that it cannot lift the word" near_word

first_process() { # the kernel gives its unknown words to process 1; where it is not mounted, /proc tells nothing
	local word traced
	$fa enable faller --pid1 >/dev/null
	for word in firstalloc=offer firstalloc=off; do
		session
		shim_on
		unshare -mpf env "$word" bash -c "umount -l /proc; exec $FALLER 20" >/dev/null
		shim_off
		$fa stop s >/dev/null
		same "$(in_trace | grep -c '(')" $([ $word = firstalloc=off ] && echo 0 || echo 1)
	done
	$fa disable faller >/dev/null
}
it 16.5 "process 1 finds the word in its environment, without /proc" first_process

cheap() {
	$fa enable faller >/dev/null
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	strace -o "$T/true" /bin/true
	strace -o "$T/flagged" "$FALLER" 1 >/dev/null
	rm /etc/ld.so.preload
	$fa disable faller >/dev/null
	grep -q registry.idx "$T/true"
	! grep -qE 'firstalloc/off|cmdline' "$T/true"
	same "$(grep -cE 'firstalloc/off|/proc/cmdline' "$T/flagged")" 2
}
if command -v strace >/dev/null; then
	it 16.6 "an unflagged program makes no system call for the switch, a flagged one two opens" cheap
else
	skip 16.6 "an unflagged program makes no system call for the switch" "no strace"
fi

broken_registry() {
	$fa enable faller >/dev/null
	cp "$R/var/lib/firstalloc/registry.db" "$T/db"
	echo nonsense >"$R/var/lib/firstalloc/registry.db"
	$fa off >"$T/o" 2>"$T/err"
	grep -q 'etc/firstalloc/off is there' "$T/o"
	same "$(off_now)" "['file']"
	cp "$T/db" "$R/var/lib/firstalloc/registry.db"
	$fa on >/dev/null
	same "$(off_now)" "[]"
	[ ! -e "$R/etc/firstalloc/off" ]
	$fa disable faller >/dev/null
}
it 16.7 "with a damaged registry 'off' makes the file; 'on' removes it" broken_registry

# crash SIGNAL TIMES [command...]: as another user where the command says so
crash() {
	local i
	shim_on
	for i in $(seq "$2"); do "${@:3}" "$FALLER" 5 "$1" >/dev/null 2>&1 || true; done
	shim_off
}
rules() { $fa images --json >"$T/j"; json "$T/j" "[(r['user'] or 'any', 'disarmed' in r['options']) for r in j['images'] if r['image'] == 'faller']"; }
is_rules() { [ "$(rules)" = "$1" ]; }
begin() {
	as_new
	chmod 755 "$T/m"
	$fa disable faller >/dev/null 2>&1 || true
	$fa enable faller --note 'as before' >/dev/null
	session
}
loop() {
	begin
	crash 11 2
	crash 0 1
	crash 11 1
	crash 6 1
	sleep 0.5
	same "$(rules)" "[('any', False)]"
	crash 7 1
	wait_for 3 is_rules "[('root', True), ('any', False)]"
	$fa status >"$T/o"
	grep -q 'disarmed: 3 starts in a row died by SIGBUS within 10 s; enable it again to re-arm' "$T/o"
	$fa images | grep -q disarmed
	$fa history --json >"$T/j"
	same "$(json "$T/j" "[(c['change'], c['who']) for c in j['changes']][:2]")" "[('disarm', 'firstalloc'), ('enable', '$(id -un)')]"
	faller 1000
	same "$(reason)" DISARMED
	same "$(state)" "[]"
	wait $S
	$fa enable faller >/dev/null
	same "$(rules)" "[('any', False)]"
	faller 1000
	same "$(reason)" TRACED
	ended
}
it 16.8 "three faults in a row within 10 s of the start disarm; status, images, history say so; enable re-arms" loop
harmless() {
	begin
	crash 9 4
	crash 15 4
	$fa stop s >/dev/null
	crash 11 4 # not traced: no session wants it
	sleep 0.5
	same "$(rules)" "[('any', False)]"
}
it 16.9 "SIGKILL, SIGTERM and crashes of programs that are not traced do not" harmless
only_alice() {
	begin
	crash 11 3 as $ALICE
	wait_for 3 is_rules "[('$ALICE', True), ('any', False)]"
	faller 1000
	same "$(reason)" TRACED
	ended
	$fa enable faller --user $ALICE --note own >/dev/null
	same "$(rules)" "[('$ALICE', False), ('any', False)]"
	crash 11 3 as $ALICE
	wait_for 3 is_rules "[('$ALICE', True), ('any', False)]"
	$fa show faller | grep -q 'before: own'
}
it 16.10 "a user's crashes disarm for that user only; a rule of one user is disarmed itself" only_alice
before_the_bell() { # the shim is in its list, and it dies before it rings: here, because there is no shim
	begin
	local i
	for i in 1 2 3; do "$FALLER" 5 11 >/dev/null 2>&1 || true; done
	wait_for 3 is_rules "[('root', True), ('any', False)]"
}
it 16.11 "so do those who die before they could ring" before_the_bell
results
