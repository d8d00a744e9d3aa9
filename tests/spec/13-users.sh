#!/bin/bash
# 13 - users: who may do what, and what hostile ones can do. Claims:
#   13.1-13.9    rules through the keeper: members of the group all, others their own, within bounds
#   13.10-13.13  malformed requests, floods, descriptors that nobody asked for: refused, nothing leaks
#   13.14-13.18  the doorbell under attack: others are not held up, no part dies
#   13.19-13.24  traces of users; folders, locks and rights
#   13.26        users take turns at the doorbell
#   13.25        the cap on what is written for a user
# Needs root (machine.sh).
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 13 "users"
rm -r "$R/etc/firstalloc/door" # firstallocd makes it
mkdir "$T/m/bin"
for f in "$B/firstallocd" "$P/fake_gate" "$P/attack_bell" "$P/attack_socket"; do
	[ -x "$f" ] || { echo "build $f first"; exit 1; }
done

cp "$P/fake_gate" "$T/m/bin/gate"
cp "$P/attack_bell" "$P/attack_socket" "$FA" "$B/firstallocd" "$T/m/bin/"
gate=$T/m/bin/gate bell=$T/m/bin/attack_bell sock=$T/m/bin/attack_socket
fa="$T/m/bin/firstalloc --root $R"
ALICE=23451 BOB=23452 GROUP=23999
grep -v '^firstalloc:' /etc/group >"$T/group"
echo "firstalloc:x:$GROUP:" >>"$T/group"
cp "$T/group" /etc/group
echo "alicefa:x:$ALICE:$ALICE::/:/bin/sh" >>/etc/passwd
as() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
alice=(setpriv --reuid $ALICE --regid $ALICE --clear-groups) # in the background, where $! has to be the program itself
member() { setpriv --reuid $BOB --regid $BOB --groups $GROUP "$@"; }
mkdir -m 777 "$T/m/tmp"
W=$T/m/tmp
K=$R/run/firstalloc/keeper C=$R/run/firstalloc/control
status_of() { local s=0; "$@" >"$T/o" 2>"$T/e" || s=$?; echo $s; } # its output: $T/o, $T/e
pid_of() { $fa status --json >"$T/st.json"; json "$T/st.json" "j['daemon']['$1']"; }
start() { rm -f "$W/$1.falloc"; $fa start "$1" -o "$W/$1.falloc" --min-free 0 "${@:2}"; }
rules() { $fa images --json >"$T/i.json"; json "$T/i.json" "$1"; }
alive() { same "$(pid_of restarts)" 0; }

without() {
	$fa enable root.only >/dev/null
	same "$(status_of as $ALICE $fa enable mine --user self)" 4
	cat "$T/e"
	grep -q 'no firstallocd is running' "$T/e"
	grep -q 'run it as root' "$T/e"
	same "$(wc -l <"$T/e")" 1
}
it 13.1 "without a firstallocd a user's enable fails with 4 and says what to do" without

start base >/dev/null
own() {
	as $ALICE $fa enable mine --user self --depth 20 >"$T/o"
	cat "$T/o"
	grep -q '^mine: enabled' "$T/o"
	same "$(rules "[(r['uid'], r['depth'], r['who']) for r in j['images'] if r['image'] == 'mine']")" "[($ALICE, 20, 'alicefa')]"
	as $ALICE $fa enable mine --user self | grep -q '^mine: changed'
	$fa history mine >"$T/o"
	cat "$T/o"
	grep -q alicefa "$T/o"
}
it 13.2 "a user enables for own processes; rule and history name the user" own

others() {
	same "$(status_of as $ALICE $fa enable mine)" 4
	grep -q -- '--user self' "$T/e"
	same "$(status_of as $ALICE $fa enable mine --user 0)" 4
	same "$(status_of as $ALICE $fa enable mine --user $BOB)" 4
	for o in --secure --pid1 --record-args; do
		same "$(status_of as $ALICE $fa enable mine --user self $o)" 4
	done
	as $ALICE $fa enable mine --user self --script >/dev/null
	for uid in 0 $BOB 4294967295; do same "$(as $ALICE "$sock" "$K" put x $uid 0)" "error 1"; done
	same "$(as $ALICE "$sock" "$K" put x $ALICE 2)" "error 1"
}
it 13.3 "not for others or for all, not with options that reach further" others

