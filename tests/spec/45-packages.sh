#!/bin/bash
# 45 - rules for a unit, a container or an app, and services in sandboxes. Claims:
#   45.1-45.4    which rule a program gets, by the text of its /proc/self/cgroup, which is put there
#   45.5         what it costs: nothing where no rule of its name has such a scope
#   45.6         a control group that the kernel has made
#   45.7-45.9    commands: list, JSON, disable, slips; through firstallocd; what runs already
#   45.10-45.11  programs under a system call filter that has no madvise
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 45 "rules for packages"
PROG=$T/m/prog
cp "$P/start_state" "$PROG"
shim_on() { echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload; }
shim_off() { rm -f /etc/ld.so.preload; }

# of TEXT command...: with this as its /proc/self/cgroup, and the shim. The mount goes with the process.
of() {
	local status=0
	printf "$1" >"$T/m/cgroup"
	shim_on
	sh -c 'mount --bind "$0" /proc/$$/cgroup && exec "$@"' "$T/m/cgroup" "${@:2}" || status=$?
	shim_off
	return $status
}
# rule NUMBER TEXT: of the program in these control groups; 0: none
rule() { same "$2: $(of "$2" "$PROG" | cut -d ' ' -f 2)" "$2: $1"; }
enable() { $fa enable prog "$@" | sed -n 's/.*(rule \([0-9]*\),.*/\1/p'; }
none() { $fa disable --all >/dev/null; }
USERS=/user.slice/user-7.slice/user@7.service/app.slice

units() {
	none
	local r
	r=$(enable --unit backup.service)
	rule $r '0::/system.slice/backup.service\n'
	rule $r '0::/system.slice/backup.service/a/group\n'
	rule $r "0::$USERS/backup.service\n"
	rule $r '9:pids:/\n3:cpuset:/x\n1:name=systemd:/system.slice/backup.service\n0::/\n'
	rule 0 '0::/system.slice/backup.service2\n'
	rule 0 '0::/system.slice/other.service\n'
	rule 0 ''
	none
	r=$(enable --unit 'job@')
	rule $r '0::/system.slice/system-job.slice/job@a\\x2db.service\n'
	rule 0 '0::/system.slice/system-job.slice/jobs@a.service\n'
	none
	r=$(enable --unit io)
	rule $r '0::/system.slice/_io.service\n'
	none
	r=$(enable --unit 'a\x2db.mount')
	rule $r '0::/system.slice/a\\x2db.mount\n'
	# far behind the first page, as with many controllers and long paths
	rule $r "$(printf '%d:c:/%0250d\\n' $(seq 1 25 | sed 's/.*/& 0/'))0::/system.slice/a\\\\x2db.mount\n"
}
it 45.1 "--unit: of the system and of users, groups within it, templates, escaped names, both versions" units

others() {
	local r id=4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970
	r=$(enable --container 4f797c539e6c)
	rule $r "0::/system.slice/docker-$id.scope\n"
	rule $r "5:memory:/docker/$id\n0::/\n"
	rule 0 "0::/system.slice/docker-0$id.scope\n"
	none
	r=$(enable --cgroup /a/b)
	rule $r '0::/a/b/c\n'
	rule 0 '0::/a/bc\n'
	none
	r=$(enable --flatpak org.a-b.C)
	rule $r "0::$USERS/app-flatpak-org.a\\\\x2db.C-4711.scope\n"
	rule 0 "0::$USERS/app-flatpak-org.a-4711.scope\n"
	none
	r=$(enable --snap foo.bar)
	rule $r "0::$USERS/snap.foo.bar-54b38acc-3ba2-4c6d-b284-7ac07e1159e5.scope\n"
	rule $r '0::/system.slice/snap.foo.bar.service\n'
	rule 0 '0::/system.slice/snap.foo.baz.service\n'
}
it 45.2 "--container, --cgroup, --flatpak, --snap" others

