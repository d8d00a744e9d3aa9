#!/bin/bash
# 38 - heap snapshots: a table of live blocks in the program, and a look at it that stops nobody.
#
# tests/programs/churned keeps a known set of blocks while 8 threads allocate, resize and free others, also those of
# each other; snapshot_check.py says whether a snapshot holds each of the known ones once, and no address twice.
# tests/programs/live does what it is told on its stdin. Needs root.
OWN_PIDS=yes
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 38 "heap snapshots"
. "$(dirname "$0")/live.sh"
cp "$P/churned" "$T/m/churned"
snapshot() { $fa snapshot "$@"; }
take() { rm -f "$W/$1.falloc"; snapshot take -o "$W/$1.falloc" "${@:2}"; }
known() { "$FA" dump "$W/$1.falloc" >"$T/dump" && python3 "$SRC/tests/spec/snapshot_check.py" "$W/known" "$T/dump"; }
keeps() { snapshot config --pid "$1" | grep -q enabled; }
blocks() { report "$1" "(j['outstanding']['blocks'], j['outstanding']['bytes'])"; }
arenas() { awk '/^3fa[01][0-9a-f]*-/ { n++; on = 1; next } /^[0-9a-f]+-[0-9a-f]+ / { on = 0 } on && $1 == "Rss:" { rss += $2 } END { print n + 0, rss + 0 }' "/proc/$1/smaps"; }
is_given_back() { [ "$(arenas "$1")" = "1 0" ]; }
status_of() { local s=0; "$@" >"$T/o" 2>"$T/e" || s=$?; cat "$T/o" "$T/e" >&2; echo $s; }
$fa start nothing -o "$W/nothing.falloc" --image nobody --min-free 0 >/dev/null

by_name() {
	snapshot config churned | grep -q 'not enabled'
	snapshot config churned enable >"$T/o"
	grep -q 'every new instance keeps a table' "$T/o"
	snapshot config churned | grep -q '^churned: enabled'
	launch a "$T/m/churned" "$W/known" 20000 8
	for n in 1 2 3 4 5; do
		take a --pid "$(pid a)" >"$T/o"
		grep -q "pid $(pid a) (churned): 2[0-9],[0-9]* blocks" "$T/o"
		known a
		tell a more
	done
}
it 38.1 "by name: a snapshot has each block that lived throughout once, under 8 threads of churn; the program goes on" by_name

another() { # of the same process: its old table is kept for a minute
	snapshot config live enable >/dev/null
	launch b "$T/m/live"
	take b --name live
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	tell b "exec $T/m/live x"
	rm /etc/ld.so.preload
	tell b "alloc 321"
	take b --name live >"$T/o"
	cat "$T/o"
	grep -q "pid $(pid b) (live): .*; its table" "$T/o"
	same "$(grep -c "^pid" "$T/o")" 1
	! grep -q ended "$T/o" || return 1
	same "$(report b "j['outstanding']['blocks'] >= 321")" true
	finish b
	snapshot config live disable >/dev/null
}
it 38.19 "a process that executed another program: the table is that one's" another

parts_killed() {
	local part
	for part in collector doorman; do
		$fa status --json >"$T/st.json"
		kill -9 "$(grep -o "\"$part\": [0-9]*" "$T/st.json" | grep -o '[0-9]*$')"
		wait_for 20 take a --pid "$(pid a)"
		known a
		tell a more
		take a --pid "$(pid a)"
		known a
	done
}
it 38.17 "the parts of firstallocd may be killed: the table goes on" parts_killed

reports() {
	"$FA" report --top 20 "$W/a.falloc" >"$T/o"
	grep -q 'keep  churned.c' "$T/o"
	grep -q 'allocate  churned.c' "$T/o"
	"$FA" report --json "$W/a.falloc" >"$T/r.json"
	same "$(json "$T/r.json" "j['outstanding']['blocks'] == j['events']['alloc']")" true
	"$FA" report --view threads "$W/a.falloc" >"$T/o"
	cat "$T/o"
	grep -qE "^ +$(pid a) +$(pid a) +20,0[0-9]* .* churned" "$T/o"
}
it 38.2 "report shows it like a trace: by stack, by thread" reports