disables() {
	$fa enable mine --path /usr/bin/mine --user $ALICE >/dev/null
	$fa enable mine >/dev/null
	same "$(status_of as $BOB $fa disable mine)" 4
	grep -q 'not yours' "$T/e"
	as $BOB $fa disable --all | grep -q '^0 rules removed'
	as $ALICE $fa disable mine >"$T/o"
	grep -q '1 rule of yours removed; 2 of others stay' "$T/o"
	same "$(status_of as $ALICE $fa enable mine --path /usr/bin/mine --user self)" 4
	grep -q 'was made by' "$T/e"
	same "$(status_of as $ALICE $fa disable nothing)" 5
	$fa disable mine | grep -q '2 rules removed'
}
it 13.4 "a user disables and replaces only what he made himself" disables

group() {
	member $fa enable any --secure >/dev/null
	member $fa enable any --user $ALICE >/dev/null
	member $fa disable root.only >/dev/null
	member $fa disable any | grep -q '2 rules removed'
	$fa history any | grep -q "uid $BOB"
}
it 13.5 "a member of the group changes any rule" group

works() {
	as $ALICE $fa enable gate --user self >/dev/null
	grep -q gate "$R/etc/firstalloc/registry.idx"
	as $ALICE $fa disable gate >/dev/null
	! grep -q gate "$R/etc/firstalloc/registry.idx" || return 1
}
it 13.6 "when the command returns the change is published" works

bounded() {
	same "$(status_of as $ALICE $fa enable $(seq -f 'r%g' 70) --user self)" 1
	same "$(grep -c ': enabled' "$T/o")" 64
	grep -q 'the limit for a user' "$T/e"
	as $ALICE $fa disable --all | grep -q '64 rules removed'
	long=$(printf '%0250d' 0)
	same "$(status_of as $BOB $fa enable $(seq -f "$long%g" 40) --user self)" 1
	grep -q 'the room that users have' "$T/e"
	as $BOB $fa disable --all >/dev/null
	$fa enable still.room >/dev/null && $fa disable still.room >/dev/null || return 1
}
it 13.7 "a user's rules are bounded in number and bytes; root finds room" bounded

rate() {
	for i in $(seq 200); do as 23460 "$sock" "$K" put x 23460 0; done >"$T/o"
	grep -q 'error 16' "$T/o"
	[ "$(grep -c 'error 0' "$T/o")" -le 140 ]
	as $ALICE $fa enable other --user self >/dev/null
	as $ALICE $fa disable other >/dev/null
	$fa disable x >/dev/null
}
it 13.8 "who changes rules without end is told to wait; others are not" rate

root_direct() {
	$fa enable direct >/dev/null
	same "$(stat -c '%a %U' "$R/var/lib/firstalloc/registry.db")" "640 root"
	$fa disable direct >/dev/null
}
it 13.9 "the registry stays root's" root_direct

malformed() {
	for n in 0 1 63 5423 5425 60000; do
		r=$(as $ALICE "$sock" "$K" size $n)
		[ "$r" = "error 71" ] || [ "$r" = closed ] || { echo "$n: $r"; return 1; }
	done
	same "$(as $ALICE "$sock" "$K" size 5424)" "error 71"
	same "$(as $ALICE "$sock" "$K" text)" "error 22"
	same "$(as $ALICE "$sock" "$K" hidden)" "error 22"
	same "$(as $ALICE "$sock" "$K" put a/b $ALICE 0)" "error 22"
	same "$(as $ALICE "$sock" "$K" put .. $ALICE 0)" "error 22"
	same "$(as $ALICE "$sock" "$K" put firstallocd $ALICE 0)" "error 22"
	same "$(as $ALICE "$sock" "$K" put x $ALICE 64)" "error 22"
	as $ALICE "$sock" "$K" noise 600
	as $ALICE "$sock" "$C" noise 600
	alive
}
it 13.10 "requests of a wrong size, without an end, with bad names: refused, all parts live" malformed

