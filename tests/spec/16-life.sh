#!/bin/bash
# 16 - the life of an installed firstalloc: switched off and on, disarmed after crashes, updated, killed
# while it installs, damaged by hand. In a private mount namespace; needs root.
#   16.1 to 16.7    the kill switch, three ways
#   16.8 to 16.11, 16.16, 16.17, 16.27 and 16.28   crash loops; 16.29 starts that are counted
#   16.12 to 16.15  doctor of a program, a process, a unit
#   16.16 to 16.20  rules that end or change while programs start; another version
#   16.21 to 16.26  the whole machine: update, load, kill -9, files removed by hand
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 16 "life on a machine"
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
	wait_for 20 grep -q up "$T/up"
	shim_off
}
state() { $fa status --json >"$T/st.json"; json "$T/st.json" "[(p['state'], p['reason']) for p in j['processes'] if p['pid'] == $S]"; }
is_state() { [ "$(state)" = "$1" ]; }
reason() { $fa status --pid $S --json >"$T/pid.json"; json "$T/pid.json" "j['reason']"; }
is_reason() { [ "$(reason)" = $1 ]; }
off_now() { $fa status --json >"$T/st.json"; json "$T/st.json" "j['off']"; }
ended() { { kill ${1:-$S} && wait ${1:-$S}; } 2>/dev/null || true; } # the program of faller()
in_trace() { "$FA" report --json "$T/s.falloc" >"$T/r.json"; json "$T/r.json" "[(p['pid'], p['lost']) for p in j['processes']]"; }

