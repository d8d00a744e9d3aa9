#!/bin/bash
# 15 - stacks: in real programs, the shim's unwinder and libunwind's cursor see the same frames.
# A million stacks; at least 99.99 % of those of each program must be identical, frame by frame, in the same call.
. "$(dirname "$0")/lib.sh"

cd "$SRC" || exit 1
gcc -D_GNU_SOURCE -w -shared -fPIC -O2 -std=gnu17 -Isrc -I. -o "$T/referee.so" tests/spec/referee.c \
	"$B"/pic/shim/{unwind,walk,walk_place,rules,full,cfi,advise}.o -lunwind -ldl -Wl,-Bsymbolic || exit 1
repo=$T/repo
history() { # 600 commits, each of one of nine files
	for i in $(seq 600); do
		printf 'commit refs/heads/master\ncommitter a <a@b> %d +0000\ndata 2\nc\nM 100644 inline f%d\n' $((i + 1000000000)) $((i % 9))
		seq "$i" 7 $((i * 20 + 300)) >"$T/body"
		printf 'data %d\n' "$(stat -c %s "$T/body")" && cat "$T/body"
	done
}
git init -q -b master "$repo" && cd "$repo" && history | git fast-import --quiet && cd "$T" || exit 1
cat >"$T/t.cc" <<'C'
#include <algorithm>
#include <map>
#include <regex>
#include <string>
#include <vector>
int f(const std::vector<std::string> &v) { std::map<std::string, int> m; for (auto &s : v) m[s]++; return std::regex_match(v[0], std::regex("a+b*")) + m.size(); }
C
cat >"$T/t.lua" <<'L'
local function tree(n) if n == 0 then return { "x" .. math.random(1e9) } end return { tree(n - 1), tree(n - 1) } end
local function leaf(t, f) if type(t[1]) == "table" then leaf(t[1], f) leaf(t[2], f) else f(t[1]) end end
for i = 1, 12 do
	local seen = {}
	leaf(tree(9), function(s) seen[#seen + 1] = s:gsub("%d", function(d) return d .. i end) end)
	table.sort(seen, function(a, b) return a < b end)
	local co = coroutine.wrap(function() for _, s in ipairs(seen) do coroutine.yield({ s }) end end)
	for _ = 1, #seen do pcall(error, co()) end
end
L
python=$(python3 -c 'import sys; print(sys.executable)')

agree() { # at least so many, command...
	local least=$1
	shift
	rm -f "$T/verdict"
	REFEREE_FILE=$T/verdict LD_PRELOAD=$T/referee.so "$@" >/dev/null 2>"$T/err"
	cat "$T/verdict"
	awk '{ n += $2; d += $4 } END { print n, d }' "$T/verdict" >>"$T/sum"
	if ! awk -v least="$least" '{ n += $2; d += $4 } END { exit !(n >= least && d * 10000 <= n) }' "$T/verdict"; then
		head -n 40 "$T/verdict.different"
		return 1
	fi
}
export PYTHONMALLOC=malloc
it 15.1 "python3" agree 200000 "$python" -c 'import json, re
for i in range(40): json.loads(json.dumps({str(k): [k, {"a": k}] for k in range(300)}))
sorted([3, 1, 2] * 1000, key=lambda x: -x); re.sub("(a|b)+", lambda m: m.group(0) * 2, "abc" * 300)'
it 15.2 "perl" agree 80000 perl -e 'my %h; for my $i (1..45000) { $h{"k$i"} = [$i, "x" x ($i % 30)] } my @s = sort { $a cmp $b } keys %h; eval { die "x" } for 1 .. 100;'
it 15.3 "sqlite3" agree 80000 sqlite3 :memory: 'create table t(a,b); with recursive c(x) as (select 1 union all select x+1 from c where x<50000) insert into t select x,hex(randomblob(10)) from c; select count(*),max(b) from t group by a%7 order by 2; create index i on t(b); select * from t where b like "A%" limit 5;'
it 15.4 "git" agree 30000 git -C "$repo" --no-pager log -p --stat
it 15.5 "a C++ compile" agree 200000 "$(g++ -print-prog-name=cc1plus)" -quiet -imultiarch x86_64-linux-gnu -D_GNU_SOURCE -O1 -o /dev/null "$T/t.cc"
it 15.6 "C++ exceptions" agree 50000 "$P/throws" 20000
it 15.7 "two threads" agree 50000 "$P/threads" 2 30000
if command -v lua5.4 >/dev/null; then
	it 15.8 "lua, without a JIT" agree 50000 lua5.4 "$T/t.lua"
else
	skip 15.8 "lua, without a JIT" "no lua5.4 here"
fi
it 15.9 "alloca, arrays of variable length, realigned frames, callbacks" agree 50000 "$P/frames" alloca 50000
it 15.10 "coroutines by makecontext" agree 50000 "$P/frames" coroutine 50000
it 15.11 "signal handlers at any instruction, on the same and another stack" agree 50000 "$P/frames" signal 50000
it 15.12 "assembler with CFI" agree 50000 "$P/frames" asm 50000
it 15.13 "longjmp" agree 50000 "$P/frames" jump 50000

all() {
	awk '{ n += $1; d += $2 } END { print "compared", n, "different", d; exit n < 1000000 }' "$T/sum"
}
it 15.14 "a million stacks in all" all

wrong() { # frames whose CFI is wrong in five ways: nothing but the marks
	"$FA" run -o "$T/w.falloc" -- "$P/frames" wrong 20000
	"$FA" report --json --view total --no-cull "$T/w.falloc" >"$T/w.json"
	python3 - "$T/w.json" <<-'PY'
		import json, sys
		rows = [([f["function"] for f in r["stack"]], r) for r in json.load(open(sys.argv[1]))["rows"]]
		ended = [(names, r) for names, r in rows if "allocate_here" in names]
		print([(names, r["broken"], r["blocks"]) for names, r in ended])
		# Each ends behind the frame that cannot be undone, which is still there, and is marked; no other is.
		assert {names[-1] for names, r in ended} == {"wrong_far", "wrong_here", "wrong_null", "wrong_endless", "wrong_none"}
		assert all(r["broken"] and len(names) == 3 and r["blocks"] > 100 for names, r in ended)
		assert all("main" in names and not r["broken"] for names, r in rows if "descend" in names)
	PY
}
it 15.15 "at a frame whose CFI is wrong, or is not there, a stack ends with a mark" wrong
results
