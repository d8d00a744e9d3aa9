#!/bin/bash
# 36 - reading along: `firstalloc tail`, `firstalloc top`, real-time sessions, and what they cost the others.
# Programs are traced by name in a private machine (machine.sh). Claims:
#   36.1-36.2   tail shows what the file has, event by event; filters
#   36.3-36.4   who comes late gets processes, modules, stacks first; several at once
#   36.5-36.6   who is slow, or killed, loses events of his own, exactly counted; nobody else does
#   36.7        a real-time session has no file, and is not hurt by a collector that is killed
#   36.8-36.9   who may read along, and how many; from C
#   36.16       who holds all connections keeps nobody out
#   36.14-36.15 traced programs that firstallocd itself waits for: who reads its log, who serves the trace's folder
#   36.10-36.13 top: what report says, while it happens; of a command; on a terminal
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 36 "reading along"
lib=$T/m/libfirstalloc_preload.so
live_leave() { umount -l "$T/fuse" 2>/dev/null; leave_machine; }
trap live_leave EXIT

begin() { # session options: with the programs flagged
	touch "$T/stop" # of a claim that failed
	for image in threads noisy steady; do $fa enable $image --starts 1000 >/dev/null; done
	$fa stop "$1" >/dev/null 2>&1 || true # of a claim that failed
	$fa start "$1" --min-free 0 "${@:2}"
}
traced() { echo "$lib" >/etc/ld.so.preload; "$@"; rm -f /etc/ld.so.preload; }
noisy() { # THREADS: in the background; the preload line stays until it is attached
	rm -f "$T/stop"
	echo "$lib" >/etc/ld.so.preload
	"$P/noisy" "$1" "$T/stop" >"$T/noisy" & program=$!
	wait_for 30 traced_now $program
	rm -f /etc/ld.so.preload
}
end_noisy() { touch "$T/stop"; wait $program; read -r rounds <"$T/noisy"; }
query() { $fa query "$1" --json >"$T/q.json" && json "$T/q.json" "$2"; }
readers() { [ "$(query "$1" "len(j['consumers'])")" = "$2" ]; }
# Heap events in a trace, or in the lines of a tail, as PID FUNCTION ADDRESS SIZE, in their order by thread
of_file() { "$FA" dump --json "$1" | events record; }
of_tail() { events event <"$1"; }
events() {
	python3 -c '
import json, sys
threads = {}
for line in sys.stdin:
    j = json.loads(line)
    kind = j[sys.argv[1]]
    if kind not in ("alloc", "realloc", "free"):
        continue
    address = j.get("address") or j.get("addr") or j.get("new")
    threads.setdefault((j["process"], j.get("tid") or j.get("thread")), []).append((kind, address, j.get("size")))
print(len(threads))
for key in sorted(map(str, threads.values())):
    print(key)' "$1"
}

tail_is_file() {
	begin s -o "$T/s.falloc"
	$fa tail s --for 60s --json >"$T/tail" & tail=$!
	wait_for 10 readers s 1
	same "$(traced "$P/threads" 4 3000)" "threads ok"
	$fa stop s >/dev/null
	wait $tail
	of_file "$T/s.falloc" >"$T/a"
	of_tail "$T/tail" >"$T/b"
	[ "$(wc -c <"$T/a")" -gt 100000 ]
	cmp "$T/a" "$T/b"
	same "$(grep -c '"event": "process"' "$T/tail")" 1
	same "$(grep -c '"event": "process-end".*"status": 0' "$T/tail")" 1
}
it 36.1 "tail gives every event that the file has, in the order of each thread, and ends with the session" tail_is_file

