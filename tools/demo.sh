#!/bin/bash
# demo.sh - the main job on real programs, for `make demo`.
#
# Installs firstalloc for real, but into a private mount namespace: overlays on /etc, /usr and /var, a
# tmpfs on /run. What it does is gone with the namespace; the machine's own /etc/ld.so.preload is
# never touched. Needs root.
set -eu
cd "$(dirname "$0")/.."
B=$(realpath "${B:-build}")

if [ "${1:-}" != inside ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "demo: needs root for a mount namespace of its own; try: sudo make demo" >&2
		exit 1
	fi
	export FA_DEMO_TMP
	FA_DEMO_TMP=$(mktemp -d /tmp/firstalloc-demo.XXXXXX)
	trap 'rmdir "$FA_DEMO_TMP"' EXIT
	unshare -m --propagation private "$0" inside
	exit
fi

D=$FA_DEMO_TMP
bold() { printf '\n\033[1m== %s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi; }
run() { printf '$ %s\n' "$*"; "$@"; }
fail() { echo "demo: FAILED: $*" >&2; exit 1; }
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent GIT_PAGER=cat)
as_nobody() { "${nobody[@]}" "$@"; }
now() { date +%s%N; }
value() { sqlite3 -batch :memory: "select json_extract(readfile('$1'), '$2')"; }

# --- the private machine ----------------------------------------------------------------------
mount -t tmpfs -o mode=755 tmpfs "$D"
for d in etc usr var; do
	mkdir -p "$D/$d.upper" "$D/$d.work" "$D/before/$d"
	mount --bind "/$d" "$D/before/$d"
	mount -t overlay -o "lowerdir=/$d,upperdir=$D/$d.upper,workdir=$D/$d.work" overlay "/$d"
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p "$D/out" && chmod 777 "$D/out"
cleanup() {
	local status=$?
	set +e
	[ -n "${server:-}" ] && kill -9 "$server"
	[ -e /run/firstalloc/firstallocd.pid ] && kill "$(cat /run/firstalloc/firstallocd.pid)"
	exit "$status"
} 2>/dev/null
trap cleanup EXIT

bold "Install, in a private mount namespace (the machine itself is not touched)"
run make -s install B="$B"
run firstalloc install
echo "/etc/ld.so.preload of this namespace: $(cat /etc/ld.so.preload)"

# --- 1: a leaking server ------------------------------------------------------------------------
bold "1. A leaking server, started by another process as user nobody, enabled by name, killed with SIGKILL"
install -m 755 "$B/tests/programs/leak_server" /usr/local/bin/leak_server
mkfifo -m 666 /run/requests
cat >"$D/out/supervisor" <<'S'
#!/bin/sh
# starts the server; knows nothing of tracing
exec /usr/local/bin/leak_server /run/requests >/run/answers
S
chmod 755 "$D/out/supervisor"
: >/run/answers && chmod 666 /run/answers
run firstalloc enable leak_server --for 2h --note "demo: who leaks?"
run firstalloc start leaks -o "$D/out/leaks.falloc"
echo "\$ (as nobody) supervisor   # starts leak_server"
"${nobody[@]}" "$D/out/supervisor" & # not by the function: $! is to be the server itself
server=$!
exec 3<>/run/requests
echo 5000 >&3
for _ in $(seq 100); do grep -q 'done 5000' /run/answers && break; sleep 0.05; done
grep -q 'done 5000' /run/answers || fail "the server did not answer"
run firstalloc status
run kill -9 "$server"
wait "$server" 2>/dev/null || true
server=
exec 3>&-
run firstalloc stop leaks
run firstalloc report "$D/out/leaks.falloc" --view outstanding --top 2
firstalloc report "$D/out/leaks.falloc" --view outstanding --top 1 --json >"$D/out/leak.json"
[ "$(value "$D/out/leak.json" '$.rows[0].stack[0].function')" = open_session ] || fail "the report does not name open_session"
[ "$(value "$D/out/leak.json" '$.rows[0].blocks')" = 5000 ] || fail "not 5000 blocks"
echo "=> the leak: $(value "$D/out/leak.json" '$.rows[0].stack[0].function') at $(basename "$(value "$D/out/leak.json" '$.rows[0].stack[0].file')"):$(value "$D/out/leak.json" '$.rows[0].stack[0].line'), $(value "$D/out/leak.json" '$.rows[0].blocks') blocks"

# --- 2: git -------------------------------------------------------------------------------------
bold "2. git log -p over a repository made on the spot, for scale"
R=$D/out/repo
mkdir "$R" && (
	cd "$R" && git init -q . && git config user.email demo@example.org && git config user.name demo
	for i in $(seq 30); do seq $((i * 7)) $((i * 7 + 400)) >"file$i.txt"; done
	git add . && git commit -qm 'the beginning'
	for i in $(seq 250); do
		sed -i "$((i % 400 + 1))s/.*/changed in $i/" "file$((i % 30 + 1)).txt" "file$((i * 7 % 30 + 1)).txt"
		git commit -qam "change $i"
	done
)
chown -R 65534:65534 "$R"
time_git() { # output file
	local t0
	t0=$(now)
	as_nobody git -C "$R" log -p --stat >"$1"
	echo $((($(now) - t0) / 1000))
}
plain=() traced=()
time_git "$D/out/plain" >/dev/null
for _ in 1 2 3 4 5; do plain+=("$(time_git "$D/out/plain")"); done
run firstalloc enable git --for 2h --note "growth in log -p"
run firstalloc start daily -o "$D/out/daily.falloc"
for _ in 1 2 3 4 5; do
	traced+=("$(time_git "$D/out/traced")")
	cmp "$D/out/plain" "$D/out/traced" || fail "git's output differs when traced"
done
run firstalloc stop daily
run firstalloc report "$D/out/daily.falloc" --top 3
median() { printf '%s\n' "$@" | sort -n | sed -n 3p; }
slowdown=$(awk "BEGIN { printf \"%.2f\", $(median "${traced[@]}") / $(median "${plain[@]}") }")
echo "=> output identical; median of 5 runs: $(median "${plain[@]}") us untraced, $(median "${traced[@]}") us traced"

# --- 3: disabled --------------------------------------------------------------------------------
bold "3. Both disabled, both started again: not traced"
run firstalloc disable git leak_server
run firstalloc start after -o "$D/out/after.falloc"
time_git "$D/out/again" >/dev/null
echo 10 | as_nobody timeout -s KILL 1 /usr/local/bin/leak_server >/dev/null 2>&1 || true
run firstalloc stop after
firstalloc report "$D/out/after.falloc" --json >"$D/out/after.json"
[ "$(value "$D/out/after.json" '$.processes')" = '[]' ] || fail "something was traced after disable"
echo "=> processes in the trace of that session: $(value "$D/out/after.json" '$.processes')"
run firstalloc history --json >"$D/out/history.json"

# --- 4: uninstalled -----------------------------------------------------------------------------
bold "4. Uninstalled: nothing is left"
run firstalloc uninstall
run make -s uninstall B="$B"
rm -f /usr/local/bin/leak_server
echo "\$ diff -r BEFORE/etc /etc; diff -r BEFORE/var/lib /var/lib"
diff -r --no-dereference "$D/before/etc" /etc || fail "/etc differs"
diff -r --no-dereference "$D/before/var/lib" /var/lib || fail "/var/lib differs"
# /usr: every folder that was written to (the others are the very same files)
(cd "$D/usr.upper" && find . -type d) | while read -r d; do
	diff --no-dereference "$D/before/usr/$d" "/usr/$d" | grep -v '^Common subdirectories' && fail "/usr/$d differs"
	true
done
echo "=> /etc, /usr and /var/lib are as before"

# --- the table ----------------------------------------------------------------------------------
bold "In numbers"
printf '%-12s %10s %12s %8s %10s %14s\n' session processes events lost slowdown 'bytes/event'
line() { # name, trace, slowdown
	local f=$D/out/sum.json n
	"$B/firstalloc" report "$2" --json >"$f"
	n=$(sqlite3 -batch :memory: "select json_extract(j,'\$.events.alloc')+json_extract(j,'\$.events.realloc')+json_extract(j,'\$.events.free') from (select readfile('$f') j)")
	printf '%-12s %10s %12s %8s %10s %14s\n' "$1" "$(sqlite3 -batch :memory: "select json_array_length(readfile('$f'),'\$.processes')")" "$n" \
		"$(value "$f" '$.lost')" "$3" "$(awk "BEGIN { printf \"%.1f\", $(stat -c %s "$2") / $n }")"
	[ "$(value "$f" '$.lost')" = 0 ] || fail "events were lost"
}
line leak_server "$D/out/leaks.falloc" -
line git "$D/out/daily.falloc" "${slowdown}x"
echo
echo "demo: all shown"
