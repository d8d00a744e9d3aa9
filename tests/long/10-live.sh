#!/bin/bash
# 10 - attaching to processes that run: a thousand times to one, ten thousand times to processes that are
# another a moment later. Needs root, and a pid namespace of its own.
OWN_PIDS=yes
. "$(dirname "$0")/../spec/machine.sh"
. "$(dirname "$0")/../spec/lib.sh"
private_machine 10 "running processes, often"
cycles=${CYCLES:-1000} tries=${TRIES:-10000}
cp "$P/live" "$P/swapper" "$P/swapped" "$T/m/"
W=$T/m/w2
mkdir -m 777 "$W"
cd "$W" || exit
preload=$T/m/libfirstalloc_preload.so
is_traced() { $fa status | grep -qE "^ +$1 .* traced "; }
no_more_fds() { [ "$(daemon_fds)" -le "$1" ]; }
daemon_fds() {
	local pid n=0
	for pid in $(pgrep firstallocd); do
		n=$((n + $(ls "/proc/$pid/fd" | wc -l)))
	done
	echo $n
}
arenas() { awk '/^3fa0[0-9a-f]*-/ { n++; on = 1; next } /^[0-9a-f]+-[0-9a-f]+ / { on = 0 } on && $1 == "Rss:" { rss += $2 } END { print n + 0, rss + 0 }' "/proc/$1/smaps"; }
is_given_back() { [ "$(arenas "$1")" = "1 0" ]; }
has_maps() { [ "$(wc -l <"/proc/$1/maps")" -le "$2" ]; }

# cycle PID: attached, traced, let go. What it records before the doorman comes may be more than its first segment
# holds, on a machine that is busy with others: that is counted.
cycle() {
	local turn
	$fa start s -o s.falloc --min-free 0 --pid "$1" >o
	for ((turn = 0; turn < 200; turn++)); do
		is_traced "$1" && break
	done
	$fa stop s >o
	grep -q ' lost, 1 process' o || { cat o; return 1; }
}
is_sane() { # its trace
	"$FA" report --json s.falloc >r.json
	same "$(json r.json "(j['unknown_frees'], j['implied_frees'], j['lost'], j['events']['alloc'] > 0)")" "(0, 0, 0, True)"
}

busy() {
	local live i whole=0 fds daemon maps
	mkfifo in
	LD_PRELOAD=$preload "$T/m/live" -t 8 <in >out & live=$!
	exec 7>in
	wait_for 20 grep -q ready out
	for i in $(seq "$cycles"); do
		cycle $live
		grep -q ' 0 lost' o && whole=$((whole + 1))
		if [ $((i % 20)) = 0 ] && grep -q ' 0 lost' o; then
			is_sane
		fi
		if [ "$i" = 5 ]; then
			fds=$(ls /proc/$live/fd | wc -l) maps=$(wc -l </proc/$live/maps)
			wait_for 10 is_given_back $live
			sleep 2 # who is let go is forgotten by then
			daemon=$(daemon_fds)
		fi
		rm -f s.falloc
	done
	[ $whole -gt $((cycles * 9 / 10)) ] || { echo "$whole without loss"; return 1; }
	same "$(ls /proc/$live/fd | wc -l)" "$fds"
	same "$(ls /proc/$live/task | wc -l)" 9
	wait_for 10 has_maps $live $((maps + 2)) # the heap's own come and go
	wait_for 10 is_given_back $live
	wait_for 20 no_more_fds "$daemon"
	echo alloc 5 >&7
	wait_for 10 grep -q done out
	exec 7>&-
	wait $live
	grep -q '^ok' out
}
it 10.1 "$cycles times attached to a process of 8 busy threads and let go: no descriptor, page, mapping or thread more or less" busy

# attacks PID: tries to attach until it has been tried often enough, in portions of many; what came of them in `said`
attacks() {
	local list n=0 status
	list=$(printf "$1%.0s," $(seq 500))
	: >said
	while [ $n -lt "$tries" ]; do
		rm -f s.falloc
		status=0
		$fa start s -o s.falloc --min-free 0 --pid "${list%,}" >>said 2>&1 || status=$?
		$fa stop s >/dev/null 2>&1 || true
		n=$((n + 500))
	done
	grep -o 'attached.*' said | sed 's/(.*//' | sort | uniq -c
}
# in_between: the other program, or process, was there when its predecessor was meant
in_between() { grep -cE 'another program|has ended|no such process|statically' said; }

exec_meanwhile() {
	local pid
	rm -f stop
	LD_PRELOAD=$preload "$T/m/swapper" exec "$T/m/swapped" >out 2>&1 & pid=$!
	wait_for 20 grep -q 64 out
	attacks $pid
	: >stop
	wait $pid || { echo "ended with $?"; tail -n 1 out; return 1; }
	grep ok out
	[ "$(sed -n 's/^ok //p' out)" -gt $((tries / 100)) ]
	same "$(grep -c 'pid .*attached' said)" "$tries"
	[ "$(grep -c 'another program' said)" -gt $((tries / 2000)) ]
	[ "$(in_between)" -gt $((tries / 100)) ]
}
it 10.2 "$tries tries to attach to a process that executes other programs all the time: none of these is hit" exec_meanwhile

same_number() {
	local pid
	rm -f stop
	LD_PRELOAD=$preload "$T/m/swapper" pid "$T/m/swapped" 300000 >out 2>&1 & pid=$!
	wait_for 20 grep -q 64 out
	attacks 300000
	: >stop
	wait $pid || { echo "ended with $?"; tail -n 1 out; return 1; }
	grep ok out
	[ "$(sed -n 's/^ok //p' out)" -gt $((tries / 100)) ]
	same "$(grep -c 'pid .*attached' said)" "$tries"
	[ "$(in_between)" -gt $((tries / 100)) ]
}
it 10.3 "$tries tries on a PID that one process has after the other: none that was not meant is hit" same_number

results