filters() {
	begin s -o "$T/f.falloc"
	$fa enable families --starts 1000 >/dev/null
	$fa tail s --for 60s --json --events alloc --size 600,1K --image families >"$T/tail" & tail=$!
	$fa tail s --for 60s --events free,process --image families >"$T/tail2" & tail2=$!
	$fa tail s --for 60s --image threads --count 3 >"$T/tail3" & tail3=$!
	wait_for 10 readers s 3
	same "$(traced "$P/families")" "families ok"
	same "$(traced "$P/threads" 1 100)" "threads ok"
	wait $tail3 # has its three
	$fa stop s >/dev/null
	wait $tail $tail2
	same "$(grep -o '"function": "[a-z_]*".*"size": [0-9]*' "$T/tail" | sed 's/"function": //;s/"address.*size": //' | tr '\n' ' ')" \
		'"aligned_alloc", 640 "memalign", 700 "valloc", 800 '
	same "$(awk '{ print $2 }' "$T/tail2" | tr '\n' ' ')" "process free process-end "
	same "$(grep -vc ' threads\[' "$T/tail3")" 0
	same "$(wc -l <"$T/tail3")" 3
}
it 36.2 "filters: kinds, sizes, images; --count ends it" filters

late() {
	begin s -o "$T/l.falloc"
	noisy 2
	some() { [ "$(query s "j['events']")" -gt 1000 ]; }
	wait_for 20 some # processes, modules and stacks are known before it comes
	$fa tail s --for 60s --json --stacks --events alloc --image noisy --count 500 >"$T/tail"
	end_noisy
	$fa stop s >/dev/null
	# `noisy` allocates in work() only; each of these has its frames, up to where the thread began
	same "$(grep -c '"function": "work", "file".*"function": "start_thread"' "$T/tail")" 500
}
it 36.3 "who comes late gets processes, modules and stacks before the events that use them" late

several() {
	begin s -o "$T/several.falloc"
	local tails=
	for n in 1 2 3 4; do
		$fa tail s --for 60s --json >"$T/tail$n" &
		tails="$tails $!"
	done
	wait_for 10 readers s 4
	same "$(traced "$P/threads" 3 2000)" "threads ok"
	$fa stop s >/dev/null
	wait $tails
	of_file "$T/several.falloc" >"$T/a"
	for n in 1 2 3 4; do
		of_tail "$T/tail$n" >"$T/b"
		cmp "$T/a" "$T/b"
	done
}
it 36.4 "several at once: each gets every event" several

# One reader is stopped, one reads on. Afterwards: given + lost of each is what there was, to the event.
# Of a user's: 4 MB of events wait for it, of root's 16.
own() { setpriv --reuid 4321 --regid 4321 --clear-groups "$FA" --root "$R" "$@"; }
own_reader() { exec setpriv --reuid 4321 --regid 4321 --clear-groups "$FA" --root "$R" tail mine --json --for 60s "$@"; } # in the background: $! is it
of_own() { own query mine --json >"$T/q.json" && json "$T/q.json" "$1"; }
own_readers() { [ "$(of_own "len(j['consumers'])")" = "$1" ]; }
stopped() {
	begin s --real-time # enables
	mkdir -m 777 "$T/own"
	own stop mine >/dev/null 2>&1 || true
	own start mine -o "$T/own/slow.falloc" --min-free 0 >/dev/null
	own_reader --events process,mark >"$T/quick" & quick=$!
	own_reader >"$T/slow" & slow=$!
	wait_for 10 own_readers 2
	kill -STOP $slow
	same "$(traced setpriv --reuid 4321 --regid 4321 --clear-groups "$P/threads" 4 400000)" "threads ok" # waits for nobody
	own mark now >/dev/null
	wait_for 20 grep -q '"text": "now"' "$T/quick"
	all=$(of_own "j['events']")
	same "$(json "$T/q.json" "(j['EventsLost'], len(j['consumers']))")" "(0, 2)"
	lost=$(json "$T/q.json" "sum(c['events_lost'] for c in j['consumers'] if c['pid'] == $slow)")
	buffers=$(json "$T/q.json" "j['RealTimeBuffersLost']")
	[ "$lost" -gt 1000 ] && [ "$buffers" -gt 1 ] || return 1
	# On a busy machine the other one may be too slow as well: what it got and what not is as exact.
	same "$(json "$T/q.json" "[c['events'] + c['events_lost'] + c['events_unwanted'] for c in j['consumers']]")" "[$all, $all]"
	same "$(json "$T/q.json" "[c['events_unwanted'] for c in j['consumers'] if c['pid'] == $slow]")" "[0]"
	same "$(json "$T/q.json" "sum(c['events_lost'] for c in j['consumers']) - j['real_time_events_lost']")" 0
	same "$(json "$T/q.json" "sum(c['RealTimeBuffersLost'] for c in j['consumers'])")" "$buffers"
	own status >"$T/o"
	grep -q '^    2 readers$' "$T/o"
	grep -q "^    RealTimeBuffersLost $buffers, .* events: for readers alone" "$T/o"
	own status --json >"$T/st.json"
	same "$(json "$T/st.json" "[(s['consumers'], s['real_time_buffers_lost']) for s in j['sessions']]")" "[(2, $buffers)]"
	printf '#include <firstalloc.h>\n#include <stdio.h>\nint main(int n, char **v) { struct fa_trace_properties p = {.size = sizeof(p)}; fa_set_root(v[n - 1]); int e = fa_query_trace(0, "mine", &p); printf("%%d %%d %%d\\n", e, (int)p.real_time_buffers_lost, (int)p.real_time_events_lost); }\n' >"$T/query.c"
	cc "$T/query.c" -I "$SRC/include" -L "$B" -lfirstalloc -o "$T/query"
	same "$(LD_LIBRARY_PATH=$B "$T/query" "$R")" "0 $buffers $(json "$T/q.json" "j['real_time_events_lost']")"
	kill -CONT $slow
	caught_up() { same "$(of_own "sum(c['queued_bytes'] for c in j['consumers'])")" 0; }
	wait_for 60 caught_up
	own stop mine >"$T/o"
	grep -q ' 0 lost' "$T/o"
	wait $quick || true # 3: it was too slow
	! wait $slow || return 1
	same "$(python3 -c '
import json, sys
got = lost = 0
for line in open(sys.argv[1]):
    j = json.loads(line)
    got += j["event"] in ("alloc", "realloc", "free")
    lost += j["events"] if j["event"] == "lost" else 0
print(got, lost)' "$T/slow")" "$((all - lost)) $lost"
	"$FA" report --json "$T/own/slow.falloc" >"$T/r.json"
	same "$(json "$T/r.json" "(j['lost'], j['unknown_frees'], j['warnings'])")" "(0, 0, [])"
	$fa stop s >/dev/null
}
it 36.5 "a reader that is stopped loses events of its own, exactly counted and told; program and file none" stopped

