#!/bin/bash
# 15 - stacks: in real programs, the shim's unwinder and libunwind's cursor see the same frames.
# At least 99.99 % of the stacks of each program must be identical, frame by frame, in the same call.
. "$(dirname "$0")/lib.sh"

cd "$SRC" || exit 1
gcc -D_GNU_SOURCE -w -shared -fPIC -O2 -std=gnu17 -Isrc -I. -o "$T/referee.so" tests/spec/referee.c \
	"$B"/pic/shim/{unwind,walk,walk_place,rules,full,cfi}.o -lunwind -Wl,-Bsymbolic || exit 1
repo=$T/repo
git init -q "$repo" && cd "$repo" && for i in $(seq 30); do
	seq "$i" 7 $((i * 20 + 300)) >"f$((i % 9))"
	git add . && git -c user.email=a@b -c user.name=n commit -qm "c$i"
done && cd "$T" || exit 1
cat >"$T/t.cc" <<'C'
#include <algorithm>
#include <map>
#include <regex>
#include <string>
#include <vector>
int f(const std::vector<std::string> &v) { std::map<std::string, int> m; for (auto &s : v) m[s]++; return std::regex_match(v[0], std::regex("a+b*")) + m.size(); }
C
python=$(python3 -c 'import sys; print(sys.executable)')
total=0

agree() { # at least so many, command...
	local least=$1
	shift
	rm -f "$T/verdict"
	REFEREE_FILE=$T/verdict LD_PRELOAD=$T/referee.so "$@" >/dev/null 2>"$T/err"
	cat "$T/verdict"
	awk -v least="$least" '{ n += $2; d += $4 } END { exit !(n >= least && d * 10000 <= n) }' "$T/verdict"
	awk '{ n += $2; d += $4 } END { print n, d }' "$T/verdict" >>"$T/sum"
}
export PYTHONMALLOC=malloc
it 15.1 "python3" agree 50000 "$python" -c 'import json, re
for i in range(30): json.loads(json.dumps({str(k): [k, {"a": k}] for k in range(300)}))
sorted([3, 1, 2] * 1000, key=lambda x: -x); re.sub("(a|b)+", lambda m: m.group(0) * 2, "abc" * 300)'
it 15.2 "perl" agree 10000 perl -e 'my %h; for my $i (1..8000) { $h{"k$i"} = [$i, "x" x ($i % 30)] } my @s = sort { $a cmp $b } keys %h; eval { die "x" } for 1 .. 100;'
it 15.3 "sqlite3" agree 5000 sqlite3 :memory: 'create table t(a,b); with recursive c(x) as (select 1 union all select x+1 from c where x<9000) insert into t select x,hex(randomblob(10)) from c; select count(*),max(b) from t group by a%7 order by 2; create index i on t(b); select * from t where b like "A%" limit 5;'
it 15.4 "git" agree 2000 git -C "$repo" --no-pager log -p --stat
it 15.5 "a C++ compile" agree 50000 "$(g++ -print-prog-name=cc1plus)" -quiet -imultiarch x86_64-linux-gnu -D_GNU_SOURCE -O1 -o /dev/null "$T/t.cc"
it 15.6 "C++ exceptions" agree 1000 "$P/throws"
it 15.7 "two threads" agree 50000 "$P/threads" 2 60000
echo "stacks compared, different: $(awk '{ n += $1; d += $2 } END { print n ", " d }' "$T/sum")"
results
