#!/bin/bash
# 6 - real programs as judges: enabled by name, what is recorded of them equals what others count, and
# nothing of what they do changes.
#
# The counter (tests/programs/count.c, preloaded in runs of its own) must give the same numbers three
# times before it is believed. It ends counting in its destructor: what is freed after that is in the
# trace only, and is printed as the surplus. valgrind's "in use at exit" is the other judge; it
# changes the environment, so it judges programs that do not copy that.
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 6 "real programs, by name"

export PYTHONHASHSEED=0 PYTHONMALLOC=malloc PERL_HASH_SEED=0 GIT_PAGER=cat LC_ALL=C
O=$T/t.falloc
python=$(python3 -c 'import sys; print(sys.executable)')
repo=$T/repo
git init -q "$repo" && cd "$repo" && for i in $(seq 60); do
	seq "$i" 7 $((i * 20 + 300)) >"f$((i % 9))"
	git add . && git -c user.email=a@b -c user.name=n commit -qm "c$i"
done && cd "$T" || exit 1
cat >"$T/t.cc" <<'C'
#include <algorithm>
#include <map>
#include <string>
#include <vector>
int f(const std::vector<std::string> &v) { std::map<std::string, int> m; for (auto &s : v) m[s]++; return std::max_element(m.begin(), m.end(), [](auto &a, auto &b) { return a.second < b.second; })->second; }
C

# Tables depend on addresses, programs copy their environment, Python lists the current folder: all must
# be the same.
mkdir "$T/empty" && cd "$T/empty" || exit 1
fixed="env COUNT_FILE=$T/count setarch -R"
counts() { # command...: one line of numbers
	rm -f "$T/count"
	echo "$P/count" >/etc/ld.so.preload
	$fixed "$@" >"$T/plain.out" 2>"$T/plain.err" || true
	rm -f /etc/ld.so.preload
	tail -n 1 "$T/count"
}
judged() { # image, command...
	local first image=$1
	shift
	first=$(counts "$@")
	same "$(counts "$@")" "$first"
	same "$(counts "$@")" "$first"
	$fixed "$@" >"$T/plain.out" 2>"$T/plain.err"
	by_name "$image" "$O" $fixed "$@" >"$T/out" 2>"$T/err"
	cmp "$T/plain.out" "$T/out"
	cmp "$T/plain.err" "$T/err"
	"$FA" report --json "$O" >"$T/r.json"
	same "$(json "$T/r.json" "(j['lost'], len(j['processes']))")" "(0, 1)"
	python3 - "$first" "$T/r.json" <<-'PY'
		import json, re, sys
		c = {k: int(v) for k, v in re.findall(r'(\w+)=(\d+)', sys.argv[1])}
		e = json.load(open(sys.argv[2]))['events']
		surplus = (e['alloc'] - c['malloc'] - c['calloc'] - c['align'], e['realloc'] - c['realloc'], e['free'] - c['free'])
		print('counted', c, 'in the trace', e, 'surplus', surplus)
		sys.exit(surplus[0] != 0 or surplus[1] != 0 or not 0 <= surplus[2] <= 20)
	PY
	[ -z "${FA_VERBOSE:-}" ] || tail -n 1 "$T/.out" >&2
}
it 6.1 "git log -p" judged git git -C "$repo" --no-pager log -p --stat
it 6.2 "sqlite3" judged sqlite3 sqlite3 :memory: 'create table t(a,b); with recursive c(x) as (select 1 union all select x+1 from c where x<20000) insert into t select x, x||x from c; create index i on t(b); select count(*), sum(length(b)) from t;'
it 6.3 "python3 with PYTHONMALLOC=malloc" judged "$(basename "$python")" "$python" -S -c 'import json; print(len(json.dumps([{str(i): [i] * 3} for i in range(20000)])))'
it 6.4 "perl" judged perl perl -e 'my %h; $h{$_ % 5000} .= "x$_" for 1 .. 100000; print scalar(keys %h), "\n"'
it 6.5 "a C++ compile" judged cc1plus "$(g++ -print-prog-name=cc1plus)" -quiet -imultiarch x86_64-linux-gnu -D_GNU_SOURCE -O1 -o /dev/null "$T/t.cc"
it 6.6 "two threads" judged threads "$P/threads" 2 100000

in_use() { # command...: outstanding equals valgrind's "in use at exit"
	valgrind --run-libc-freeres=no --run-cxx-freeres=no --log-file="$T/vg" "$@" >/dev/null 2>&1
	by_name "$1" "$O" "$@" >/dev/null 2>&1
	"$FA" report --json "$O" >"$T/r.json"
	same "$(json "$T/r.json" "'%d bytes in %d blocks' % (j['outstanding']['bytes'], j['outstanding']['blocks'])")" \
		"$(sed -n 's/.*in use at exit: //p' "$T/vg" | tail -n 1 | tr -d ,)"
}
if command -v valgrind >/dev/null; then
	it 6.7 "sort: outstanding equals valgrind's in use at exit" in_use sort /etc/passwd
	it 6.8 "grep, too" in_use grep -r root /etc/passwd /etc/group
	it 6.9 "find" in_use find /etc/apt -name 'x*'
	it 6.10 "and sqlite3" in_use sqlite3 :memory: 'create table t(a,b); insert into t values(1,2); select * from t;'
else
	skip 6.7 "outstanding equals valgrind's in use at exit" "no valgrind here"
fi

as_others() { # another user, through a shell that knows nothing
	by_name "$(basename "$P/threads")" "$O" setpriv --reuid=65534 --clear-groups sh -c "$P/threads 2 1000; :" >"$T/out"
	"$FA" report --json "$O" >"$T/r.json"
	same "$(json "$T/r.json" "[(p['image'], p['uid'], p['lost']) for p in j['processes']]")" "[('threads', 65534, 0)]"
}
chmod 755 "$T"
cp -r "$P/threads" "$T/m/threads"
P=$T/m it 6.11 "a program that another user's shell starts" as_others
results