killed() {
	begin s -o "$T/k.falloc"
	noisy 2
	for _ in $(seq 8); do
		$fa tail s --for 60s >/dev/null & tail=$!
		wait_for 10 readers s 1
		kill -9 $tail
		wait_for 10 readers s 0
	done
	end_noisy
	$fa stop s >"$T/o"
	grep -q ' 0 lost' "$T/o"
	"$FA" report --json "$T/k.falloc" >"$T/r.json"
	same "$(json "$T/r.json" "(j['lost'], j['unknown_frees'], j['events']['alloc'] >= $rounds)")" "(0, 0, True)"
}
it 36.6 "readers that are killed are forgotten, and nothing is lost" killed

part() { $fa status --json >"$T/st.json" && json "$T/st.json" "j['daemon']['$1'] or 0"; }
replaced() { local now; now=$(part collector); [ "$now" != 0 ] && [ "$now" != "$1" ]; }
real_time() {
	(cd "$T" && begin rt --real-time)
	[ ! -e "$T/rt.falloc" ]
	same "$(query rt "(j['LogFileMode'], j['file'], j['bytes'])")" "('real-time', '(real time)', 0)"
	$fa tail rt --for 60s --json >"$T/tail" 2>"$T/e" & tail=$!
	wait_for 10 readers rt 1
	traced "$P/threads" 1 100
	collector=$(part collector)
	$fa top rt >/dev/null 2>"$T/e2" & top=$!
	wait_for 10 readers rt 2
	kill -9 "$collector"
	wait_for 10 replaced "$collector"
	wait_for 10 readers rt 1 # it has come again; top has not, and says so
	! wait $top || return 1
	grep -q 'firstallocd closed the connection' "$T/e2"
	traced "$P/threads" 1 100
	$fa stop rt >"$T/o"
	wait $tail
	grep -q 'reading along again' "$T/e"
	same "$(grep -c '"event": "process-end"' "$T/tail")" 2
	same "$(grep -c '"event": "alloc"' "$T/tail")" "$((2 * $(grep -m1 -n '"event": "process-end"' "$T/tail" | cut -d: -f1 | xargs -I{} head -n {} "$T/tail" | grep -c '"event": "alloc"')))"
	! $fa start bad --real-time --preallocate 2>"$T/e" || return 1
	grep -q 'has none' "$T/e"
}
it 36.7 "a real-time session has no file, and goes on when the collector is killed: readers come again" real_time