views() {
	sum() { "$FA" report --json --view "$1" "$W/a.falloc" >"$T/v.json"; json "$T/v.json" "(sum(r['blocks'] for r in j['rows']), sum(r['bytes'] for r in j['rows']))"; }
	"$FA" report --json "$W/a.falloc" >"$T/r.json"
	local all
	all=$(json "$T/r.json" "(j['outstanding']['blocks'], j['outstanding']['bytes'])")
	for v in sizes ages modules; do same "$(sum $v)" "$all"; done
	same "$(json "$T/v.json" "j['rows'][0]['name'].split('/')[-1]")" churned
	"$FA" report --view sizes "$W/a.falloc" | grep -q 'above 1.0 KiB, up to 2.0 KiB'
	# what it keeps is older than the starts of all the commands since
	"$FA" report --json --view ages --function '^keep$' "$W/a.falloc" >"$T/v.json"
	same "$(json "$T/v.json" "(sum(r['blocks'] for r in j['rows']), 'less than 1 ms' in str(j))")" "(20000, False)"
}
it 38.18 "and by size, age and module" views

stopped() {
	kill -STOP "$(pid a)"
	take a --name churned
	known a
	take b --pid "$(pid a)"
	same "$("$FA" dump "$W/b.falloc" | grep ' block ' | cut -c 30- | sort | sha256sum)" \
		"$("$FA" dump "$W/a.falloc" | grep ' block ' | cut -c 30- | sort | sha256sum)"
	kill -CONT "$(pid a)"
	tell a more
}
it 38.3 "of a stopped program, by its name: two have the same blocks" stopped

killed() {
	kill -KILL "$(pid a)"
	wait_for 10 ended "$(pid a)"
	wait_for 10 same "$(status_of take a --pid "$(pid a)")" 5
	grep -q 'has ended; --post-mortem' "$T/e"
	take a --pid "$(pid a)" --post-mortem >"$T/o"
	grep -q 'it has ended' "$T/o"
	known a
}
it 38.4 "of one that was killed: what it left is there, when it is asked for as such" killed
snapshot config churned disable >/dev/null

by_pid() {
	launch l "$T/m/live"
	snapshot config --pid "$(pid l)" | grep -q 'keeps no table'
	snapshot config --pid "$(pid l)" enable | grep -q 'from its next heap call on'
	tell l "alloc 1000"
	wait_for 10 keeps "$(pid l)"
	tell l "free 10"
	tell l "old 5"
	tell l "grow"
	take l --pid "$(pid l)"
	same "$(blocks l)" "(991, 99900)"
	same "$(report l "j['processes'][0]['origin']")" woken
	"$FA" dump "$W/l.falloc" | grep -q ' block .*size=900 usable=904 '
}
it 38.5 "by PID: an idle process, from its very next heap call on, for its life" by_pid

forks() {
	tell l fork
	local child
	child=$(pgrep -P "$(pid l)")
	tell l "alloc 50"
	tell l "free 7"
	same "$(status_of take f --pid "$child")" 5
	grep -q 'a fork child' "$T/e"
	take l --pid "$(pid l)"
	same "$(blocks l)" "(991, 99900)"
}
it 38.6 "a fork child has no table, and says so; what it does is not in its parent's" forks
finish l

gives_back() {
	launch l "$T/m/live"
	snapshot config --pid "$(pid l)" enable
	tell l "alloc 30000"
	wait_for 10 keeps "$(pid l)"
	take l --pid "$(pid l)"
	same "$(blocks l)" "(30000, 3000000)"
	snapshot config --pid "$(pid l)" disable | grep -q 'given back'
	tell l "alloc 1"
	wait_for 10 is_given_back "$(pid l)"
	same "$(status_of take l --pid "$(pid l)")" 5
	snapshot config --pid "$(pid l)" enable
	tell l "alloc 3"
	wait_for 10 keeps "$(pid l)"
	take l --pid "$(pid l)"
	same "$(blocks l)" "(3, 300)"
}
it 38.7 "disable gives the memory of a running process back, and it can be enabled again" gives_back
finish l