leaks() {
	c=$(pid_of collector) k=$(pid_of keeper)
	before="$(ls /proc/$c/fd | wc -l) $(ls /proc/$k/fd | wc -l)"
	as $ALICE "$sock" "$C" fds 400
	as $ALICE "$sock" "$K" fds 400
	as_before() { same "$(ls /proc/$c/fd | wc -l) $(ls /proc/$k/fd | wc -l)" "$before"; }
	wait_for 20 as_before || as_before
	alive
}
it 13.11 "descriptors that come with a request and were not asked for are closed" leaks

floods() {
	"${alice[@]}" "$sock" "$K" hold 300 >"$T/h1" & "${alice[@]}" "$sock" "$C" hold 300 >"$T/h2" &
	wait_for 20 grep -q holding "$T/h1"
	wait_for 20 grep -q holding "$T/h2"
	as $BOB $fa enable mine --user self >/dev/null
	as $BOB $fa disable mine >/dev/null
	as $BOB $fa status >/dev/null
	as $ALICE "$sock" "$C" deaf 3000
	$fa status >/dev/null
	kill %1 %2 2>/dev/null
	wait
	alive
}
it 13.12 "who holds hundreds of connections or reads no answer keeps nobody else out" floods

locked() {
	python3 - "$R/run/firstalloc" $ALICE <<-'P'
		import fcntl, os, sys
		os.setresgid(*[int(sys.argv[2])]*3); os.setgroups([]) if os.geteuid() == 0 else None
		os.setresuid(*[int(sys.argv[2])]*3)
		try: open(sys.argv[1] + '/lock'); sys.exit('the lock can be opened')
		except PermissionError: pass
	P
	same "$(stat -c '%a %n' "$R"/run/firstalloc/* | sed 's|[^ ]*/||' | tr '\n' ,)" "666 control,644 firstallocd.pid,666 keeper,600 lock,"
	! "$T/m/bin/firstallocd" --root "$R" 2>"$T/o" || return 1
	grep -q 'another firstallocd is running already' "$T/o"
	same "$(wc -l <"$T/o")" 1
}
it 13.13 "nobody but root can take the lock of firstallocd; a second one says that one runs" locked

