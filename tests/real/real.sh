#!/bin/bash
# real.sh quick|long - everyday programs as judges: the commands of commands.tsv print, complain and return
# the same alone, with the shim in ld.so.preload of a machine whose rules name others (dormant), and traced
# by name through firstallocd, and then each program that was to be traced is in the trace with its events
# and without loss. `quick` runs those marked so, `long` all. ONLY=NAME: that one, and what it printed.
. "$(dirname "$0")/../spec/machine.sh"
. "$(dirname "$0")/../spec/lib.sh"
half=${1:-quick}
private_machine real "everyday programs"

export LC_ALL=C TZ=UTC PYTHONHASHSEED=0 PERL_HASH_SEED=0 GIT_PAGER=cat GIT_CONFIG_COUNT=0 TERM=dumb PAGER=cat
export GIT_AUTHOR_NAME=n GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=n GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='1600000000 +0000' GIT_COMMITTER_DATE='1600000000 +0000' GIT_CONFIG_NOSYSTEM=1
export SRC RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
unset MAKEFLAGS MAKELEVEL MFLAGS

fixture() {
	mkdir "$T/fixture" && cd "$T/fixture" || return 1
	seq 1 3 9000 | sort -R --random-source=/bin/true >numbers
	awk 'BEGIN { srand(7); for (i = 0; i < 6000; i++) { for (j = 0; j < 8; j++) { w = ""; for (k = int(rand() * 6); k >= 0; k--) w = w sprintf("%c", 97 + int(rand() * 26)); printf "%s ", w }; print "" } }' >text
	mkdir tree project
	for i in $(seq 40); do seq "$i" 7 $((i * 97)) >"tree/f$i"; done
	git init -q repo
	for i in $(seq 25); do
		seq "$i" 7 $((i * 20 + 300)) >"repo/f$((i % 9))"
		git -C repo add . && git -C repo commit -qm "c$i"
	done
	cat >project/hello.c <<-'C'
		#include <stdio.h>
		#include <stdlib.h>
		int main(void) { char *p = malloc(10); puts("hello"); free(p); return 2; }
	C
	printf 'hello: hello.o\n\tcc -o $@ $^\nhello.o: hello.c\n\tcc -O2 -c $<\n' >project/Makefile
	printf 'cmake_minimum_required(VERSION 3.10)\nproject(p C)\nadd_executable(hello hello.c)\n' >project/CMakeLists.txt
	cat >words.cc <<-'C'
		#include <iostream>
		#include <map>
		#include <string>
		int main() { std::map<std::string, int> m; std::string s; while (std::cin >> s) m[s]++; for (auto &p : m) std::cout << p.first << " " << p.second << "\n"; try { m.at("NO"); } catch (std::exception &e) { std::cout << "caught\n"; } }
	C
	echo 'fn main() { let v: Vec<String> = (0..2000).map(|i| i.to_string()).collect(); println!("{}", v.join("").len()); let r = std::thread::spawn(|| vec![1u8; 9]).join(); println!("{:?}", r); }' >hello.rs
	echo 'fn main() { x }' >bad.rs
	printf '.TH PAGE 1\n.SH NAME\npage \\- a page\n.SH TEXT\n.B bold\nand plain\n' >page.1
	find . -exec touch -h -d @1600000000 {} +
}
fixture >/dev/null 2>&1 || { echo "the fixture could not be made"; exit 1; }

# The name by which a rule knows a program: of the executable behind its links.
image_of() {
	local path
	case $1 in
	cc1 | cc1plus | collect2) path=$(gcc -print-prog-name="$1") ;;
	python3) path=$(python3 -c 'import sys; print(sys.executable)') ;;
	*) path=$(type -P "$1") ;;
	esac
	path=$(readlink -f "$path") && [ -x "$path" ] && basename "$path"
}

names=() commands=() images=()
load_table() {
	local name kind programs packages command missing p wanted
	while IFS=$'\t' read -r name kind programs packages command; do
		[[ $name == \#* || -z $name ]] && continue
		[ "$kind" = quick ] || [ "$half" = long ] || continue
		[ -z "${ONLY:-}" ] || [ "$ONLY" = "$name" ] || continue
		missing='' wanted=''
		for p in $programs; do
			case $p in
			=*) wanted+=" ${p#=}" ;;
			\?*) image_of "${p#\?}" >/dev/null || missing+=" ${p#\?}" ;;
			-) ;;
			*) wanted+=" $(image_of "$p")" || missing+=" $p" ;;
			esac
		done
		if [ -n "$missing" ]; then
			skip "real.$name" "as alone, dormant and traced" "not installed:$missing (package: $packages)"
			continue
		fi
		names+=("$name") commands+=("$command") images+=("$wanted")
	done <"$SRC/tests/real/commands.tsv"
}

run_all() { # pass: each command in the same fresh folder; what it does into $T/NAME.pass.*
	local i
	for i in "${!names[@]}"; do
		rm -rf "$T/w" && cp -a "$T/fixture" "$T/w" && cd "$T/w" || exit 1
		HOME=$T/w timeout -k 5 300 bash -c "${commands[i]}" \
			>"$T/${names[i]}.$1.out" 2>"$T/${names[i]}.$1.err" </dev/null
		echo $? >"$T/${names[i]}.$1.status"
	done
	cd "$T" || exit 1
}

as_alone() { # name, pass
	local what
	for what in out err status; do
		diff "$T/$1.alone.$what" "$T/$1.$2.$what" || { echo "^ $what, alone and $2"; return 1; }
	done
}

recorded() { # images...
	python3 - "$T/r.json" "$@" <<-'PY'
		import json, sys
		every = json.load(open(sys.argv[1]))['processes']
		bad = 0
		for image in sys.argv[2:]:
		    mine = [p for p in every if p['image'] == image]
		    events, lost = sum(p['events'] for p in mine), sum(p['lost'] for p in mine)
		    print(image, len(mine), 'processes', events, 'events', lost, 'lost')
		    bad |= events == 0 or lost != 0
		sys.exit(bad)
	PY
}

judged() { # index
	# shellcheck disable=SC2086 # a list of names
	as_alone "${names[$1]}" dormant && as_alone "${names[$1]}" traced && recorded ${images[$1]}
}

load_table
run_all alone
$fa enable nobody-has-this-name >/dev/null
$fa start other -o "$T/other.falloc" --min-free 0 >/dev/null
echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
run_all dormant
$fa stop other >/dev/null
# shellcheck disable=SC2086,SC2046 # lists of names
for image in $(printf '%s\n' ${images[*]} | sort -u); do $fa enable "$image" >/dev/null; done
$fa start real -o "$T/real.falloc" --min-free 0 >/dev/null
run_all traced
rm -f /etc/ld.so.preload
$fa stop real >/dev/null
"$FA" report --json --view processes "$T/real.falloc" >"$T/r.json"
for i in "${!names[@]}"; do
	if [ "$(cat "$T/${names[i]}.alone.status")" = 77 ]; then
		skip "real.${names[i]}" "as alone, dormant and traced" "$(tail -n 1 "$T/${names[i]}.alone.err")"
		continue
	fi
	it "real.${names[i]}" "as alone, dormant and traced" judged "$i"
	[ -z "${ONLY:-}" ] || head -n 40 "$T/$ONLY".*.{out,err,status} "$T/.out"
done
results