grows() {
	snapshot config live enable >/dev/null
	launch l "$T/m/live"
	tell l "alloc 1000000"
	take l --name live --json >"$T/j"
	same "$(json "$T/j" "(j['processes'][0]['blocks'], j['processes'][0]['refused'])")" "(1000100, 0)"
	same "$(json "$T/j" "j['processes'][0]['table_bytes'] < 24 * 1000000 + (1 << 20)")" true
	tell l "free 900000"
	take l --pid "$(pid l)"
	same "$(blocks l)" "(100100, $((100000 * 100 + 100 * 777)))"
}
it 38.8 "a million blocks: none is refused, each takes at most 24 bytes of the program's memory" grows
finish l
snapshot config live disable >/dev/null

capped() {
	launch l "$T/m/live"
	snapshot config --pid "$(pid l)" --max-memory 1M enable
	tell l "alloc 200000"
	wait_for 10 keeps "$(pid l)"
	take l --pid "$(pid l)" --json >"$T/j" 2>"$T/e"
	same "$(json "$T/j" "j['processes'][0]['blocks'] + j['processes'][0]['refused']")" 200000
	same "$(json "$T/j" "40000 < j['processes'][0]['blocks'] < 66000 and j['processes'][0]['table_bytes'] == 1 << 20")" true
	take l --pid "$(pid l)" 2>"$T/e"
	grep -q 'degraded: 1[0-9][0-9],[0-9]* blocks found no room' "$T/e"
	same "$(status_of "$FA" report "$W/l.falloc")" 3
	grep -q 'events were lost' "$T/o"
	same "$("$FA" report --json --tolerate-lost "$W/l.falloc" 2>/dev/null >"$T/r.json"; json "$T/r.json" "j['lost']")" \
		"$(json "$T/j" "j['processes'][0]['refused']")"
	finish l
}
it 38.9 "a table of at most 1 MB: full, what found no room is counted, the snapshot says so, the program goes on" capped

torn() {
	take_one() { launch l "$T/m/live"; snapshot config --pid "$(pid l)" enable; tell l "alloc 20000"; wait_for 10 keeps "$(pid l)"; }
	take_one
	take l --pid "$(pid l)"
	"$FA" report "$W/l.falloc" >"$T/o"
	grep -q torn "$T/o" && return 1
	head -c $(($(stat -c %s "$W/l.falloc") * 2 / 3)) "$W/l.falloc" >"$W/torn.falloc"
	status_of "$FA" report "$W/torn.falloc"
	cat "$T/o" "$T/e"
	grep -q 'the snapshot is torn' "$T/o"
}
it 38.10 "a snapshot that was cut off is known as such" torn

in_part() {
	sleep 1000 & local other=$!
	same "$(status_of take p --pid "$(pid l),$other" --pid 4194000)" 2
	kill $other
	grep -q "pid $(pid l) (live): 20,000 blocks" "$T/o"
	grep -q "pid $other: no snapshot: it keeps no table" "$T/e"
	grep -q 'pid 4194000: no snapshot' "$T/e"
	same "$(blocks p)" "(20000, 2000000)"
	same "$(status_of take p --pid 4194000)" 5
	[ ! -e "$W/p.falloc" ]
}
it 38.11 "a line and a reason for each process; the exit status says 'in part'; of nothing there is no file" in_part

users() {
	chmod 777 "$W"
	same "$(status_of as $ALICE "$FA" --root "$R" snapshot take --pid "$(pid l)" -o "$W/alice.falloc")" 5
	same "$(status_of as $ALICE "$FA" --root "$R" snapshot config --pid "$(pid l)" disable)" 1
	take l --pid "$(pid l)"
	finish l
	launch l setpriv --reuid $ALICE --regid $ALICE --clear-groups "$T/m/live"
	as $ALICE "$FA" --root "$R" snapshot config --pid "$(pid l)" enable
	tell l "alloc 10"
	wait_for 10 keeps "$(pid l)"
	same "$(status_of as $BOB "$FA" --root "$R" snapshot take --pid "$(pid l)" -o "$W/bob.falloc")" 5
	as $ALICE "$FA" --root "$R" snapshot take --pid "$(pid l)" -o "$W/alice.falloc"
	same "$(blocks alice)" "(10, 1000)"
}
it 38.12 "a user takes snapshots of own processes, and of no others" users
finish l