as_new() { rm -f "$R/etc/firstalloc/off"; umount /proc/cmdline 2>/dev/null || true; $fa on >/dev/null; shim_off; true; }
# switched HOW-OFF HOW-ON NAME: what every way of the kill switch must do
switched() {
	local first
	as_new
	$fa enable faller >/dev/null
	session
	faller 600000
	first=$S
	wait_for 20 is_state "[('traced', 'TRACED')]"
	$1
	same "$(off_now)" "['$3']"
	$fa status | grep -q '^OFF: no program is traced'
	wait_for 2 is_state "[('waiting', 'OFF')]"
	kill -0 $first # it runs on
	wait_for 2 is_reason OFF
	faller 600000
	same "$(reason)" OFF
	same "$(cat "$T/faller.err")" ""
	ended
	$2
	same "$(off_now)" "[]"
	sleep 1.3 # the keeper looks each second
	S=$first
	same "$(reason)" OFF # until it is started again
	faller 600000
	same "$(reason)" TRACED
	ended
	ended $first
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
	! grep -qE 'firstalloc/off|cmdline' "$T/true" || return 1
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
	session
	wait_for 20 traced_again # the keeper looks each second
	$fa stop s >/dev/null
	$fa disable faller >/dev/null
}
traced_again() {
	local why
	faller 600000
	why=$(reason)
	ended
	[ "$why" = TRACED ]
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
	wait_for 20 is_rules "[('root', True), ('any', False)]"
	$fa status >"$T/o"
	grep -q 'disarmed: 3 starts in a row died by SIGBUS within 10 s; enable it again to re-arm' "$T/o"
	$fa images | grep -q disarmed
	$fa history --json >"$T/j"
	same "$(json "$T/j" "[(c['change'], c['who']) for c in j['changes']][:2]")" "[('disarm', 'firstalloc'), ('enable', '$(id -un)')]"
	faller 600000
	same "$(reason)" DISARMED
	same "$(state)" "[]"
	ended
	$fa enable faller >/dev/null
	same "$(rules)" "[('any', False)]"
	faller 600000
	same "$(reason)" TRACED
	ended
}
it 16.8 "three faults in a row within 10 s of the start disarm; status, images, history say so; enable re-arms" loop
earlier() {
	begin
	faller 600000 # it began before the others, and ends well between them
	crash 11 2
	ended
	crash 11 1
	wait_for 20 is_rules "[('root', True), ('any', False)]"
}
it 16.28 "three in a row are so by their starts: one that began before them and ends well between does not count" earlier
# Descriptor 7 and a shell of sqlite3, which has it for itself.
hold_registry() {
	rm -f "$T/locker" "$T/locked"
	mkfifo "$T/locker"
	sqlite3 -cmd ".timeout 10000" "$R/var/lib/firstalloc/registry.db" <"$T/locker" >"$T/locked" 2>&1 &
	locker=$!
	exec 7>"$T/locker"
	printf 'BEGIN EXCLUSIVE;\nSELECT 1;\n' >&7
	wait_for 20 grep -q 1 "$T/locked"
}
let_registry_go() {
	sleep 0.5 # longer than the keeper has patience
	echo 'COMMIT;' >&7
	exec 7>&-
	wait $locker
}
busy_registry() {
	begin
	crash 11 2
	hold_registry
	crash 11 1
	let_registry_go
	wait_for 20 is_rules "[('root', True), ('any', False)]"
}
it 16.27 "so when somebody holds the registry for a while" busy_registry
starts_left() { $fa images --json >"$T/j"; same "$(json "$T/j" "[r['starts_left'] for r in j['images'] if r['image'] == 'faller']")" "$1"; }
late_starts() {
	begin
	$fa enable faller --starts 4 >/dev/null
	hold_registry
	crash 0 3
	let_registry_go
	wait_for 20 starts_left "[1]"
	crash 0 1
	wait_for 20 starts_left "[]"
}
it 16.29 "a start of a rule for N starts is counted then, too" late_starts
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
	wait_for 20 is_rules "[('$ALICE', True), ('any', False)]"
	faller 600000
	same "$(reason)" TRACED
	ended
	$fa enable faller --user $ALICE --note own >/dev/null
	same "$(rules)" "[('$ALICE', False), ('any', False)]"
	crash 11 3 as $ALICE
	wait_for 20 is_rules "[('$ALICE', True), ('any', False)]"
	$fa show faller | grep -q 'before: own'
}
it 16.10 "a user's crashes disarm for that user only; a rule of one user is disarmed itself" only_alice
# Without a shim the daemon has to look at it while it lives: of more than three it sees three.
crash_unseen() { # USER command...
	local i
	for i in $(seq 20); do
		"${@:2}" "$FALLER" 100 11 >/dev/null 2>&1 || true
		[ "$i" -lt 3 ] || ! is_rules "[('$1', True), ('any', False)]" >/dev/null || return 0
	done
	wait_for 20 is_rules "[('$1', True), ('any', False)]" || rules
}
before_the_bell() { # the shim is in its list, and it dies before it rings: here, because there is no shim
	begin
	crash_unseen root
	is_rules "[('root', True), ('any', False)]"
}
it 16.11 "so do those who die before they could ring" before_the_bell
# A set-user-id program that starts another as it is: who let it do so may send any signal, but the rules of
# the effective user are not his.
others_program() {
	begin
	mkdir -p "$T/m/suid"
	cp /usr/bin/env "$T/m/suid/env"
	chmod 4755 "$T/m/suid/env"
	crash_unseen $ALICE as $ALICE "$T/m/suid/env"
	same "$(rules)" "[('$ALICE', True), ('any', False)]"
}
it 16.16 "a program that runs with another's rights, and whom its user lets crash, disarms nothing of the other's" others_program
# Rules of his own, by which a user fills the room that there is for rules that were disarmed.
no_room_left() {
	begin
	local i n=70
	for i in $(seq $n); do echo "INSERT INTO rule (image, uid, flags, options, depth, stacks, stamp, who) VALUES ('own$i', $ALICE, 1, 32, 8, 1, 0, 'alice');"; done |
		sqlite3 -cmd ".timeout 10000" "$R/var/lib/firstalloc/registry.db"
	published() { grep -q own$n "$R/etc/firstalloc/registry.idx"; }
	wait_for 20 published
	crash 11 3
	wait_for 20 is_rules "[('root', True), ('any', False)]" || true
	same "$(rules)" "[('root', True), ('any', False)]"
	echo "DELETE FROM rule WHERE who = 'alice'" | sqlite3 -cmd ".timeout 10000" "$R/var/lib/firstalloc/registry.db"
}
it 16.17 "disarmed rules of one user leave room for those of others" no_room_left