rights() {
	begin s -o "$T/rights.falloc"
	! own tail s --for 60s >"$T/o" 2>"$T/e" || return 1
	grep -q "no session called 's' of yours" "$T/e"
	[ ! -s "$T/o" ]
	! $fa tail nosuch --for 60s 2>"$T/e" || return 1
	grep -q 'no session called' "$T/e"
	own stop mine >/dev/null 2>&1 || true # of a claim that failed
	own start mine --real-time >/dev/null
	local tails=
	for n in 1 2 3 4; do
		own tail mine --for 60s >"$T/own$n" &
		tails="$tails $!"
	done
	wait_for 10 own_readers 4
	! own tail mine --for 60s 2>"$T/e" || return 1
	grep -q 'as many consumers already' "$T/e"
	own stop mine >/dev/null
	wait $tails
	same "$(query s "len(j['consumers'])")" 0
	$fa stop s >/dev/null
}
it 36.8 "who may stop a session may read along, nobody else; a user has four readers at most" rights

in_c() {
	cc "$SRC/examples/live.c" -I "$SRC/include" -L "$B" -lfirstalloc -o "$T/live"
	begin s --real-time
	$fa enable families --starts 1000 >/dev/null
	FIRSTALLOC_ROOT=$R LD_LIBRARY_PATH=$B "$T/live" s 800 >"$T/o" 2>"$T/e" & live=$!
	wait_for 10 readers s 1
	same "$(traced "$P/families")" "families ok"
	$fa stop s >/dev/null
	wait $live
	same "$(grep -c '^pid [0-9]*: ' "$T/o")" "$(grep -c '^    main' "$T/o")"
	same "$(grep -cx 'pid [0-9]*: 800 bytes' "$T/o")" 1
	same "$(tail -n 1 "$T/o")" "the session has ended, 0 events were lost on the way"
}
it 36.9 "from C: a program reads along (examples/live.c)" in_c

sums() { # of a report, or of the last table of a top: allocations, bytes
	case $1 in
	report) json "$2" "(j['total']['blocks'], j['total']['bytes'])" ;;
	top) tail -n 1 "$2" >"$T/last" && json "$T/last" "(j['calls'], j['bytes'])" ;;
	esac
}
top_is_report() {
	begin s -o "$T/top.falloc"
	$fa top s --json --interval 100ms >"$T/top" & top=$!
	wait_for 10 readers s 1
	same "$(traced "$P/threads" 4 3000)" "threads ok"
	$fa stop s >/dev/null
	wait $top
	"$FA" report --json "$T/top.falloc" >"$T/r.json"
	same "$(sums top "$T/top")" "$(sums report "$T/r.json")"
	same "$(json "$T/last" "(j['of'], j['processes'], j['lost'], j['outstanding_bytes'], any(k['stack'].startswith('work < start_thread') for k in j['stacks']))")" "('s', 0, 0, 0, True)"
}
it 36.10 "top: its last table has the sums of the report" top_is_report

# Requests are known in number, and between two of them it sleeps: what it has done so far must be in the table.
idle() {
	begin s --real-time
	$fa enable leak_server --starts 1000 >/dev/null
	mkfifo "$T/fifo"
	echo "$lib" >/etc/ld.so.preload
	"$P/leak_server" "$T/fifo" >"$T/served" & server=$!
	exec 9>"$T/fifo"
	wait_for 20 traced_now $server
	rm -f /etc/ld.so.preload
	$fa top --json --interval 100ms --sort outstanding >"$T/top" & top=$! # the only session
	wait_for 10 readers s 1
	for n in 100 150 7; do
		echo $n >&9
		wait_for 20 grep -q "done $n" "$T/served"
		sum=$((${sum:-0} + n))
		# calls that it made, blocks that it has: 200-odd bytes a request
		held() { tail -n 1 "$T/top" | grep -q "\"outstanding_blocks\": $sum, \"transient_percent\": 0, \"stack\": \"open_session < handle_request < main"; }
		wait_for 20 held
		transient() { tail -n 1 "$T/top" | grep -q "\"outstanding_blocks\": 0, \"transient_percent\": 100, \"stack\": \"answer < handle_request"; }
		wait_for 20 transient
	done
	exec 9>&-
	kill $server
	wait $server || true
	$fa stop s >/dev/null
	wait $top
}
it 36.11 "top: what a program holds, to the block, while it sleeps; transient is what it freed" idle

