#!/bin/bash
# 11 - rules: what a user says, what is stored, what is published, whatever happens.
#   11.1  to 11.9   enable and its options: what is stored, printed, refused
#   11.10 to 11.14  images, show, history, disable
#   11.15 to 11.17  rules end by themselves; the sqlite3 shell; users without rights
#   11.18 to 11.22  many processes at once, kill -9, damage, rebuilding, a limit
source "$(dirname "$0")/lib.sh"

R=$T/root
mkdir "$R"
fa() { "$FA" --root "$R" "$@"; }
fresh() { rm -rf "$R" && mkdir "$R"; }
db() { sqlite3 "$R/var/lib/firstalloc/registry.db" "$@"; }

# status N command: ends with exactly this status; stdout and stderr are left in $T/out, $T/err
status() {
	local want=$1 got=0
	shift
	"$@" >"$T/out" 2>"$T/err" || got=$?
	[ $got = "$want" ] || { echo "status $got, expected $want: $*"; cat "$T/out" "$T/err"; return 1; }
}
says() { grep -qF -- "$1" "$T/$2" || { echo "not said in $2: $1"; cat "$T/$2"; return 1; }; }
one_line() { [ "$(wc -l <"$T/err")" = 1 ] || { cat "$T/err"; return 1; }; }

# The rules of the database and of the published index are the same, and both can be read.
equal() {
	fa images --json >"$T/db.json" || return 1
	fa images --json --published >"$T/idx.json" || return 1
	python3 - "$T/db.json" "$T/idx.json" <<-'END'
		import json, sys
		def rules(name):
		    skip = ("note", "who", "when", "starts_left")
		    return [{k: v for k, v in r.items() if k not in skip}
		            for r in json.load(open(name))["images"]]
		a, b = rules(sys.argv[1]), rules(sys.argv[2])
		sys.exit(0 if a == b else "database: %s\nindex: %s" % (a, b))
	END
}
count() { json "$T/idx.json" 'len(j["images"])'; }

stored() {
	fresh
	status 0 fa enable git || return 1
	says 'git: enabled for heap (rule 1' out && says 'stacks of alloc,realloc, 64 frames' out || return 1
	fa images --json >"$T/j" || return 1
	same "$(json "$T/j" '[(r["image"], r["tracing_flags"], r["depth"], r["stacks"], r["stamp"], r["path"], r["uid"], r["expires"], r["starts_left"], r["options"]) for r in j["images"]]')" \
		"[('git', 1, 64, ['alloc', 'realloc'], 'alloc', None, None, None, None, [])]"
}
it 11.1 "enable stores a rule with the defaults" stored

every_option() {
	fresh
	touch "$T/prog"
	status 0 fa enable prog --path "$T/prog" --user 0 --script --secure --pid1 --sanitizer \
		--record-args --depth 100 --stacks alloc,free --stamp all --starts 3 --for 1h30m \
		--note 'why not' || return 1
	fa images --json >"$T/j" || return 1
	same "$(json "$T/j" '[(r["path"], r["uid"], r["options"], r["depth"], r["stacks"], r["stamp"], r["starts_left"], r["note"]) for r in j["images"]]')" \
		"[('$T/prog', 0, ['script', 'secure', 'pid1', 'sanitizer', 'record-args'], 100, ['alloc', 'free'], 'all', 3, 'why not')]" || return 1
	same "$(json "$T/j" '5390 < j["images"][0]["expires"] - j["images"][0]["when"] < 5410')" true || return 1
	equal
}
it 11.2 "every option is stored, and published as far as the gate needs it" every_option

flags() {
	fresh
	status 0 fa enable a --flags loader,vm && [ ! -s "$T/err" ] || return 1
	status 0 fa enable b --flags 0x15 && status 0 fa enable c --flags heap || return 1
	[ ! -s "$T/err" ] || return 1
	fa images --json >"$T/j" || return 1
	same "$(json "$T/j" '[r["tracing_flags"] for r in j["images"]]')" '[37, 21, 1]' || return 1
	for bad in 0x100 heep 0 heap, , '' -1; do
		status 2 fa enable d --flags="$bad" && says '--flags' err || return 1
	done
	status 5 fa show d
}
it 11.3 "TracingFlags come by name or number; unknown bits are refused and change nothing" flags