# --- doctor NAME, PID, UNIT: the machine's own library and line are not ours here, so these are told too
doctor() { "$FA" --root "$R" doctor "$@" --json >"$T/d.json" 2>"$T/err"; }
said() { json "$T/d.json" "[(c['state'], c['text'], c['mend']) for c in j['checks'] if c['name'] == '$1']"; }
says() { said "$1" >"$T/said"; grep -qF -- "$2" "$T/said" || { echo "$1: $2 is not said"; cat "$T/said"; return 1; }; }
ends() { # STATUS command...
	local got=0
	"${@:2}" || got=$?
	same $got "$1"
}
mkdir "$T/m/bin"
doctor_name() {
	begin
	cp "$P/faller" "$T/m/bin/faller"
	ends 1 doctor "$T/m/bin/faller" # the library is not below this root
	says rule "rule "
	says rule "'ok'"
	says program "faller: dynamic, 64 bits"
	says session "s collects it"
	says library "No such file"
	$fa stop s >/dev/null
	doctor faller || true
	says session "no session wants it"
	$fa off >/dev/null
	doctor faller || true
	says switch "firstalloc off"
	says switch "sudo firstalloc on"
	says rule "'ok'"
	$fa on >/dev/null
	$fa enable faller --user 4242 >/dev/null
	$fa disable faller >/dev/null
	doctor faller || true
	says rule "no rule names faller"
	$fa enable faller --user 4242 >/dev/null
	doctor faller || true
	says rule "is for another: user 4242"
	$fa disable faller >/dev/null
	ends 5 doctor /no/such/program
}
it 16.12 "doctor NAME: rule, file, machine, switch and session, each with the cure" doctor_name
# What programs, files and rules of other users are called is theirs: no escape sequence of it reaches a terminal.
escapes() {
	begin
	local evil=$'e\033[2Jv\n' pid
	mkdir -p "$T/m/bin/$evil"
	chmod 777 "$T/m/bin/$evil"
	cp /bin/sleep "$T/m/bin/$evil/$evil"
	"$T/m/bin/$evil/$evil" 600 & pid=$!
	wait_for 20 executes $pid "$T/m/bin/$evil/$evil"
	"$FA" --root "$R" doctor "$pid" >"$T/o" || true
	kill $pid
	echo "INSERT INTO rule (image, uid, flags, options, depth, stacks, stamp, who) VALUES ('x' || char(27) || '[2J', $ALICE, 1, 0, 8, 1, 0, 'a' || char(27) || 'b');" |
		sqlite3 -cmd ".timeout 10000" "$R/var/lib/firstalloc/registry.db"
	$fa stop s >/dev/null
	$fa start s -o "$T/m/bin/$evil/t.falloc" --min-free 0 >/dev/null
	$fa status >>"$T/o"
	echo "DELETE FROM rule WHERE uid = $ALICE" | sqlite3 -cmd ".timeout 10000" "$R/var/lib/firstalloc/registry.db"
	grep -q 'e?\[2Jv' "$T/o"
	grep -q 'x?\[2J' "$T/o"
	same "$(tr -d '\n' <"$T/o" | grep -c $'\033')" 0
}
it 16.18 "doctor and status print no escape sequence of a program, a rule or a file" escapes
doctor_files() {
	begin
	printf 'int main(void){return 0;}' >"$T/p.c"
	printf '#include <stddef.h>\nvoid *malloc(size_t n){return 0;} int main(void){return 0;}' >"$T/own.c"
	gcc -static -o "$T/m/bin/static" "$T/p.c"
	gcc -fno-builtin -o "$T/m/bin/own" "$T/own.c"
	gcc -fsanitize=address -o "$T/m/bin/asan" "$T/p.c"
	cp /bin/true "$T/m/bin/setid"
	chmod u+s "$T/m/bin/setid"
	printf '#!/usr/bin/env sh\n' >"$T/m/bin/script"
	chmod +x "$T/m/bin/script"
	local what
	for what in "static|is linked statically" "own|allocator of its own" "asan|with a sanitizer" \
		"setid|set-user-id" "script|--script"; do
		doctor "$T/m/bin/${what%%|*}" || true
		says program "${what##*|}"
	done
	$fa enable setid --secure >/dev/null
	doctor "$T/m/bin/setid" || true
	says program "'ok'"
	$fa disable setid >/dev/null
}
it 16.13 "doctor tells static, set-user-id, sanitized programs, scripts of env and those with a malloc" doctor_files
doctor_pid() {
	begin
	faller 600000
	ends 0 doctor $S
	says process "$S (faller) is traced since its start, 20"
	ended
	crash 11 3
	wait_for 20 is_rules "[('root', True), ('any', False)]"
	faller 600000
	ends 1 doctor $S
	says process "disarmed after crashes"
	says rule "was disarmed"
	ended
	$fa enable faller >/dev/null
	: >"$T/up"
	"$FALLER" 600000 >"$T/up" & # without the shim
	S=$!
	wait_for 20 grep -q up "$T/up"
	ends 1 doctor $S
	says process "not loaded"
	ended
	ends 5 doctor 999999999
	ends 4 as $ALICE "$T/m/firstalloc" --root "$R" doctor $$
}
cp "$FA" "$T/m/firstalloc"
it 16.14 "doctor PID: traced since when, or why not" doctor_pid
unit() { printf '%s\n' LoadState=loaded "$@" >"$T/m/unit"; }
cat >"$T/m/bin/systemctl" <<-'END'
	#!/bin/sh
	[ "$1" = show ] && [ "$5" = web.service ] || exit 1
	cat "${0%/*}/../unit"
