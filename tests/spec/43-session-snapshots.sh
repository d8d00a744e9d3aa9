#!/bin/bash
# 43 - heap snapshots in the trace of a session that runs: beside events or without, as many as are taken, told apart by
# their numbers; report, diff and growth read each of them. tests/programs/live does what it is told. Needs root.
OWN_PIDS=yes
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 43 "heap snapshots in a session"
. "$(dirname "$0")/live.sh"
snapshot() { (cd "$W" && $fa snapshot "$@"); }
keeps() { snapshot config --pid "$1" | grep -q enabled; }
status_of() { local s=0; "$@" >"$T/o" 2>"$T/e" || s=$?; cat "$T/o" "$T/e" >&2; echo $s; }
start() { $fa start "$1" -o "$W/$1.falloc" --min-free 0 "${@:2}" >/dev/null; }
view() { "$FA" report --json "$W/$1.falloc" "${@:3}" >"$T/v.json" && json "$T/v.json" "$2"; }
left() { view "$1" "(j['outstanding']['blocks'], j['outstanding']['bytes'])" "${@:2}"; }
list() { view "$1" "[(r['number'], r['pid'] == $2, r['blocks'], r['bytes'], r['torn']) for r in j['rows']]" --view snapshots; }
files() { (cd "$W" && ls -- *.falloc); }
enabled() { snapshot config --pid "$(pid "$1")" enable; tell "$1" "alloc $2"; wait_for 10 keeps "$(pid "$1")"; }

alone() {
	start s
	launch l "$T/m/live"
	enabled l 100
	snapshot take --pid "$(pid l)" --session s >"$T/o"
	cat "$T/o"
	grep -q "pid $(pid l) (live): 100 blocks" "$T/o"
	grep -q '^into session s' "$T/o"
	tell l "alloc 30"
	tell l "free 10"
	snapshot take live -s s
	same "$(list s "$(pid l)")" "[(1, True, 100, 10000, False), (2, True, 120, 12000, False)]"
	$fa stop s >/dev/null
	same "$(list s "$(pid l)")" "[(1, True, 100, 10000, False), (2, True, 120, 12000, False)]"
	same "$(left s --snapshot 1) $(left s --snapshot 2) $(left s)" "(100, 10000) (120, 12000) (0, 0)"
	same "$(view s "(j['rows'][0]['stack'][0]['function'], j['rows'][0]['blocks'])" --snapshot 2 --view outstanding --by function)" \
		"('obey', 120)"
	"$FA" report "$W/s.falloc" | grep -q 'snapshots 1 to 2 are in this trace'
	same "$(files)" s.falloc
}
it 43.1 "of a process that records no events: each moment by its number, and in no report without" alone

compared() {
	"$FA" diff "$W/s.falloc" --from snapshot:1 --to snapshot:2 --json >"$T/d.json"
	json "$T/d.json" "j" >&2
	same "$(json "$T/d.json" "[(s['blocks'], s['bytes']) for s in (j['before'], j['after'])]")" "[(100, 10000), (120, 12000)]"
	same "$(json "$T/d.json" "(j['of_blocks']['added']['blocks'], j['of_blocks']['removed']['blocks'], j['of_blocks']['kept']['blocks'])")" "(20, 0, 100)"
	"$FA" diff "$W/s.falloc" "$W/s.falloc" --from snapshot:1 --to snapshot:2 --json >"$T/e.json"
	same "$(json "$T/e.json" "(j['of_blocks']['added']['blocks'], j['of_blocks']['removed']['blocks'])")" "(20, 0)"
	for at in "--at snapshots" "--at snapshot:2 --at snapshot:1"; do
		"$FA" growth "$W/s.falloc" $at --json >"$T/g.json"
		same "$(json "$T/g.json" "[m['blocks'] for m in j['steps']]")" "[100, 120]"
	done
	same "$(view s "sum(r['blocks'] for r in j['rows'])" --view sizes --at snapshot:1)" 100
	same "$(view s "sum(r['blocks'] for r in j['rows'])" --view ages --snapshot 2)" 120
	same "$(status_of "$FA" report "$W/s.falloc" --snapshot 3)" 5
	grep -q 'there is no snapshot 3' "$T/e"
}
it 43.2 "diff and growth of two of them, sizes and ages of one" compared
finish l

both() {
	$fa enable live --flags heap,snapshot >/dev/null 2>&1
	start b
	launch l "$T/m/live"
	tell l "alloc 500"
	tell l "grow"
	tell l "free 20"
	local before
	before=$(snapshot take --pid "$(pid l)")
	echo "$before"
	grep -q '^into session b' <<<"$before"
	$fa mark one --session b
	tell l "alloc 7"
	snapshot take --name live
	$fa stop b >/dev/null
	same "$(left b --snapshot 2)" "$(left b)"
	same "$(left b --snapshot 1)" "$(left b --range ,mark:one)"
	view b "j['events']['alloc'] >= 507 and j['lost'] == 0" >"$T/o"
	same "$(cat "$T/o")" true
	# what events and blocks say of the same addresses
	same "$("$FA" dump "$W/b.falloc" | python3 "$SRC/tests/spec/snapshot_stacks.py")" "the same stacks for all blocks"
	finish l
	$fa disable live >/dev/null
}
it 43.3 "beside events, by itself into the session that records it: the same blocks with the same stack ids" both

