#!/bin/bash
# 7-run.sh - `firstalloc run`: status, signals, folder, choice of processes. Needs no root.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$T" || exit 1

status_of() { "$@" >/dev/null 2>&1; echo $?; }
records() { "$FA" dump "$1" --no-events 2>/dev/null | grep -c " $2 "; }

statuses() {
	same "$(status_of "$FA" run -o a -- true)" 0
	same "$(status_of "$FA" run -o a -- sh -c 'exit 7')" 7
	same "$(status_of "$FA" run -o a -- sh -c 'kill -9 $$')" 137
	same "$(status_of "$FA" run -o a -- ./nothing)" 127
	same "$(status_of "$FA" run -o a -- nothing-of-that-name)" 127
	same "$(status_of "$FA" run -o a -- /etc/passwd)" 126
	same "$(status_of "$FA" run -o /nowhere/a -- true)" 125
	same "$(status_of "$FA" run -o a --depth 0 -- true)" 2
}
it 7.1 "the exit status is that of the command, or says why it did not run" statuses

same_output() {
	same "$("$FA" run -o a -- sh -c 'ls / ; echo no >&2' 2>&1)" "$(ls /; echo no)"
}
it 7.2 "output and stderr of the command are untouched" same_output

whole_trace() {
	"$FA" run -o a -- sh -c 'ls / | sort; exit 3' >/dev/null || true
	"$FA" dump a --no-events >dump
	grep -q 'end .*lost=0 reason=target-ended' dump
	grep -q 'process_end .*exit=3' dump
	grep -q ' process .*exe="[^"]*/ls"' dump
	grep -q ' process .*exe="[^"]*/sort"' dump
}
it 7.3 "all programs that the command starts are in the trace" whole_trace

default_name() {
	mkdir -p names && cd names && "$FA" run true
	ls | grep -Eqx 'firstalloc\.true\.[0-9]+\.falloc'
}
it 7.4 "without -o the trace is named after the command and its pid" default_name

only() {
	"$FA" run -o a --only sort -- sh -c 'ls / | sort' >/dev/null
	"$FA" dump a --no-events | grep ' process ' >dump
	same "$(wc -l <dump)" 1
	grep -q '/sort"' dump
}
it 7.5 "--only records the named programs alone" only

environment() {
	local so=$B/libfirstalloc_preload.so
	cp "$so" other.so
	LD_PRELOAD=$T/other.so "$FA" run -o a -- sh -c 'echo "$LD_PRELOAD"' >out
	same "$(cat out)" "$so:$T/other.so"
}
it 7.6 "what was preloaded before stays, behind ours" environment

folder() {
	local dir
	dir=$("$FA" run -o a -- sh -c 'stat -c "%a %u" "$FIRSTALLOC_RUN_DIR" >mode; echo "$FIRSTALLOC_RUN_DIR"')
	same "$(cat mode)" "700 $(id -u)"
	[ -n "$dir" ] && [ ! -e "$dir" ] || return 1
}
it 7.7 "its folder is closed to others and gone at the end" folder

dead_folder() {
	local dir pid
	rm -f where
	"$FA" run -o a -- sh -c 'echo "$FIRSTALLOC_RUN_DIR" >where.new; echo $$ >child; mv where.new where; exec sleep 20' &
	pid=$!
	wait_for 20 test -s where
	kill -KILL $pid
	wait $pid || true
	dir=$(cat where)
	[ -d "$dir" ]
	"$FA" run -o b -- true
	kill "$(cat child)"
	[ ! -e "$dir" ]
	"$FA" dump a >/dev/null # readable, though it has no end
}
it 7.8 "the folder of a command that was killed is removed by the next" dead_folder

terminated() {
	local pid status=0
	rm -f up
	"$FA" run -o a -- sh -c 'trap "exit 9" TERM; echo >up; while :; do sleep 0.05; done' &
	pid=$!
	wait_for 20 test -s up
	kill -TERM $pid
	wait $pid || status=$?
	same "$status" 9
	"$FA" dump a --no-events | grep -q ' end '
}
it 7.9 "SIGTERM goes on to the command, and the trace is ended properly" terminated