END
chmod +x "$T/m/bin/systemctl"
doctor_unit() {
	begin
	local lib PATH=$T/m/bin:$PATH exec="ExecStart={ path=$FALLER ; argv[]=$FALLER -x ; ignore_errors=no }"
	lib=$(realpath -m "$("$FA" --root "$R" doctor x | sed -n "s|.*problem  library *$R\([^:]*\):.*|\1|p")")
	unit "$exec" User=4243 MemoryDenyWriteExecute=yes
	doctor web.service || true
	says program "$FALLER: dynamic"
	says rule "'ok'"
	same "$(said sandbox)$(said root)" "[][]"
	$fa enable faller --user 4242 >/dev/null
	$fa disable faller >/dev/null
	$fa enable faller --user 4243 >/dev/null
	doctor web.service || true
	says rule "'ok'" # for the unit's user
	local what
	for what in "RootDirectory=/srv/web|root|runs in /srv/web" "InaccessiblePaths=-$lib|sandbox|hides $lib" \
		"NoExecPaths=/usr|sandbox|keeps $lib" "TemporaryFileSystem=/etc:ro|sandbox|hides /etc/firstalloc/registry.idx" \
		"LimitAS=1048576|sandbox|no room"; do
		unit "$exec" "${what%%|*}"
		ends 1 doctor web.service
		what=${what#*|}
		says "${what%%|*}" "${what#*|}"
	done
	unit "$exec" RootDirectory=/srv/web "BindReadOnlyPaths=/etc/ld.so.preload:/etc/ld.so.preload:rbind $lib /etc/firstalloc"
	doctor web.service || true
	says root "'ok'"
	unit "$exec" NoExecPaths=/ "ExecPaths=/usr/bin /usr/lib" LimitAS=infinity TemporaryFileSystem=/var
	doctor web.service || true
	same "$(said sandbox)" "[]"
	unit "$exec" LoadState=not-found
	sed -i 1d "$T/m/unit"
	ends 5 doctor web.service
	ends 1 doctor other.service
	grep -q 'systemctl does not answer' "$T/err"
	$fa disable faller >/dev/null
}
it 16.15 "doctor UNIT: its program as its user, and the settings that keep us out" doctor_unit

# --- rules that end, rules that change while programs start
no_rules() { [ "$(rules)" = "[]" ] && ! grep -q faller "$R/etc/firstalloc/registry.idx"; }
rule_ends() { # how: the running one goes on, the next is not traced; without a firstallocd that would publish
	begin
	[ "$1" = expiry ] && $fa enable faller --for 4s >/dev/null
	faller 600000
	local first=$S
	same "$(reason)" TRACED
	[ "$1" = expiry ] && wait_for 20 no_rules || $fa disable faller >/dev/null
	same "$(reason)" TRACED
	"$FALLER" 0 >/dev/null
	shim_on
	"$FALLER" 100 >/dev/null
	shim_off
	ended $first
	$fa stop s >/dev/null
	same "$(in_trace)" "[($first, 0)]"
}
it 16.16 "expiry: a running program is traced on, the next one is not" rule_ends expiry
it 16.17 "disable: a running program is traced on, the next one is not" rule_ends disable
expired_in_the_index() { # the gate looks at the clock itself
	begin
	$fa enable faller --for 2s >/dev/null
	cp "$R/etc/firstalloc/registry.idx" "$T/idx"
	grep -q faller "$T/idx"
	sleep 2.2
	session
	kill -STOP "$(cat "$R/run/firstalloc/firstallocd.pid")"
	cp "$T/idx" "$R/etc/firstalloc/registry.idx"
	shim_on
	"$FALLER" 20 >/dev/null
	shim_off
	kill -CONT "$(cat "$R/run/firstalloc/firstallocd.pid")"
	$fa stop s >/dev/null
	same "$(in_trace)" "[]"
}
it 16.18 "an expired rule that is still published flags nobody" expired_in_the_index
. "$(dirname "$0")/flips.sh"
it 16.19 "1,000 starts in parallel with enable and disable: each sees one state, none fails or prints" flips 1000
other_version() {
	begin
	$fa enable fake_gate >/dev/null
	"$P/fake_gate" -v 4711 -u /none >"$T/o" &
	S=$!
	wait_for 20 is_state "[('refused', 'VERSION')]"
	ended
	$fa disable fake_gate >/dev/null
}
it 16.20 "a program with a shim of another version is refused and says so" other_version
$fa stop s >/dev/null 2>&1

# --- the whole machine: update, uninstall under load, killed, files removed by hand
shim=$B/libfirstalloc_preload.so
. "$(dirname "$0")/whole.sh"
cp "$shim" "$T/v2.so"
echo 'another version' >>"$T/v2.so"
updated() { private 'set -e
	# each of them has the library mapped when it is replaced, and is traced to its end
	"$FA" install $force --library "$shim" >/dev/null
	cp "$P/faller" /usr/local/bin/faller
	"$FA" enable faller >/dev/null
	"$FA" start s -o "$T/u.falloc" --min-free 0 >/dev/null
	old=$(stat -c %i /usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so)
	for i in $(seq 50); do /usr/local/bin/faller 600000 >"$T/up.$i" 2>"$T/u.$i" & all="${all:-} $!"; done
	for i in $(seq 50); do wait_for 20 grep -q up "$T/up.$i"; done
	"$FA" install $force --library "$T/v2.so" >/dev/null
	new=$(stat -c %i /usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so)
	[ $old != $new ]
	grep -q "$new .*libfirstalloc_preload" /proc/self/maps # new starts have the new one
	for p in $all; do grep -q "libfirstalloc_preload.so (deleted)" /proc/$p/maps; done
	/usr/local/bin/faller 50
	for p in $all; do kill $p; wait $p; done
	cat "$T"/u.[0-9]* | cmp - /dev/null
	"$FA" stop s >/dev/null
	"$FA" uninstall >/dev/null
	silent
	rm /usr/local/bin/faller'
	"$FA" report --json "$T/u.falloc" >"$T/r.json"
	same "$(json "$T/r.json" "(len(j['processes']), j['lost'], min(p['events'] for p in j['processes']) > 20)")" "(51, 0, True)"
}
it 16.21 "an update while 50 traced programs have the library mapped: they go on and lose nothing, new ones have the new" updated
under_load() { private 'set -e
	: >"$T/bad"
	load() { while [ ! -e "$T/stop" ]; do out=$(/bin/sh -c "/bin/true; /bin/echo x" 2>&1) || true
		[ "$out" = x ] || echo "got: $out" >>"$T/bad"; n=$((n + 1)); done; echo $n >>"$T/n"; }
	n=0
	load & a=$!
	load & b=$!
	for i in 1 2 3 4 5 6; do
		"$FA" install $force --library "$shim" >/dev/null
		"$FA" enable true >/dev/null
		"$FA" install $force --library "$T/v2.so" >/dev/null # again, and another one
		"$FA" uninstall >/dev/null
	done
	touch "$T/stop"
	wait $a $b
	cat "$T/n"
	head -5 "$T/bad"
	cmp "$T/bad" /dev/null
	as_before'; }
it 16.22 "install, update and uninstall under load: no start fails or prints" under_load
loading() { private 'set -e
	"$FA" install $force --library "$shim" >/dev/null
	strace -o "$T/calls" -P /etc/ld.so.preload -e inject=close:delay_enter=1500000 /bin/true 2>"$T/err" & a=$!
	wait_for 20 grep -q ld.so.preload "$T/calls"
	"$FA" uninstall >/dev/null
	wait $a
	cat "$T/err"
	cmp "$T/err" /dev/null'; }
if command -v strace >/dev/null; then
	it 16.26 "uninstall waits for a program that has read the list and not yet opened the library" loading
else
	skip 16.26 "uninstall waits for a program that has read the list and not yet opened the library" "no strace"
fi
it 16.23 "install killed before any 12th change of a file: programs start, the next run mends" install_killed 2 12
it 16.24 "uninstall killed before any 12th change of a file: programs start, the next run mends" uninstall_killed 2 12
by_hand() { private 'set -e
	lib=/usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so
	for file in $lib /etc/ld.so.preload /etc/firstalloc/registry.idx /etc/firstalloc/door/bell /etc/firstalloc/door /etc/firstalloc \
		/var/lib/firstalloc/registry.db /var/lib/firstalloc/publish.lock /var/lib/firstalloc/installed /var/lib/firstalloc; do
		"$FA" install $force --library "$shim" >/dev/null
		"$FA" enable cat >/dev/null
		rm -r "$file"
		echo "without $file"
		same "$(/bin/sh -c "/bin/true; echo x" 2>/dev/null)" x
		[ $file = $lib ] || silent
		status=0
		"$FA" doctor >"$T/d" 2>/dev/null || status=$?
		case $file in
		*/publish.lock | */installed) same $status 0 ;; # made again when they are needed
		*/registry.db | /var/lib/firstalloc) same $status 0; grep "^warning *database" "$T/d" >/dev/null ;;
		*) same $status 1; grep "^problem.*firstalloc install" "$T/d" >/dev/null ;;
		esac
		"$FA" install $force --library "$shim" >/dev/null
		silent
		"$FA" doctor >"$T/d" 2>/dev/null || { cat "$T/d"; exit 1; }
		"$FA" uninstall >/dev/null
		silent
	done'; }
it 16.25 "any of our files removed by hand: programs start, doctor says what is missing, install mends" by_hand
results