refused() {
	start other --image nobody
	start ring --mode circular --max-file-size 1M
	launch l "$T/m/live"
	enabled l 10
	same "$(status_of snapshot take --pid "$(pid l)" --session none)" 5
	grep -q "no session called 'none'" "$T/e"
	same "$(status_of snapshot take --pid "$(pid l)" --session ring)" 1
	grep -q 'session ring is circular' "$T/e"
	same "$(status_of snapshot take --pid "$(pid l)" --session other --on-peak)" 2
	same "$(status_of snapshot take --pid "$(pid l)" --session other -o x.falloc)" 2
	same "$(status_of as $ALICE "$FA" --root "$R" snapshot take --pid "$(pid l)" --session other)" 5
	start events
	$fa start events --pid "$(pid l)" >/dev/null 2>&1 || true
	finish l
	$fa enable live >/dev/null
	launch l "$T/m/live"
	tell l "alloc 10"
	same "$(status_of snapshot take --pid "$(pid l)" --session events)" 5
	grep -q 'keeps no table' "$T/e"
	$fa disable live >/dev/null
	finish l
	$fa enable live --flags heap,snapshot >/dev/null 2>&1
	launch l "$T/m/live"
	tell l "alloc 10"
	same "$(status_of snapshot take --pid "$(pid l)" --session other)" 1
	grep -q 'session other does not record it' "$T/e"
	same "$(view other "j['rows']" --view snapshots)" "[]"
	snapshot take --pid "$(pid l)" --session events
	$fa disable live >/dev/null
	$fa stop --all >/dev/null
	finish l
}
it 43.4 "why not: no such session, one that keeps not all, one that does not record it, somebody else's, no table" refused

again() {
	start p
	launch l "$T/m/live"
	enabled l 10
	rm -f "$W"/snapshot.*
	snapshot take --pid "$(pid l)" -s p --every 1s --count 2
	tell l "alloc 5"
	snapshot take --pid "$(pid l)" --when-live 1 -s p
	same "$(list p "$(pid l)")" "[(1, True, 10, 1000, False), (2, True, 10, 1000, False), (3, True, 15, 1500, False)]"
	! ls "$W"/snapshot.* 2>/dev/null || return 1
}
it 43.5 "every second, and when so much is live, into the session" again

large() {
	tell l "alloc 300000"
	cp "$P/churned" "$T/m/churned"
	$fa enable churned >/dev/null
	launch c "$T/m/churned" "$W/known" 1000 8
	snapshot take --pid "$(pid l)" -s p & local one=$!
	snapshot take --pid "$(pid l)" -s p & local two=$!
	wait $one
	wait $two
	finish c
	$fa disable churned >/dev/null
	$fa stop p >/dev/null
	same "$(view p "[(r['blocks'], r['torn']) for r in j['rows']][3:]" --view snapshots)" "[(300015, False), (300015, False)]"
	same "$(view p "(j['lost'], j['lost_unknown'])")" "(0, False)"
	same "$(left p --snapshot 5)" "(300015, 30001500)"
	head -c $(($(stat -c %s "$W/p.falloc") / 2)) "$W/p.falloc" >"$W/cut.falloc"
	view cut "'torn' if [r for r in j['rows'] if r['torn']] or len(j['rows']) < 5 else 'whole'" --view snapshots >"$T/o"
	same "$(cat "$T/o")" torn
}
it 43.6 "two large ones at once, while 8 threads of another program are recorded: both whole, nothing is lost" large
finish l

restarted() {
	start k
	launch l "$T/m/live"
	enabled l 50
	snapshot take --pid "$(pid l)" -s k
	$fa status --json >"$T/st.json"
	kill -9 "$(grep -o '"collector": [0-9]*' "$T/st.json" | grep -o '[0-9]*$')"
	wait_for 20 snapshot take --pid "$(pid l)" -s k
	$fa stop k >/dev/null
	same "$(view k "all(not r['torn'] and r['blocks'] == 50 for r in j['rows']) and len(j['rows']) >= 2" --view snapshots)" true
	same "$(left k --snapshot 2)" "(50, 5000)"
	same "$("$FA" dump --records process "$W/k.falloc" | grep -c ' process ')" 1
	finish l
}
it 43.7 "the collector may be killed: what was taken stays, and the session takes more" restarted

results