both() {
	$fa enable live --flags heap,snapshot >/dev/null 2>&1
	$fa start both -o "$W/both.falloc" --min-free 0 >/dev/null
	launch l "$T/m/live"
	tell l "alloc 500"
	tell l "grow"
	tell l "free 20"
	take l --pid "$(pid l)"
	$fa stop both >/dev/null
	same "$(blocks l)" "$(blocks both)"
	sites() { "$FA" dump "$W/$1.falloc" | python3 -c 'import sys
live = {}
for l in sys.stdin:
    w = l.split()
    d = dict(x.split("=", 1) for x in w[2:] if "=" in x)
    if w[1] in ("alloc", "realloc", "block"):
        live.pop(d.get("old_address"), None)
        live[d["address"]] = (d["size"], d["stack"])
    elif w[1] == "free":
        live.pop(d["address"], None)
print(len(live), hash(tuple(sorted(live.items()))))'; }
	export PYTHONHASHSEED=1
	same "$(sites l)" "$(sites both)"
	tell l "alloc 5"
	take l --pid "$(pid l)"
	same "$(report l "j['outstanding']['blocks']")" "$(($(report both "j['outstanding']['blocks']") + 5))"
}
it 38.13 "events and table at once: the same blocks with the same stack ids; the table goes on when the session ends" both

disabled() {
	snapshot config live disable >"$T/o"
	cat "$T/o"
	grep -q '1 running instance gave its table back' "$T/o"
	tell l "alloc 1"
	wait_for 10 is_given_back "$(pid l)"
	$fa disable live >/dev/null
	same "$(snapshot config)" "no name is enabled for snapshots"
}
it 38.14 "disable by name keeps the other flags of the rule, and frees what runs" disabled
finish l

triggers() {
	launch l "$T/m/live"
	snapshot config --pid "$(pid l)" enable
	tell l "alloc 10"
	wait_for 10 keeps "$(pid l)"
	rm -f "$W"/t.* "$W"/x.* "$W"/k.*
	snapshot take --pid "$(pid l)" --when-live 5000 -o "$W/t.falloc" & local live=$!
	snapshot take --pid "$(pid l)" --at-exit -o "$W/x.falloc" & local ending=$!
	snapshot take --pid "$(pid l)" --on-peak -o "$W/k.falloc" & local peak=$!
	wait_for 10 test -s "$W/k.falloc"
	[ ! -e "$W/t.falloc" ]
	tell l "alloc 100"
	wait $live
	same "$(blocks t)" "(110, 11000)"
	wait_for 10 same_blocks k "(110, 11000)"
	tell l "free 60"
	[ ! -e "$W/x.falloc" ]
	kill -9 "$(pid l)"
	wait $ending $peak
	same "$(blocks x)" "(50, 5000)"
	same "$(blocks k)" "(110, 11000)"
}
same_blocks() { [ "$(blocks "$1")" = "$2" ]; }
it 38.15 "when so much is live, whenever it is more than ever, and at the end however it comes" triggers

periodic() {
	launch l "$T/m/live"
	snapshot config --pid "$(pid l)" enable
	tell l "alloc 10"
	wait_for 10 keeps "$(pid l)"
	same "$(status_of snapshot take --pid "$(pid l)" --every 100ms -o "$W/e.falloc")" 2
	snapshot take --pid "$(pid l)" --every 1s --count 2 -o "$W/e.falloc"
	same "$(blocks e.1) $(blocks e.2)" "(10, 1000) (10, 1000)"
	[ ! -e "$W/e.3.falloc" ]
	finish l
}
it 38.16 "every second, twice, into numbered files" periodic

recorded() {
	$fa enable live >/dev/null
	$fa start rec -o "$W/rec.falloc" --min-free 0 >/dev/null
	launch l "$T/m/live"
	tell l "alloc 1000"
	same "$(status_of take l --pid "$(pid l)")" 5
	snapshot config --pid "$(pid l)" enable | grep -q 'from its next heap call on'
	tell l "alloc 1"
	wait_for 10 has_begun l
	local had
	had=$(blocks l)
	tell l "alloc 40"
	tell l "free 10"
	take l --pid "$(pid l)"
	known_since "$had" 30
	snapshot config --pid "$(pid l)" disable | grep -q 'given back'
	tell l "alloc 2"
	same "$(status_of take l --pid "$(pid l)")" 5
	same "$(status_of snapshot config --pid "$(pid l)" enable)" 1
	grep -q 'when that session has ended' "$T/e"
	$fa stop rec >/dev/null
	same "$(report rec "(j['lost'], j['lost_unknown'], j['events']['alloc'] >= 1044)")" "(0, False, True)"
	snapshot config --pid "$(pid l)" enable
	tell l "alloc 5"
	wait_for 10 keeps "$(pid l)"
	take l --pid "$(pid l)"
	same "$(blocks l)" "(5, 500)"
	$fa start rec2 -o "$W/rec2.falloc" --min-free 0 >/dev/null
	tell l fork
	tell l "alloc 3" # by the child
	take l --pid "$(pid l)"
	same "$(blocks l)" "(5, 500)"
	$fa stop rec2 >/dev/null
	finish l
	$fa disable live >/dev/null
}
has_begun() { tell "$1" "alloc 1"; take "$1" --pid "$(pid "$1")"; }
# NAME's first blocks, and so many more of 100 bytes
known_since() { local b; b=$(tr -d '(),' <<<"$1"); same "$(blocks l)" "($((${b% *} + $2)), $((${b#* } + 100 * $2)))"; }
it 38.20 "by PID of a process that a session records already: from then on, beside its events; forks go on without" recorded

stopped_from_elsewhere() {
	launch l "$T/m/live"
	snapshot config --pid "$(pid l)" enable
	tell l "alloc 10"
	wait_for 10 keeps "$(pid l)"
	rm -f "$W"/s.*
	snapshot take --pid "$(pid l)" --every 1s -o "$W/s.falloc" & local every=$!
	snapshot take --name live --every 100s -o "$W/n.falloc" & local named=$!
	snapshot take --pid "$(pid l)" --when-live 1G -o "$W/g.falloc" & local when=$!
	wait_for 10 test -s "$W/s.1.falloc"
	wait_for 10 test -s "$W/n.1.falloc"
	wait_for 10 eval 'grep -qE "@firstalloc-take-[0-9]+-0-$(pgrep -n -f "when-live 1G")$" /proc/net/unix'
	same "$(status_of snapshot take --stop --pid 1)" 5
	same "$(status_of as $ALICE "$FA" --root "$R" snapshot take --stop)" 5
	kill -0 $every && kill -0 $when && kill -0 $named || return 1
	same "$(snapshot take --stop --pid "$(pid l)")" "2 'snapshot take' told to end with these."
	wait $every
	wait $when
	kill -0 $named
	same "$(snapshot take --stop)" "1 'snapshot take' told to end."
	wait $named
	[ ! -e "$W/g.falloc" ]
	same "$(status_of snapshot take --stop)" 5
	finish l
}
it 38.21 "take --stop ends what goes on, of some processes or all; nobody else's" stopped_from_elsewhere

since() {
	snapshot config live enable >/dev/null
	snapshot config live | grep -qE '^live: enabled since [0-9]{4}-'
	$fa status | grep -qE '^  live +flags 0x10  since [0-9]{4}-'
	snapshot config live disable >/dev/null
	! $fa status | grep -qE '^  live +flags' || return 1
}
it 38.22 "config and status say what is armed, and since when" since

full() { # the small arena of `run` has no room for one
	local n collected=()
	for n in 1000 5000; do
		collected+=("$("$FA" run --flags snapshot --only events -o "$W/full$n.falloc" -- valgrind --tool=callgrind \
			--callgrind-out-file=/dev/null "$P/events" same $n 2>&1 | sed -n 's/^==[0-9]*== Collected : //p' | tail -n 1)")
	done
	echo "${collected[@]}"
	[ $(((collected[1] - collected[0]) / 4000)) -gt 250 ]
	[ $(((collected[1] - collected[0]) / 4000)) -lt 800 ]
}
it 38.23 "where there is no room for a table an allocation does not look for it each time" full

results
