#!/bin/bash
# A root of Debian 11, whose glibc (2.31) is older than what tracing needs, with our files in it: its
# programs do as they do without, are not traced, and say why.
. "$(dirname "$0")/../spec/machine.sh"
. "$(dirname "$0")/../spec/lib.sh"
if ! command -v mmdebstrap >/dev/null; then
	skip 3 "glibc 2.31" "needs mmdebstrap"
	results
	exit
fi
private_machine 3 "glibc 2.31"
old=$T/m/old
if ! mmdebstrap --variant=extract --include=libc-bin,coreutils,dash,grep,perl-base bullseye "$old" >"$T/log" 2>&1; then
	skip 3 "glibc 2.31" "Debian 11 could not be fetched: $(tail -n 1 "$T/log")"
	results
	exit
fi
lib=$T/m/libfirstalloc_preload.so
mkdir -p "$old/etc/firstalloc" "$old${lib%/*}"
cp "$lib" "$old$lib"
mount --bind "$R/etc/firstalloc" "$old/etc/firstalloc"

commands=('ls -l /bin/ls' 'echo hello' 'seq 2000 | sort -n | tail -n 1' 'ls /none' 'exit 9'
	'perl -e "my @a = map { q(x) x \$_ } 1 .. 900; print scalar(@a); if (!fork) { exit 0 } wait; exit 5"')
all() { # pass
	local c status
	for c in "${commands[@]}"; do
		status=0
		chroot "$old" /bin/sh -c "$c" || status=$?
		echo "status $status"
	done >"$T/$1.out" 2>"$T/$1.err" </dev/null
}
same_as_alone() { cmp "$T/alone.out" "$T/$1.out" && cmp "$T/alone.err" "$T/$1.err"; }
is_old() { chroot "$old" /bin/ls -l /lib/x86_64-linux-gnu/libc.so.6 | grep 'libc-2.31'; }
it 3.1 "the root has glibc 2.31" is_old
all alone
dormant() {
	echo "$lib" >"$old/etc/ld.so.preload"
	all dormant
	same_as_alone dormant
}
it 3.2 "not flagged: as without" dormant
flagged() {
	for i in sh dash ls echo seq sort tail perl; do $fa enable $i >/dev/null 2>&1; done
	$fa start old -o "$T/m/o.falloc" --min-free 0 >/dev/null
	all flagged
	same_as_alone flagged
	"$FA" report --json "$T/m/o.falloc" >"$T/r.json" || true
	same "$(json "$T/r.json" "[p['exe'] for p in j['processes'] if p['exe'].startswith('$old')]")" "[]"
}
it 3.3 "flagged, with a session: as without, and not traced" flagged
says_why() {
	$fa enable sleep >/dev/null
	chroot "$old" /bin/sleep 1000 & sleeper=$!
	told() {
		$fa status --json --pid $sleeper >"$T/pid.json" && $fa status --json >"$T/st.json"
		same "$(json "$T/pid.json" "j['reason']")" OLD_LIBC &&
			same "$(json "$T/st.json" "[m['reason'] for m in j['coverage']['missed'] if m['pid'] == $sleeper]")" "['OLD_LIBC']"
	}
	wait_for 20 told
	kill $sleeper
	$fa stop old >/dev/null
}
it 3.4 "and says why" says_why
umount "$old/etc/firstalloc"
results
