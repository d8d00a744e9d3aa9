#!/bin/bash
# 4-trace - the trace file as a user and as another program meet it.
#
# `dump` shows every record of a trace, as text and as JSON lines, in every codec the same; filters
# show less and nothing else. A damaged or cut file is shown up to there, with a line that says where.
# Files of other kinds and of newer versions are refused in one line. Files of older versions read as
# they always did. docs/FORMAT.md tells the truth: its tables are those of the code, its example is
# what the writer writes, and a reader written from it alone finds the same events as `dump`.
. "$(dirname "$0")/lib.sh"
U=$B/tests/unit/test_trace
M=$SRC/docs/FORMAT.md
G=$SRC/tests/golden
S=$T/sample.falloc

sample() { "$U" sample "$T/$1.falloc" "$2" 8 120; }
# the lines of a JSON dump: each an object with "record"
json_lines() { python3 -c 'import json,sys
for l in sys.stdin:
    assert isinstance(json.loads(l)["record"], str)'; }
# status N: what the command behind it has to exit with
status() { local want=$1 got=0; shift; "$@" || got=$?; same "$got" "$want"; }
poke() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
# the header's checksum made right again
mend_header() { python3 - "$1" <<'PY'
import sys, struct
M = (1 << 64) - 1
def mix(h, v):
    h ^= v
    h = h * 0x9fb21c651e98df25 & M
    return h ^ h >> 32
b = bytearray(open(sys.argv[1], "rb").read())
h = mix(0x2545f4914f6cdd1d, 56)
for i in range(0, 56, 8):
    h = mix(h, int.from_bytes(b[i:i + 8], "little"))
h = mix(h, 0)
b[56:64] = struct.pack("<Q", mix(h, h >> 29))
open(sys.argv[1], "wb").write(b)
PY
}

sample sample 1 && sample raw 0 && sample zstd 2

shows_all() {
	"$FA" dump "$S" >"$T/text"
	for kind in machine session clock process process_end thread module nodes node events \
		alloc free realloc stamp lost pass coverage mark thread_end end; do
		grep -q "^ *[-0-9.]* $kind " "$T/text" || { echo "no $kind"; return 1; }
	done
}
it 4.1 "dump prints a line for every kind of record and of event" shows_all

shows_fields() {
	grep -q 'process=1 arena=1 pid=4001 .*exe="/usr/bin/leaky" executed="./leaky"' "$T/text"
	grep -q 'build_id=0123456789abcdef4142434445464748494a4b4c path="/usr/bin/leaky"' "$T/text"
	grep -q 'function=aligned_alloc alignment=64' "$T/text"
	grep -q 'id=1 parent=0 pc=0x555555555000 module=0 truncated' "$T/text"
	grep -q '0.000000184 alloc .* address=0x555555571180 size=170 stack=1 function=malloc' "$T/text"
}
it 4.2 "with its values, and events with time, thread, address, size, stack, function" shows_fields

same_in_json() {
	"$FA" dump "$S" --json >"$T/json"
	json_lines <"$T/json"
	# node lines are elements of the nodes record in JSON
	same "$(wc -l <"$T/json")" "$(grep -vc '^ *- node ' "$T/text")"
	grep -qF '{"record": "alloc", "time_ns": 184, "process": 1, "thread": 0, "address": "0x555555571180", "size": 170, "stack": 1, "function": "malloc"}' "$T/json"
}
it 4.3 "--json prints one JSON object a line, as many as text has lines" same_in_json

codecs_agree() {
	"$FA" dump "$T/raw.falloc" | cmp - "$T/text"
	"$FA" dump "$T/zstd.falloc" | cmp - "$T/text"
	"$FA" dump "$T/raw.falloc" --stats | grep -q '^raw '
	"$FA" dump "$T/zstd.falloc" --stats | grep -q '^zstd '
}
it 4.4 "raw, LZ4 and zstd traces of the same records dump the same" codecs_agree

filters() {
	same "$("$FA" dump "$S" --records pass,FREE | awk '{print $2}' | sort -u | xargs)" "free pass"
	same "$("$FA" dump "$S" --no-events | grep -cE ' (alloc|free|realloc|stamp) ')" 0
	same "$("$FA" dump "$S" --no-events --records events | wc -l)" 16
	same "$("$FA" dump "$S" --process 2 --records alloc | grep -vc 'process=2')" 0
	same "$("$FA" dump "$S" --pid 4002 --records alloc,free | md5sum)" \
		"$("$FA" dump "$S" --process 2 --records alloc,free | md5sum)"
	same "$("$FA" dump "$S" --pid 999 --records events,process,nodes | wc -l)" 0
}
it 4.5 "--records, --no-events, --process and --pid show what they say and nothing else" filters

stats() {
	"$FA" dump "$S" --stats --json >"$T/stats"
	same "$(json "$T/stats" 'j["records"]["events"]["count"]')" 16
	same "$(json "$T/stats" 'j["records"]["process"]["count"]')" 2
	same "$(json "$T/stats" 'sum(j["events"].values())')" 1920
	same "$(json "$T/stats" 'j["events"]["alloc"]')" "$(grep -c ' alloc ' "$T/text")"
	same "$(json "$T/stats" 'j["file_bytes"]')" "$(stat -c %s "$S")"
	same "$(json "$T/stats" 'sum(b["stored_bytes"] for b in j["blocks"].values()) + 64')" "$(stat -c %s "$S")"
}
it 4.6 "--stats counts records, events, blocks and bytes, and they add up to the file" stats

usage_errors() {
	status 2 "$FA" dump 2>"$T/err"
	status 2 "$FA" dump "$S" "$S" 2>"$T/err"
	status 2 "$FA" dump "$S" --records proces 2>"$T/err"
	grep -q "there is no record 'proces'; did you mean 'PROCESS'?" "$T/err"
	status 5 "$FA" dump "$T/nothing" 2>"$T/err"
	same "$(cat "$T/err")" "firstalloc: $T/nothing: No such file or directory"
}
it 4.7 "a missing file, a missing operand and an unknown kind are said in a line" usage_errors

bit_flip() {
	cp "$S" "$T/bad"
	poke "$T/bad" 5000 '\xff\x00\xff'
	status 2 "$FA" dump "$T/bad" >"$T/out" 2>"$T/err"
	same "$(wc -l <"$T/err")" 1
	grep -qE "^firstalloc: $T/bad: damaged at byte [0-9]+ \(block checksum\): [0-9]+ bytes from there to the end could not be read$" "$T/err"
	local at=$(grep -oE 'byte [0-9]+' "$T/err" | cut -d' ' -f2) left=$(grep -oE '[0-9]+ bytes' "$T/err" | cut -d' ' -f1)
	same "$((at + left))" "$(stat -c %s "$T/bad")"
	[ "$at" -le 5000 ]
	[ "$(wc -l <"$T/out")" -gt 50 ]
	head -n "$(wc -l <"$T/out")" "$T/text" | sed 's/^ *[-0-9.]*//' >"$T/want"
	sed 's/^ *[-0-9.]*//' "$T/out" | cmp - "$T/want"
}
it 4.8 "a flipped bit: all before it is shown, then where and how much is lost; exit status 2" bit_flip

zero_fill() {
	cp "$S" "$T/bad"
	dd if=/dev/zero of="$T/bad" bs=1 seek=6000 count=3000 conv=notrunc status=none
	status 2 "$FA" dump "$T/bad" >"$T/out" 2>"$T/err"
	grep -q 'damaged at byte' "$T/err"
	[ -s "$T/out" ]
}
it 4.9 "zeros in the middle, as after a power cut, the same" zero_fill

cut_file() {
	head -c 7000 "$S" >"$T/bad"
	status 2 "$FA" dump "$T/bad" >"$T/out" 2>"$T/err"
	grep -qE "cut at byte [0-9]+ \(the file ends within a block\): the last [0-9]+ bytes could not be used" "$T/err"
	head -c "$(grep -oE 'byte [0-9]+' "$T/err" | cut -d' ' -f2)" "$S" >"$T/whole-blocks"
	status 0 "$FA" dump "$T/whole-blocks" 2>"$T/err" | cmp - "$T/out"
	grep -q 'warning: .*not ended properly' "$T/err"
}
it 4.10 "a cut file is shown up to its last whole block; without an end it gives a warning only" cut_file

other_files() {
	status 1 "$FA" dump /bin/true 2>"$T/err"
	same "$(cat "$T/err")" "firstalloc: /bin/true: not a firstalloc trace, or its first bytes are damaged"
	: >"$T/empty"
	status 1 "$FA" dump "$T/empty" 2>"$T/err"
	status 1 "$FA" dump /dev/null 2>"$T/err"
	status 1 "$FA" dump "$T" 2>"$T/err"
	mkfifo "$T/fifo"
	status 1 timeout 5 "$FA" dump "$T/fifo" 2>"$T/err"
}
it 4.11 "what is no trace is refused in a line: a program, an empty file, a folder, a pipe" other_files

newer() {
	cp "$S" "$T/newer"
	poke "$T/newer" 10 '\x63'
	mend_header "$T/newer"
	status 1 "$FA" dump "$T/newer" 2>"$T/err"
	grep -qE "^firstalloc: $T/newer: written by a newer firstalloc, which this one \([0-9.]+\) cannot read; update firstalloc$" "$T/err"
	cp "$S" "$T/newer"
	poke "$T/newer" 16 '\x02'
	mend_header "$T/newer"
	status 1 "$FA" dump "$T/newer" 2>"$T/err"
	grep -q 'newer firstalloc' "$T/err"
}
it 4.12 "a trace that needs a newer reader is refused, and the line says so" newer

compatible() {
	cp "$S" "$T/newer"
	poke "$T/newer" 8 '\x09'
	poke "$T/newer" 24 '\xff'
	mend_header "$T/newer"
	"$FA" dump "$T/newer" | cmp - "$T/text"
}
it 4.13 "a newer version and compatible bits that this reader may ignore are ignored" compatible

golden() {
	for f in "$G"/trace-v*.falloc; do
		"$FA" dump "$f" --json | cmp - "${f%.falloc}.json"
	done
}
it 4.14 "traces of every version so far read as they always did" golden

tables() {
	"$U" tables >"$T/tables"
	[ "$(wc -l <"$T/tables")" -gt 30 ]
	while IFS= read -r line; do
		grep -qxF -- "$line" "$M" || { echo "not in FORMAT.md: $line"; return 1; }
	done <"$T/tables"
	same "$(grep -cE '^\| [A-Z_]+ \| [0-9]+ \| [0-9]+ \|' "$M")" "$(grep -cE '^\| [A-Z_]+ \| [0-9]+ \| [0-9]+ \|' "$T/tables")"
}
it 4.15 "FORMAT.md lists the records with their tags and sizes, and the reasons, as the code has them" tables

table_sizes() { # the fields of each record's table end where its fixed part ends
	python3 - "$M" "$T/tables" <<'PY'
import re, sys
sizes = {m[1]: int(m[3]) for m in re.finditer(r"^\| ([A-Z_]+) \| (\d+) \| (\d+) \|", open(sys.argv[2]).read(), re.M)}
page = open(sys.argv[1]).read()
for name, size in sizes.items():
    section = re.search(r"^### %s\n\| offset.*?\n\|[-|]+\n(.*?)(?=\n\n)" % name, page, re.M | re.S)
    assert section, name
    at = 0
    for row in section[1].splitlines():
        offset, length = (int(x) for x in re.match(r"\| (\d+) \| (\d+) \|", row).groups())
        assert offset == at, (name, row)
        at += length
    assert at == size, (name, at, size)
PY
}
it 4.16 "and the fields in the table of each record add up to its size" table_sizes

example() {
	"$U" example "$T/example"
	sed -n '/^## 5/,/^## 6/p' "$M" | grep -E '^ {2,}[0-9]+  [0-9a-f]{2} ' | cut -c10-32 | tr -d ' \n' >"$T/page"
	same "$(cat "$T/page")" "$(od -An -v -tx1 "$T/example" | tr -d ' \n')"
	same "$("$FA" dump "$T/example" --records alloc,free 2>/dev/null | wc -l)" 3
}
it 4.17 "the worked example in FORMAT.md is what the writer writes" example

own_reader() {
	"$FA" dump "$T/raw.falloc" --records alloc,realloc,free,stamp | cut -c18- |
		sed 's/ alignment=.*//' >"$T/want"
	python3 "$SRC/tests/spec/read_trace.py" "$T/raw.falloc" >"$T/got"
	same "$(wc -l <"$T/got")" 1920
	cmp "$T/got" "$T/want"
}
it 4.18 "a reader written from FORMAT.md alone finds the same events as dump" own_reader

results
