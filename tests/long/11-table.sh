#!/bin/bash
# 11 - a week in small: EVENTS (2,000,000,000) heap calls through a set of blocks that stays as large, with a table.
#
# tests/programs/holder exchanges blocks all the time and says how many. The table does not grow, none is refused,
# and in the end the snapshot has what the program holds. Needs root.
OWN_PIDS=yes
. "$(dirname "$0")/../spec/machine.sh"
. "$(dirname "$0")/../spec/lib.sh"
private_machine 11 "a week of a table"
events=${EVENTS:-2000000000} blocks=50000
cd "$T/m" || exit
cp "$P/holder" holder
$fa start nothing -o nothing.falloc --image nobody --min-free 0 >/dev/null
$fa snapshot config holder enable >/dev/null
mkfifo in
echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
./holder $blocks <in >out & holder=$!
exec 9>in
wait_for 60 grep -q ready out
rm -f /etc/ld.so.preload

# One line more of the program: how many exchanges since the last.
said() { [ "$(wc -l <out)" -gt "$1" ]; }
exchanged() {
	local n
	n=$(wc -l <out)
	echo >&9
	wait_for 60 said "$n"
	tail -n 1 out | cut -d ' ' -f 3
}
take() { rm -f s.falloc; $fa snapshot take --pid $holder -o s.falloc --json >j; }
table() { json j "(j['processes'][0]['table_bytes'], j['processes'][0]['refused'])"; }

week() {
	local done=0 first
	exchanged >/dev/null
	take
	first=$(table)
	while [ $done -lt $((events / 2)) ]; do
		sleep 1
		done=$((done + $(exchanged)))
	done
	take
	echo "$done exchanges; the table: $first, then $(table)"
	same "$(table)" "$first"
	# one is between its free and its malloc; and what stdio has
	same "$(json j "$blocks - 1 <= j['processes'][0]['blocks'] <= $blocks + 20")" true
}
it 11.1 "$events heap calls through $blocks blocks: the table stays as large, and nothing is missing" week
kill $holder
results