precedence() {
	none
	local name user path unit both
	name=$(enable) user=$(enable --user root) path=$(enable --path "$PROG") unit=$(enable --unit web)
	both=$(enable --unit db --path "$PROG")
	enable --unit db >/dev/null
	rule $unit '0::/system.slice/web.service\n'
	rule $both '0::/system.slice/db.service\n'
	rule $path '0::/system.slice/x.service\n'
	$fa disable prog --path "$PROG" >/dev/null # of db.service, too: --unit was not asked for
	rule $user '0::/system.slice/x.service\n'
	$fa disable prog --user root >/dev/null
	rule $name '0::/system.slice/x.service\n'
	rule $unit '0::/system.slice/web.service\n'
}
it 45.3 "a package goes before a path, a path before a user, a user before the name; they are used instead" precedence

unknown() {
	none
	enable --unit web >/dev/null
	sqlite3 "$R/var/lib/firstalloc/registry.db" "UPDATE rule SET package = 'later:web.service'"
	$fa images >/dev/null
	rule 0 '0::/system.slice/web.service\n'
	$fa images | grep -q later:web.service
	none
}
command -v sqlite3 >/dev/null && it 45.4 "a kind of a later version is kept and shown, and matches nothing" unknown

cheap() {
	none
	enable >/dev/null
	$fa enable other --unit web >/dev/null
	calls() { shim_on; strace -o "$T/calls" "$PROG" >/dev/null; shim_off; grep -c /proc/self/cgroup "$T/calls" || true; }
	same "$(calls)" 0
	enable --unit web >/dev/null
	same "$(calls)" 1
	none
	same "$(calls)" 0
}
if command -v strace >/dev/null; then
	it 45.5 "its control groups are read where a rule of its own name has a package, and nowhere else" cheap
else
	skip 45.5 "when control groups are read" "no strace"
fi

# A hierarchy in which a group may be made, and how it is called there.
hierarchy() { awk '$3 == "cgroup2" || ($3 == "cgroup" && $4 ~ /name=systemd/) {print $2}' /proc/mounts; }
made() {
	local top r n=0
	for top in $(hierarchy); do
		mkdir "$top/firstalloc-spec-$$" 2>/dev/null || continue
		mkdir -p "$top/firstalloc-spec-$$/made.service/inner"
		none
		r=$(enable --unit made)
		shim_on
		same "$(sh -c 'echo $$ >"$0/cgroup.procs" && exec "$1"' "$top/firstalloc-spec-$$/made.service/inner" "$PROG" | cut -d ' ' -f 2)" "$r"
		same "$("$PROG" | cut -d ' ' -f 2)" 0
		shim_off
		n=$((n + 1))
	done
	[ $n -gt 0 ]
}
unmade() { for top in $(hierarchy); do find "$top/firstalloc-spec-$$" -depth -type d -exec rmdir {} + 2>/dev/null; done; }
can_make() { for top in $(hierarchy); do mkdir "$top/firstalloc-spec-$$" 2>/dev/null && rmdir "$top/firstalloc-spec-$$" && return; done; return 1; }
if can_make; then
	it 45.6 "a control group that the kernel has made" made
	unmade
else
	skip 45.6 "a control group that the kernel has made" "none may be made here"
fi

commands() {
	none
	enable --unit web --note why >/dev/null
	enable >/dev/null
	$fa images | grep -q 'prog *unit:web.service'
	$fa show prog | grep -q 'package *unit:web.service'
	same "$($fa images --json | "$PYTHON" -c 'import json,sys; print([r["package"] for r in json.load(sys.stdin)["images"]])')" "['unit:web.service', None]"
	same "$($fa images --published --json | "$PYTHON" -c 'import json,sys; print([r["package"] for r in json.load(sys.stdin)["images"]])')" "['unit:web.service', None]"
	$fa history prog | grep -q unit:web.service
	! $fa disable prog --unit other 2>"$T/err" || return 1
	grep -q 'none of that scope' "$T/err"
	$fa disable prog --unit web.service | grep -q '1 rule removed'
	same "$($fa images | grep -c prog)" 1
	for slip in "--unit a/b" "--cgroup a" "--cgroup /" "--container a/b" "--unit a --snap b" "--flatpak="; do
		status=0
		# shellcheck disable=SC2086
		$fa enable prog $slip 2>"$T/err" >/dev/null || status=$?
		same "$slip: $status" "$slip: 2"
	done
	$fa help enable | grep -q -- '--unit UNIT'
	$fa help --complete bash | grep -q -- '--flatpak'
}
it 45.7 "images, show, history and JSON have it; disable takes the one away; slips are refused" commands