names() {
	fresh
	status 2 fa enable /usr/bin/git && says '--path /usr/bin/git' err || return 1
	status 2 fa enable '' || return 1
	status 2 fa enable . || return 1
	status 2 fa enable "$(printf 'a%.0s' {1..256})" || return 1
	status 2 fa enable firstallocd && says 'never traced' err || return 1
	status 2 fa enable || return 1
	status 2 fa enable ok bad/name || return 1
	[ ! -e "$R/etc/firstalloc/registry.idx" ] || return 1
	status 0 fa enable "$(printf 'a%.0s' {1..255})" "$(printf 'caf\351')" 'two words' && equal || return 1
}
it 11.4 "an image is a base name of 1 to 255 bytes; a slip in one name changes nothing" names

values() {
	fresh
	local bad
	for bad in --depth=0 --depth=513 --depth=x --for=0 --for=2x --stacks=all,free --stamp=some \
		--user=no-such-user-here --path=bin/git "--note=$(printf 'n%.0s' {1..1001})"; do
		status 2 fa enable git "$bad" || return 1
	done
	[ ! -e "$R/var/lib/firstalloc/registry.db" ]
}
it 11.5 "values that no rule may have are refused" values

beside() {
	fresh
	fa enable git && fa enable git --user 7 && fa enable git --path /bin/git && fa enable git --path /bin/git --user 7 || return 1
	status 0 fa enable git --depth 9 && says 'git: changed' out || return 1
	equal && same "$(count)" 4 || return 1
	fa show git >"$T/out" || return 1
	same "$(grep -c '(rule' "$T/out")" 4
}
it 11.6 "plain and scoped rules of one image stand side by side; the same scope is replaced" beside

outlook() {
	fresh
	cp /bin/sleep "$T/fa-spec-nap"
	"$T/fa-spec-nap" 600 &
	local pid=$!
	wait_for 20 executes $pid "$T/fa-spec-nap"
	status 0 fa enable fa-spec-nap
	kill $pid || true
	wait $pid 2>/dev/null || true
	says 'the shim is not installed' out && says 'no collector is running' out || return 1
	says "1 running instance is not affected (pid $pid): restart it, or use --live." out || return 1
	mkdir -p "$R/etc" && echo '/usr/lib/libfirstalloc_preload.so' >"$R/etc/ld.so.preload" || return 1
	status 0 fa enable fa-spec-nap && says 'The next start is flagged' out || return 1
	! grep -q 'running instance' "$T/out" || return 1
}
it 11.7 "enable says what will and will not happen" outlook

warned() {
	fresh
	mkdir -p "$T/bin"
	printf 'int main(void){return 0;}' | gcc -static -x c -o "$T/bin/fa-static" - || return 1
	cp /bin/true "$T/bin/fa-setuid" && chmod u+s "$T/bin/fa-setuid" || return 1
	PATH=$T/bin:$PATH status 0 fa enable fa-static && says 'is linked statically' err || return 1
	PATH=$T/bin:$PATH status 0 fa enable fa-setuid && says 'without --secure' err || return 1
	PATH=$T/bin:$PATH status 0 fa enable fa-setuid --secure && [ ! -s "$T/err" ] || return 1
	ln -s fa-setuid "$T/bin/fa-link"
	status 0 fa enable fa-link --path "$T/bin/fa-link" && says "use --path $T/bin/fa-setuid" err || return 1
}
it 11.8 "enable warns of programs that will not be traced" warned

modes() {
	fresh
	(umask 077; fa enable git >/dev/null) || return 1
	same "$(cd "$R" && stat -c '%a %n' etc/firstalloc etc/firstalloc/registry.idx var/lib/firstalloc var/lib/firstalloc/registry.db)" \
"755 etc/firstalloc
644 etc/firstalloc/registry.idx
750 var/lib/firstalloc
640 var/lib/firstalloc/registry.db" || return 1
	same "$(ls -A "$R/etc/firstalloc" "$R/var/lib/firstalloc" | sort | xargs)" \
		"$(printf '%s\n' "$R/etc/firstalloc:" "$R/var/lib/firstalloc:" publish.lock registry.db registry.idx | sort | xargs)"
}
it 11.9 "files have their modes whatever the umask, and nothing else is left" modes

images_text() {
	fresh
	same "$(fa images)" "No program is armed. 'firstalloc enable NAME' arms one." || return 1
	[ ! -e "$R/var" ] || { echo 'a query made files'; return 1; }
	fa enable git --for 2h --note 'growth in log -p' >/dev/null && fa enable sh --user 0 >/dev/null || return 1
	fa images | awk '{ $1 = $1; sub(/20[0-9T:-]+/, "TIME"); print }' >"$T/out" || return 1
	same "$(cat "$T/out")" "IMAGE ONLY FLAGS STACKS ENDS SINCE BY NOTE
git heap alloc,realloc, 64 frames in 2h 00m TIME $(id -un) growth in log -p
sh user root heap alloc,realloc, 64 frames TIME $(id -un)" || {
		# one second may have passed
		grep -q 'in 1h 59m' "$T/out"
	}
}
it 11.10 "images lists rules, ends, people and notes" images_text