# Not by the clock, which a busy machine has for itself, but in time of a processor.
cost() {
	local n=40
	bells >"$T/before"
	for i in $(seq $n); do as $BOB "$gate" -n 10; done >"$T/o"
	same "$(grep -c '^answer 1 ' "$T/o")" $n
	us=$(($(spent) / n))
	echo "$us us an answer"
	[ $us -gt 0 ] && [ $((us * 5)) -lt 10000 ] || return 1 # with the four before it
	alive
}
# The threads that answer, and how long each has run, in ns.
bells() { for t in $(grep -lx fa-bell "/proc/$(pid_of doorman)"/task/*/comm); do echo "$t $(cut -d ' ' -f 1 "${t%comm}schedstat")"; done; }
# By those that are still there, since $T/before: in us.
spent() { bells | awk 'NR == FNR { had[$1] = $2; next } { s += $2 - had[$1] } END { print int(s / 1000) }' "$T/before" -; }
if [ -e /proc/self/schedstat ]; then
	it 13.27 "an answer, and those that may come before it, take less than 10 ms of a processor" cost
else
	skip 13.27 "an answer, and those that may come before it, take less than 10 ms of a processor" "no schedstat"
fi

us_of() { sed -n 's/^answer.* us \([0-9]*\).*/\1/p' "$1" | sort -n | tail -n 1; }
many() {
	"${alice[@]}" "$bell" many 3000 32 & attack=$!
	sleep 0.2
	for i in 1 2 3 4 5; do as $BOB "$gate" -n 10; done >"$T/o"
	kill $attack 2>/dev/null
	wait $attack || true
	same "$(grep -c '^answer 1' "$T/o")" 5
	echo "slowest $(us_of "$T/o") us"
	[ "$(us_of "$T/o")" -lt 400000 ]
	alive
}
it 13.14 "100,000 rings of one user hold up others' starts by less than 0.4 s" many

# The doorman is stopped, the keeper too (it would replace it), until all wait: eighty of Alice's before Bob's one.
turns() {
	d=$(pid_of doorman) k=$(pid_of keeper)
	kill -STOP "$k" "$d"
	rm -f "$T"/turn.*
	gates=()
	all_wait() { for p in "${gates[@]}"; do grep -q fanotify "/proc/$p/wchan" || return 1; done; }
	for i in $(seq 80); do
		setpriv --reuid $ALICE --regid $ALICE --clear-groups "$gate" -n 2 >"$T/turn.$i" & gates+=($!)
	done
	wait_for 20 all_wait
	setpriv --reuid $BOB --regid $BOB --clear-groups "$gate" -n 2 >"$T/turn.bob" & gates+=($!)
	wait_for 20 all_wait
	kill -CONT "$d" "$k"
	wait "${gates[@]}"
	same "$(cat "$T"/turn.* | grep -c '^answer 1 ')" 81
	before=$(sed -n 's/^answer.* turn \([0-9]*\).*/\1/p' "$T"/turn.[0-9]* | awk -v bob="$(sed -n 's/^answer.* turn \([0-9]*\).*/\1/p' "$T/turn.bob")" '$1 < bob' | wc -l)
	echo "$before of Alice's 80 had their turn before Bob's one"
	[ "$before" -le 4 ] # no more than there are workers
	alive
}
it 13.26 "whose single ring stands behind eighty of another user has its turn before most of them" turns

slow() {
	"${alice[@]}" "$bell" slow 2500 16 & attack=$!
	sleep 0.6
	for i in 1 2 3 4 5 6; do as $BOB "$gate" -n 10; done >"$T/o"
	wait $attack
	cat "$T/o"
	echo "slowest $(us_of "$T/o") us"
	[ "$(grep -c '^answer 1' "$T/o")" -ge 4 ]
	[ "$(us_of "$T/o")" -lt 1000000 ]
	alive
	wait_for 20 eval 'as $ALICE "$gate" | grep -q "answer 1 "'
}
it 13.15 "rings of programs that hold the lock of 64,000 mappings: others go on, no part is killed" slow

killed() {
	d=$(pid_of doorman)
	as $ALICE "$bell" kill 150
	as $BOB "$gate" | grep -q 'answer 1 '
	alive
	gone() { [ "$(ls /proc/$d/fd | wc -l)" -le 60 ]; }
	wait_for 20 gone
}
it 13.16 "programs that are killed while they wait leave nothing behind" killed

memory() {
	same "$(as $ALICE "$bell" memfd)" "answer 0"
	start mine2 >/dev/null
	$fa stop mine2 >/dev/null
	$fa stop base >/dev/null
	as $ALICE $fa start own -o "$W/own.falloc" --min-free 0 >/dev/null
	same "$(as $ALICE "$bell" guarded)" "answer 2"
	as $ALICE "$gate" | grep -q 'answer 1 '
	as $ALICE $fa stop own >/dev/null
	start base >/dev/null
	as $ALICE "$bell" guarded | grep -q 'answer [13]' # 3: and then it was found to be empty
}
it 13.17 "a memfd is no arena; a process guarded from its user is in system sessions only" memory

names() {
	bad=$(printf '%s/x\n2026 fake\033[31m' "$W")
	cp "$gate" "$bad"
	"$bad" -n 10 >/dev/null
	sleep 0.3
	! grep -aq "$(printf '\033')" "$R/var/log/firstalloc/firstallocd.log" || return 1
	! grep -aq '^2026 fake' "$R/var/log/firstalloc/firstallocd.log" || return 1
}
it 13.18 "a program's name cannot write lines of its own into the log" names

files() {
	cd "$W"
	mkfifo "$W/p"; chmod 666 "$W/p"
	cat "$W/p" >/dev/null & reader=$!
	! as $ALICE $fa start f1 -o "$W/p" 2>"$T/o" || return 1
	grep -q 'a pipe is for root' "$T/o"
	kill $reader 2>/dev/null || true; rm -f "$W/p"
	for i in 1 2 3 4 5 6 7 8; do as $ALICE $fa start s$i -o "$W/s$i.falloc" --min-free 0 >/dev/null; done
	! as $ALICE $fa start s9 -o "$W/s9.falloc" --min-free 0 2>"$T/o" || return 1
	grep -q 'the limit for a user' "$T/o"
	as $ALICE $fa stop --all >/dev/null
	alive
}
it 13.19 "a user's trace is a file with a name; so many sessions and no more" files

rights() {
	for part in keeper doorman collector; do
		p=$(pid_of $part)
		grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/$p/status | tr -s '\t\n' ' ' >"$T/$part"
		echo "$part $(cat "$T/$part")"
		grep -q 'NoNewPrivs: 1' "$T/$part"
		grep -q 'CapInh: 0000000000000000' "$T/$part"
		grep -q 'CapAmb: 0000000000000000' "$T/$part"
		# not dumpable: what lies in /proc/PID is root's
		same "$(stat -c %u /proc/$p/environ)" 0
	done
	grep -q 'CapPrm: 00000000002811ef CapEff: 00000000002811ef CapBnd: 00000000002811ef' "$T/keeper"
	grep -q 'CapPrm: 00000000002810c4 CapEff: 00000000002810c4 CapBnd: 00000000002810c4' "$T/doorman"
	grep -q 'CapPrm: 0000000000000000 CapEff: 0000000000000000 CapBnd: 0000000000000000' "$T/collector"
	! grep -Eq '(Uid|Gid):.* 0 ' "$T/collector" || return 1
	grep -q 'Max processes *0 ' /proc/$(pid_of collector)/limits
	grep -q '^Seccomp:.*2' /proc/$(pid_of collector)/status
}
it 13.20 "rights are gone for good in all three parts, in the bounding set too" rights

inherited() {
	kill "$(pid_of keeper)"
	wait_for 20 test ! -e "$C"
	echo secret >"$W/secret"
	exec 9<"$W/secret"
	"$T/m/bin/firstallocd" --root "$R"
	exec 9<&-
	for part in keeper doorman collector; do
		! ls -l /proc/$(pid_of $part)/fd | grep -q secret || return 1
	done
	start base >/dev/null
	c=$(pid_of collector)
	! ls -l /proc/$c/fd | grep -Eq 'registry|lock|firstallocd.pid' || return 1
	d=$(pid_of doorman)
	! ls -l /proc/$d/fd | grep -Eq 'registry|lock|falloc' || return 1
}
it 13.21 "no part inherits a descriptor that it is not meant to have" inherited

folders() {
	mkdir -m 755 "$W/his"; chown $ALICE "$W/his"
	! "$T/m/bin/firstallocd" --root "$W/his" 2>"$T/o" || return 1
	cat "$T/o"
	grep -q 'a user other than root could change' "$T/o"
	same "$(ls -A "$W/his")" ""
	kill "$(pid_of keeper)"
	wait_for 20 test ! -e "$C"
	mkdir "$R/u"; mkdir -m 755 "$R/u/his"; chown $ALICE "$R/u/his"
	ln -s "$R/etc" "$R/u/his/link"
	echo precious >"$R/etc/victim"
	printf '[Autologger a]\nStart = 1\nFileName = /u/his/a.falloc\n[Autologger b]\nStart = 1\nFileName = /u/his/link/victim\n[Autologger c]\nStart = 1\nFileName = /u/new/c.falloc\n' >"$R/etc/firstalloc/firstalloc.ini"
	"$T/m/bin/firstallocd" --root "$R"
	same "$(cat "$R/etc/victim")" precious
	same "$(ls -A "$R/u/his")" link
	for a in a; do grep -q 'could change its folder' "$R/var/lib/firstalloc/autologger/$a.status"; done
	[ -e "$R/u/new/c.falloc" ]
	rm "$R/etc/firstalloc/firstalloc.ini"
}
it 13.22 "root writes below no folder that a user could replace: --root, autologgers" folders

stale() {
	kill -9 "$(pid_of keeper)"
	not_running() { $fa status | grep -q 'not running'; }
	wait_for 20 not_running
	[ -e "$C" ] && [ -e "$R/run/firstalloc/firstallocd.pid" ] || return 1
	same "$(status_of as $ALICE $fa enable mine --user self)" 4
	! as $ALICE $fa start x -o "$W/x.falloc" 2>"$T/o" || return 1
	grep -q 'only root can start' "$T/o"
	[ ! -e "$W/x.falloc" ]
	start again >"$T/o"
	grep -q 'started in the background' "$T/o"
	as $ALICE $fa enable mine --user self >/dev/null
	same "$(status_of as $ALICE "$T/m/bin/firstallocd" --root "$R")" 4
	grep -q 'only root' "$T/e"
}
it 13.23 "sockets and pid file of a killed firstallocd are in nobody's way" stale

clean() {
	kill "$(pid_of keeper)"
	wait_for 20 test ! -e "$C"
	same "$(ls -A "$R/run/firstalloc")" ""
}
it 13.24 "when it ends it takes its sockets, pid file and lock away" clean

# Two sessions of Alice's end at the cap and no third one starts; Bob's and root's go on.
written() {
	printf '[Daemon]\nWrittenPerUser = 1\n' >"$R/etc/firstalloc/firstalloc.ini"
	"$T/m/bin/firstallocd" --root "$R"
	start rooted >/dev/null
	as $BOB $fa start bobs -o "$W/bobs.falloc" --min-free 0 >/dev/null
	for s in one two; do as $ALICE $fa start $s -o "$W/$s.falloc" --min-free 0 >/dev/null; done
	for _ in $(seq 100); do
		as $ALICE "$gate" -n 100000 >/dev/null
		$fa status --json >"$T/st.json"
		[ "$(json "$T/st.json" "any(s['state'] == 'ended' for s in j['sessions'])")" = false ] || break
	done
	$fa status --json >"$T/st.json"
	end="its user's limit for written bytes was reached (WrittenPerUser)"
	same "$(json "$T/st.json" "sorted((s['name'], s['state'], s.get('end')) for s in j['sessions'] if s['state'] == 'ended')")" \
		"[('one', 'ended', \"$end\"), ('two', 'ended', \"$end\")]"
	sum=$(($(stat -c %s "$W/one.falloc") + $(stat -c %s "$W/two.falloc")))
	echo "written: $sum"
	[ $sum -ge 1048576 ]
	[ $sum -lt 6000000 ] # and what was in the arenas
	for s in one two; do
		"$FA" dump --no-events "$W/$s.falloc" | tail -n 1 | grep -q 'end .*reason=written-limit'
	done
	same "$(status_of as $ALICE $fa start three -o "$W/three.falloc" --min-free 0)" 1
	grep -q 'as much for you as it may' "$T/e"
	as $ALICE $fa stop --all >/dev/null 2>"$T/e"
	same "$(status_of as $ALICE $fa start three -o "$W/three.falloc" --min-free 0)" 1
	for _ in $(seq 20); do # into root's alone
		[ "$(stat -c %s "$W/rooted.falloc")" -lt 1200000 ] || break
		as 23453 "$gate" -n 200000 >/dev/null
	done
	kill -9 "$(pid_of collector)" # what stands in Bob's and root's traces is paid once more
	wait_for 20 $fa status
	wait_for 20 eval 'as $BOB "$gate" -n 1000 | grep -q "answer 1 "'
	$fa status --json >"$T/st.json"
	same "$(json "$T/st.json" "sorted((s['name'], s['state']) for s in j['sessions'])")" "[('bobs', 'running'), ('rooted', 'running')]"
	[ "$(stat -c %s "$W/rooted.falloc")" -gt 1048576 ]
	rm "$R/etc/firstalloc/firstalloc.ini"
	kill "$(pid_of keeper)"
	wait_for 20 test ! -e "$C"
}
it 13.25 "what is written for one user has a cap: his sessions end and say why, others' go on" written
results