. "$SRC/tests/spec/live.sh"
rm -r "$R/etc/firstalloc/door" # firstallocd makes it
cp "$FA" "$B/firstallocd" "$T/m/"
fa="$T/m/firstalloc --root $R"
$fa start s -o "$W/s.falloc" --min-free 0 >/dev/null

by_users() {
	none
	as $ALICE $fa enable live --user self --unit web >/dev/null
	as $ALICE $fa enable live --user self >/dev/null
	as $ALICE $fa enable live --user self --unit web | grep -q '^live: changed'
	same "$($fa images --json | "$PYTHON" -c 'import json,sys; print([(r["package"], r["uid"]) for r in json.load(sys.stdin)["images"]])')" \
		"[('unit:web.service', $ALICE), (None, $ALICE)]"
	! as $BOB $fa disable live --unit web 2>/dev/null || return 1
	as $ALICE $fa disable live --unit web | grep -q '1 rule removed'
	same "$($fa images | grep -c live)" 1
	none
}
it 45.8 "users have rules with packages for their own processes, through firstallocd" by_users

running() {
	local name
	for name in web other; do
		printf "0::/system.slice/$name.service\n" >"$T/m/$name.cgroup"
		launch $name sh -c 'mount --bind "$0" /proc/$$/cgroup && exec "$1"' "$T/m/$name.cgroup" "$T/m/live"
	done
	$fa enable live --unit web >"$T/o"
	grep -q "1 running instance is not affected (pid $(pid web))" "$T/o"
	$fa enable live --unit web --live >"$T/o"
	grep -q '1 running instance is flagged' "$T/o"
	for name in web other; do tell $name 'alloc 5'; done
	wait_for 20 is_traced "$(pid web)"
	! is_traced "$(pid other)" || return 1
	$fa doctor "$(pid other)" >"$T/o" || true
	grep -q 'is for another: unit:web.service' "$T/o"
	for name in web other; do finish $name; done
}
it 45.9 "of those that run, --live flags those of the unit; doctor says whom a rule is for" running
none
$fa stop s >/dev/null

# Each process: its events, what was lost. The same program with and without the filter.
counts() {
	"$FA" report --json "$1" >"$1.json"
	json "$1.json" "sorted((p['events_by_kind'], p['lost'], p['outstanding_bytes']) for p in j['processes'] if p['image'] == '$2')"
}
tight() {
	local name=$1 status=0
	shift
	cp "$P/$name" "$T/m/$name"
	# shellcheck disable=SC2086
	by_name "$name" "$T/free.falloc" ${STRACE:-} "$T/m/$name" "$@" >"$T/free.out" 2>&1 || status=$?
	by_name "$name" "$T/tight.falloc" "$P/tight" "$T/m/$name" "$@" >"$T/tight.out" 2>&1 || status=$((status - $?))
	cat "$T/tight.out"
	same $status 0
	same "$(counts "$T/tight.falloc" "$name")" "$(counts "$T/free.falloc" "$name")"
	same "$(json "$T/tight.falloc.json" "sum(p['lost'] for p in j['processes'])")" 0
}
it 45.10 "born under a filter that kills for madvise: a tree of forks is traced as without" tight fork_tree
more() {
	tight families
	tight throws
	STRACE="strace -f -e trace=madvise -o $T/calls" tight stacks new 40000 20
	same "$(json "$T/tight.falloc.json" "[w for w in j['warnings'] if 'more stacks' in w]")" "[]"
	grep -q madvise "$T/calls" # without the filter it is called, so that this is a test
}
if command -v strace >/dev/null; then
	it 45.11 "so are all functions, exceptions, and more stacks than the first part of the arena holds" more
fi
results