narrow() {
	fresh
	fa enable git --note "$(printf 'long note %.0s' {1..30})" >/dev/null || return 1
	script -qec "stty cols 70; '$FA' --root '$R' images" /dev/null >"$T/out" || return 1
	! tr -d '\r' <"$T/out" | awk 'length > 70' | grep . || return 1
	says '...' out || return 1
	fa enable "$(printf 'a\033[31m')" --note "$(printf 'x\ny')" >/dev/null || return 1
	! fa images | grep "$(printf '\033')" || return 1
}
if command -v script >/dev/null; then
	it 11.11 "the table fits the terminal, and no name or note can write to it" narrow
else
	skip 11.11 "the table fits the terminal" "script(1) is not installed"
fi

show_one() {
	fresh
	fa enable git --depth 99 >/dev/null || return 1
	status 0 fa show git && says 'git (rule 1)' out && says 'depth      99 frames' out || return 1
	fa show git --json >"$T/j" && same "$(json "$T/j" 'j["rules"][0]["depth"]')" 99 || return 1
	status 5 fa show gti && says "did you mean 'git'?" err && one_line || return 1
	status 5 fa show unheard-of && one_line || return 1
	status 2 fa show
}
it 11.12 "show tells all of one image; an unknown name exits 5 and is asked after" show_one

disabled() {
	fresh
	fa enable a b c d git >/dev/null && fa enable a --user 7 >/dev/null || return 1
	status 0 fa disable a --user 7 && status 0 fa disable a b || return 1
	status 5 fa disable gitt && status 5 fa disable gti && says "did you mean 'git'?" err || return 1
	status 2 fa disable c nothing-like-it && equal && same "$(count)" 2 || return 1
	status 2 fa disable && status 2 fa disable --all d && status 5 fa disable d --path /x || return 1
	says 'none of that scope' err || return 1
	status 0 fa disable --all && says '2 rules removed' out && equal && same "$(count)" 0 || return 1
	status 0 fa disable --all
}
it 11.13 "disable takes names, scopes or --all; partly unknown exits 2, wholly 5" disabled

history() {
	fresh
	SUDO_UID=1 fa enable git >/dev/null && fa enable git --depth 9 >/dev/null || return 1
	db "UPDATE rule SET depth = 10" && fa disable git >/dev/null || return 1
	fa history --json >"$T/j" || return 1
	local me
	me=$(id -un)
	local first="'$me'"
	[ "$(id -u)" = 0 ] && first="'$(id -un 1) (sudo)'"
	same "$(json "$T/j" '[(c["change"], c["who"], c["rule"]["depth"]) for c in j["changes"]]')" \
		"[('disable', '$me', 10), ('change', None, 10), ('change', '$me', 9), ('enable', $first, 64)]" || return 1
	status 0 fa history git --top 2 && same "$(wc -l <"$T/out")" 3 && says '(not by firstalloc)' out || return 1
	status 5 fa history never
}
it 11.14 "history keeps every change with who and when, those of the sqlite3 shell too" history

ends() {
	fresh
	fa enable soon --for 4s >/dev/null && fa enable later --for 1h >/dev/null && equal && same "$(count)" 2 || return 1
	sleep 5.1
	fa images --json >"$T/j" && same "$(json "$T/j" '[r["image"] for r in j["images"]]')" "['later']" || return 1
	equal && same "$(count)" 1 || return 1
	fa history soon --json >"$T/j" && same "$(json "$T/j" '[c["change"] for c in j["changes"]]')" "['expire', 'enable']" || return 1
}
it 11.15 "a rule with --for ends by itself, in the index too" ends

by_shell() {
	fresh
	fa enable git >/dev/null || return 1
	db "INSERT INTO rule (image) VALUES ('nginx')" || return 1
	! db "INSERT INTO rule (image) VALUES ('a/b')" || return 1
	! db "INSERT INTO rule (image, depth) VALUES ('x', 0)" || return 1
	fa images >/dev/null && equal && same "$(count)" 2 || return 1
}
it 11.16 "a rule made with the sqlite3 shell is checked by the database and published" by_shell