of_command() {
	"$FA" run -o "$T/known.falloc" -- "$P/known" >/dev/null
	"$FA" report --json "$T/known.falloc" >"$T/r.json"
	"$FA" top --json -- "$P/known" >"$T/top" 2>/dev/null
	same "$(sums top "$T/top")" "$(sums report "$T/r.json")"
	same "$(json "$T/last" "j['of']")" "$P/known"
	# its own exit status; its output beside the tables; no file stays
	local status=0
	"$FA" top --interval 100ms -- sh -c 'echo hello; sleep 0.3; exit 7' >"$T/o" 2>"$T/e" || status=$?
	same "$status $(cat "$T/e")" "7 hello"
	[ "$(grep -c '^ *BYTES/s  *CALLS/s  OUTSTANDING' "$T/o")" -ge 2 ]
	rm -f "$T/stop"
	"$FA" top --once --interval 100ms -- "$P/noisy" 1 "$T/stop" >"$T/o" 2>/dev/null # left: SIGTERM
	same "$(grep -c BYTES/s "$T/o")" 1
	! ls /tmp/firstalloc-top.* 2>/dev/null || return 1
}
it 36.12 "top -- CMD: the sums of run and report, its exit status, and nothing stays" of_command

terminal() {
	begin s --real-time
	noisy 2
	timeout 60 python3 - "$FA" "$R" <<'PY'
import fcntl, os, pty, re, select, struct, sys, termios
def size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
master, slave = pty.openpty()
size(slave, 40, 120)
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    for fd in (0, 1):
        os.dup2(slave, fd)
    os.execv(sys.argv[1], [sys.argv[1], "--root", sys.argv[2], "top", "s", "--interval", "100ms"])
got = ""
def until(text):
    global got
    got = ""
    while not re.search(text, got):
        got += os.read(master, 65536).decode(errors="replace")
until("(?s)by bytes.*work <.*q quit")
assert not termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO)
os.write(master, b"o")
until("(?s)by outstanding.*work <.*q quit")
size(slave, 12, 50)
until("(?s)q quit.*q quit.*q quit") # drawn anew
last = got.split("\033[H")[-2]
lines = [re.sub("\033\\[[?0-9]*[A-Za-z]", "", l).rstrip("\r") for l in last.split("\n")]
assert len(lines) <= 12 and max(len(l) for l in lines[:-1]) < 50, lines
os.write(master, b"q")
while True:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        break
    if select.select([master], [], [], 0.1)[0]:
        os.read(master, 65536)
assert status == 0, status
assert termios.tcgetattr(slave)[3] == before[3]
PY
	wait_for 10 readers s 0
	end_noisy
	$fa stop s >/dev/null
}
it 36.13 "top on a terminal: drawn anew, keys sort, it fits a window that became smaller, q ends it" terminal