left_behind() {
	"$FA" run -o a -- sh -c '(sleep 5; ls / >/dev/null) &' # long after the end of the trace
	"$FA" run -o b --wait -- sh -c '(sleep 0.3; ls / >/dev/null) &'
	same "$("$FA" dump a --no-events | grep -c 'exe="[^"]*/ls"')" 0
	same "$("$FA" dump b --no-events | grep -c 'exe="[^"]*/ls"')" 1
}
it 7.10 "the trace ends with the command, with --wait with the last of its processes" left_behind

late_child() {
	"$FA" run -o a --wait -- "$P/late_child" 1200
	same "$("$FA" report --json --view total --size 77,78 a | json /dev/stdin "sum(r['blocks'] for r in j['rows'])")" 1000
}
it 7.16 "a child that uses the heap long after its parent has gone is traced, too" late_child

arguments() {
	"$FA" run -o a -- sh -c ': secret' >/dev/null
	! "$FA" dump a --no-events | grep -q secret || return 1
	"$FA" run -o b --record-args -- sh -c ': secret; sleep 1' >/dev/null
	"$FA" dump b --no-events | grep ' process ' | grep -q secret
}
it 7.11 "arguments are written only when asked for" arguments

forks() {
	command -v perl >/dev/null
	"$FA" run -o a -- perl -e 'for (1..300) { my $p = fork; if (!$p) { my @a = map { "x" x $_ } 1..50; exit 0 } waitpid $p, 0 }'
	same "$(records a process)" 301
	same "$(records a process_end)" 301
	"$FA" dump a --no-events | grep -q ' end .*lost=0 '
}
it 7.12 "300 fork children are processes of their own, and nothing is lost" forks

# Blocks of the trace $1 by codec: "raw zstd"
blocks() {
	"$FA" dump "$1" --stats --json | python3 -c '
import json, sys
c = json.load(sys.stdin)["blocks"]
print(" ".join(k for k in ("raw", "lz4", "zstd") if c[k]["count"] > 0))'
}

zstd_blocks() { # how many
	"$FA" dump "$1" --stats --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["blocks"]["zstd"]["count"])'
}

compression() {
	# PYTHONMALLOC: most of what pymalloc does is not seen
	local work='x = [str(i) for i in range(30000)]' how
	for how in none lz4 zstd auto; do
		"$FA" run -o $how --compress $how -- env PYTHONMALLOC=malloc python3 -c "$work"
		taskset -c 0 "$FA" run -o $how.1 --compress $how -- env PYTHONMALLOC=malloc python3 -c "$work"
		"$FA" dump $how --no-events | grep -q ' end .*lost=0 '
		"$FA" dump $how.1 --no-events | grep -q ' end .*lost=0 '
	done
	same "$(blocks none) $(blocks none.1)" "raw raw"
	blocks lz4 | grep -q lz4 && ! blocks lz4 | grep -q zstd
	for how in zstd zstd.1 auto auto.1; do
		blocks $how | grep -q zstd
		test $(($(stat -c %s $how) * 3)) -lt $(($(stat -c %s none) * 2))
	done
	# Packed at the end: one file, and it is packed altogether. What cannot be packed later is at once.
	same "$(ls auto auto.1* auto.[!1]* 2>/dev/null | tr '\n' ' ')" "auto auto.1 "
	# Packing makes blocks of its own size, compressing at once does not.
	for how in zstd auto; do
		"$FA" run -o small.$how --block-size 4K --compress $how -- env PYTHONMALLOC=malloc python3 -c "$work"
	done
	[ $(($(zstd_blocks small.auto) * 2)) -lt "$(zstd_blocks small.zstd)" ]
	mkfifo pipe && cat pipe >from_pipe &
	wait_for 5 test -p pipe
	"$FA" run -o pipe -- env PYTHONMALLOC=malloc python3 -c "$work"
	wait $!
	blocks from_pipe | grep -q zstd
	"$FA" report auto.1 | grep -q python
	same "$(status_of "$FA" run -o a --compress zip -- true)" 2
}
it 7.13 "--compress says how; auto: packed at the end" compression

# A file that was there stays what it is: another's stays his, a link a link, one of two names one file; and what
# is packed anew keeps group and rights, but is no set-user-id file.
same_file() {
	local work='x = [str(i) for i in range(30000)]' f
	mkdir -p files && cd files
	: >others && : >two && : >to && : >own && ln -f two second && ln -sf to link
	if [ "$(id -u)" = 0 ]; then chown 23451:23451 others && chown :23452 own; fi
	chmod 4640 own others
	for f in others two link own; do taskset -c 0 "$FA" run -o $f -- python3 -c "$work"; done
	[ "$(id -u)" != 0 ] || same "$(stat -c '%u %g' others own | tr '\n' ' ')" "23451 23451 0 23452 "
	same "$(stat -c %a own)" 640
	same "$(stat -c %i two)" "$(stat -c %i second)"
	same "$(readlink link)" to
	same "$(ls | tr '\n' ' ')" "link others own second to two "
	for f in others second to own; do "$FA" report $f | grep -q python; done
	blocks own | grep -q zstd
}
it 7.14 "a trace that is packed replaces only a file of ours, of one name; group and rights stay" same_file

# Programs that CMD starts and that cannot load the library. Those that live for a moment are named; the others
# are counted, each once, and none that is traced.
starts() {
	echo 'int usleep(unsigned); int main(int n) { if (n > 1) usleep(900000); return 0; }' >s.c
	gcc -w -static -o still s.c && gcc -w -o owned s.c
	"$FA" run -v -o s -- sh -c './still x; env -i ./owned x; /bin/true; exec ./owned' 2>s.err
	cat s.err
	"$FA" dump s --no-events | sed -n 's/.* coverage .*reason=\([A-Z_]*\) .*image="\(.*\)"/\1 \2/p' >s.list
	same "$(cat s.list)" "STATIC still
NOT_LOADED owned"
	grep -q ', 2 not traced' s.err
	same "$(records s process)" 4 # sh, env, true, owned
	"$FA" run -v -o s -- sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do ./still; /bin/true; done' 2>s.err
	same "$(records s coverage)" 10
	grep -q ', 10 not traced' s.err
	"$FA" run -v -o s --only owned -- sh -c './still; env -i ./owned x; ./owned' 2>s.err
	same "$("$FA" dump s --no-events | grep -c 'coverage .*image="owned"')" 1
	same "$(records s coverage)" 1
	[ "$(id -u)" = 0 ] || return 0
	chmod 755 "$T" && cp owned lent && chmod 4755 lent && mkdir -m 777 -p ours
	setpriv --reuid 23451 --regid 23451 --clear-groups "$FA" run -o ours/s -- sh -c './lent x; ./still x'
	"$FA" dump ours/s --no-events | grep -q 'coverage .*reason=SECURE .*image="lent"'
	"$FA" dump ours/s --no-events | grep -q 'coverage .*reason=STATIC .*image="still"'
}
if [ "$(stat -Lc %i /proc/self/ns/pid) $(stat -Lc %i /proc/self/ns/user)" != "4026531836 4026531837" ]; then
	skip 7.15 "programs that cannot load the library are listed with the reason" "not in the first namespaces"
else
	it 7.15 "programs that cannot load the library are listed with the reason, or counted as unknown" starts
fi

results