as_nobody() {
	fresh
	chmod 755 "$T" "$R"
	fa enable git --note secret >/dev/null || return 1
	local nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
	cp "$FA" "$T/firstalloc" && chmod 755 "$T/firstalloc" || return 1
	status 0 "${nobody[@]}" "$T/firstalloc" --root "$R" images && says git out && one_line || return 1
	! grep -q secret "$T/out" || return 1
	status 0 "${nobody[@]}" "$T/firstalloc" --root "$R" show git || return 1
	status 4 "${nobody[@]}" "$T/firstalloc" --root "$R" enable x && one_line && says 'run it as root' err || return 1
	status 4 "${nobody[@]}" "$T/firstalloc" --root "$R" disable git && one_line || return 1
	status 4 "${nobody[@]}" "$T/firstalloc" --root "$R" history && one_line || return 1
	equal && same "$(count)" 1 || return 1
}
if [ "$(id -u)" = 0 ]; then
	it 11.17 "who may not change rules is told so in one line (exit 4) and still sees what is armed" as_nobody
else
	skip 11.17 "who may not change rules is told so" "needs root"
fi

# 40 names, five times over, enabled and disabled in turn: 200 changes a process.
changes() {
	local names=() i
	for i in {1..40}; do names+=("p$1-$i"); done
	for i in enable disable enable disable enable; do fa $i "${names[@]}" >/dev/null || return 1; done
}
at_once() {
	fresh
	local jobs=() i
	for i in {1..8}; do changes "$i" & jobs+=($!); done
	for i in "${jobs[@]}"; do wait "$i" || return 1; done
	equal && same "$(count)" 320 || return 1
	same "$(db "SELECT count(*) FROM history")" 1600
}
it 11.18 "8 processes at once, 200 changes each: none is lost, the index equals the database" at_once

# Everything that must hold at any moment, before and after the repair.
sound() {
	fa images --json --published >"$T/idx.json" 2>"$T/err" || grep -q 'nothing is published yet' "$T/err" || return 1
	[ ! -e "$R/etc/firstalloc/registry.idx" ] && [ ! -e "$R/var/lib/firstalloc/registry.db" ] && return 0
	same "$(db 'PRAGMA integrity_check')" ok && equal || return 1
}
killed() {
	fresh
	local i pid
	RANDOM=7
	for i in {1..100}; do
		# every tenth time from nothing: the making of the database is interrupted too
		if [ $((i % 10)) = 0 ]; then fresh; fi
		"$FA" --root "$R" enable a b c d e f g h i j k l m n o p q r s t >/dev/null 2>&1 &
		pid=$!
		sleep "0.0$((RANDOM % 5))$((RANDOM % 10))"
		kill -9 $pid 2>/dev/null || true
		wait $pid 2>/dev/null || true
		sound || { echo "after kill $i"; return 1; }
	done
	fa enable last >/dev/null && equal || return 1
}
it 11.19 "kill -9 at 100 random moments: database and index are sound, the next command repairs" killed

damaged() {
	fresh
	local file=$R/var/lib/firstalloc/registry.db how
	for how in 'head -c 4096 /dev/zero' 'head -c 4096 /dev/urandom' 'true'; do
		fresh
		fa enable git nginx >/dev/null || return 1
		cp "$R/etc/firstalloc/registry.idx" "$T/before"
		if [ "$how" = true ]; then : >"$file"; else $how | dd of="$file" conv=notrunc status=none; fi
		status 1 fa enable x && one_line && says 'is damaged' err && says 'To rebuild: move' err || return 1
		status 1 fa images && one_line || return 1
		cmp "$T/before" "$R/etc/firstalloc/registry.idx" || return 1
	done
	mv "$file" "$file.damaged"
	status 0 fa images && says git out && says nginx out && says 'rebuilt from registry.idx' out || return 1
	cmp "$T/before" "$R/etc/firstalloc/registry.idx" && equal || return 1
}
it 11.20 "a damaged database: a clear error, the index stays; moved away it is rebuilt from the index" damaged

index_lost() {
	fresh
	fa enable git >/dev/null || return 1
	echo junk >"$R/etc/firstalloc/registry.idx"
	status 1 fa images --published && says 'damaged' err || return 1
	fa images >/dev/null && equal || return 1
	rm "$R/etc/firstalloc/registry.idx" && fa images >/dev/null && equal && same "$(count)" 1 || return 1
}
it 11.21 "a damaged or missing index is published anew by the next command" index_lost

too_many() {
	fresh
	local names=() i got=0
	for i in {1..400}; do names+=("$(printf 'long-name-of-a-program-%0200d' "$i")"); done
	fa enable "${names[@]}" >"$T/out" 2>"$T/err" || got=$?
	same $got 1 && says 'would exceed 65536 bytes' err && one_line && equal || return 1
	[ "$(stat -c %s "$R/etc/firstalloc/registry.idx")" -le 65536 ] || return 1
	[ "$(count)" -gt 150 ] && status 0 fa disable --all || return 1
}
it 11.22 "what would make the index larger than one read is refused, all else stays" too_many

results