# journald is one of these, where it is flagged. The pipe is as small as can be; a command that asks the daemon
# returns only when that does not hang.
log_reader() {
	$fa stop --all >/dev/null 2>&1 || true
	$fa start --real-time first >/dev/null # so that there is one, also where the other claims did not run
	daemon=$(cat "$R/run/firstalloc/firstallocd.pid")
	kill "$daemon"
	wait_for 20 ended "$daemon"
	$fa enable log_reader --starts 1000 >/dev/null
	mkfifo "$T/log"
	echo "$lib" >/etc/ld.so.preload
	"$P/log_reader" "$T/log" 1500000 "$T/lines" >"$T/said" & reader=$!
	rm -f "$T/dummy"
	exec 8<>"$T/log" # so that neither waits for the other to open it
	wait_for 10 grep -q open "$T/said"
	rm -f /etc/ld.so.preload
	"$B/firstallocd" --root "$R" --foreground 2>"$T/log" & daemon=$!
	exec 8>&-
	answers() { $fa stop nosuch 2>&1 | grep -q 'no session called'; }
	wait_for 20 answers # a start that came sooner would start one itself
	timeout 60 $fa start s -o "$T/reader.falloc" --min-free 0 >"$T/o"
	grep -q '1 running was woken' "$T/o"
	for n in $(seq 80); do # more lines than the pipe takes
		timeout 60 $fa start n$n --real-time >/dev/null
		timeout 60 $fa stop n$n >/dev/null
	done
	kill -USR1 $reader
	wait_for 60 grep -q done "$T/said"
	timeout 60 $fa stop s >"$T/o"
	same "$(grep -o '[0-9,]* lost' "$T/o")" "0 lost"
	kill -USR1 $reader # now it reads
	kill $daemon
	wait $daemon
	wait $reader
	grep -q 'session s started' "$T/lines"
	grep -Eq '[0-9]+ lines were left out: nobody read them' "$T/lines"
	"$FA" report --json "$T/reader.falloc" >"$T/r.json"
	same "$(json "$T/r.json" "(j['events']['alloc'] >= 1500000, j['lost'], j['unknown_frees'])")" "(True, 0, 0)"
}
it 36.14 "a traced reader of firstallocd's log that does not read: nothing hangs, it loses nothing, left-out lines are counted" log_reader

fuse() {
	mkdir "$T/fuse"
	$fa enable fuse_server --starts 1000 >/dev/null
	$fa start first --real-time >/dev/null
	echo "$lib" >/etc/ld.so.preload
	"$P/fuse_server" "$T/fuse" "$T/backing" 3 600000 >"$T/calls" & server=$!
	wait_for 20 traced_now $server
	rm -f /etc/ld.so.preload
	wait_for 10 mountpoint -q "$T/fuse"
	# from here on firstallocd writes through a program that waits for firstallocd
	timeout 60 $fa start s -o "$T/fuse/trace" --min-free 0
	timeout 60 $fa stop first >/dev/null
	# The first two of its bursts come while the session begins, the third is in it.
	burst() { [ "$(query s "j['events'] + j['EventsLost']")" -ge 600000 ]; }
	wait_for 60 burst
	timeout 60 $fa stop s >"$T/o"
	umount "$T/fuse"
	wait $server
	"$FA" report --json --tolerate-lost "$T/backing" >"$T/r.json"
	same "$(json "$T/r.json" "(j['session']['ended'], j['unknown_frees'])")" "(True, 0)"
	grep 'lost' "$T/o"
	# what is in the trace and what was lost is what it did, but for what it did before the session, and after
	did=$(cat "$T/calls")
	has=$(json "$T/r.json" "j['events']['alloc'] + j['events']['free'] + j['lost']")
	[ "$has" -le "$did" ] && [ "$has" -ge 600000 ]
}
if [ -c /dev/fuse ]; then
	it 36.15 "a traced FUSE server of the folder that the trace is written to: no deadlock, the trace is whole, a loss is counted" fuse
else
	skip 36.15 "a traced FUSE server of the folder that the trace is written to" "no /dev/fuse here"
fi

# 128 connections are served at once, 32 of a user: four users could have them all.
crowd() {
	cp "$P/attack_socket" "$T/m/attack"
	control=$R/run/firstalloc/control
	$fa start s --real-time >/dev/null
	as() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
	local users= n
	for n in 1 2 3 4 5; do
		setpriv --reuid 500$n --regid 500$n --clear-groups "$T/m/attack" "$control" half 32 >"$T/crowd$n" &
		users="$users $!"
	done
	for n in 1 2 3 4 5; do wait_for 20 grep -q holding "$T/crowd$n"; done
	"$T/m/attack" "$control" ping 20 >"$T/o"
	grep -q 'failed 0 ' "$T/o"
	as 4321 "$T/m/attack" "$control" ping 20 >"$T/o" # another user, too
	grep -q 'failed 0 ' "$T/o"
	kill $users
	wait
	$fa stop s >/dev/null
}
it 36.16 "users that hold all connections keep neither root nor another user out" crowd
results
