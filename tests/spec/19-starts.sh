#!/bin/bash
# 19 - what the shim adds to a program's start, counted and not timed: /bin/true beside the same with an
# empty library in ld.so.preload, which is the least that any library there costs.
#
# Claims: unflagged, the mappings of one object and open, read, close of the index; with rules in it also
# open and close of the executable; where its name is not that it was executed by, and where a rule has one
# of its names, open, read, close of /proc/self/maps, which has it. No byte on stderr, no descriptor, no other
# mapping. At most one page fault and 9,000 instructions more than an empty library. And each of many starts
# beside a loop of enable and disable sees one state of the rules, whole.
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/lib.sh"
private_machine 19 "what a start costs"
how_many=${STARTS:-1500}
shim=$T/m/libfirstalloc_preload.so
echo 'char nothing;' | gcc -shared -nostdlib -fPIC -Wl,-z,norelro,-z,noseparate-code -o "$T/m/empty.so" -x c -
$fa enable for-the-index >/dev/null && $fa disable for-the-index >/dev/null # an index without a rule

with() { # library or none, command...
	local status=0
	rm -f /etc/ld.so.preload
	[ "$1" = none ] || echo "$1" >/etc/ld.so.preload
	shift
	env -i "$@" || status=$?
	rm -f /etc/ld.so.preload
	return $status
}
# calls LIBRARY command...: its system calls, "name" or "name path", in their order
calls() {
	with "$1" strace -f -o "$T/calls" "${@:2}" >/dev/null
	sed -E 's/^[0-9]+ +//; /^(\+|-)/d; s/\(AT_FDCWD, "([^"]*)".*/ \1/; s/\(.*//; s/^(openat|access) .*(empty|libfirstalloc_preload).so$/\1 LIBRARY/; s/^newfstatat$/fstat/' "$T/calls"
}
added() { # to the calls of an empty library, by the shim
	calls "$T/m/empty.so" "$@" >"$T/empty"
	calls "$shim" "$@" >"$T/ours"
	diff "$T/empty" "$T/ours" | sed -n 's/^[<>]/&/p'
}
no_rules() { same "$(added /bin/true)" "> openat /etc/firstalloc/registry.idx
> read
> close"; }
rules() {
	$fa enable somebody-else >/dev/null
	same "$(added /bin/true)" "> openat /etc/firstalloc/registry.idx
> read
> close
> openat /bin/true
> close"
	ln -sf /bin/true "$T/m/another"
	same "$(added "$T/m/another")" "> openat /etc/firstalloc/registry.idx
> read
> close
> openat $T/m/another
> openat /proc/self/maps
> read
> close"
	# many rules are read in two turns, into memory that is given back
	# shellcheck disable=SC2046
	$fa enable $(seq -f 'some-program-%g' 60) >/dev/null
	same "$(added /bin/true)" "> openat /etc/firstalloc/registry.idx
> read
> mmap
> read
> close
> openat /bin/true
> close
> munmap"
	$fa disable --all >/dev/null
}
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
	it 19.1 "system calls: an empty library's, and open, read, close of the index" no_rules
	it 19.2 "with rules for others open and close of the executable, or those of /proc/self/maps" rules
else
	skip 19.1 "system calls" "strace does not work here"
fi

silent() {
	same "$(with "$shim" /bin/true 2>&1)" ""
	with none ls -l /proc/self/fd | awk '{ print $9 }' >"$T/fd.none"
	with "$shim" ls -l /proc/self/fd | awk '{ print $9 }' >"$T/fd.shim"
	same "$(cat "$T/fd.shim")" "$(cat "$T/fd.none")"
	with "$T/m/empty.so" setarch -R cat /proc/self/maps >"$T/maps.empty"
	with "$shim" setarch -R cat /proc/self/maps >"$T/maps.shim"
	cat "$T/maps.shim"
	same "$(grep -c firstalloc "$T/maps.shim")" 2
	same "$(wc -l <"$T/maps.shim")" "$(wc -l <"$T/maps.empty")"
}
it 19.3 "no byte on stderr, no descriptor, two mappings of one object and no other" silent

faults() { with "$1" setarch -R "$P/start_state" 30 /bin/true; }
few_faults() {
	$fa enable somebody-else >/dev/null
	local none empty ours
	none=$(faults none) empty=$(faults "$T/m/empty.so") ours=$(faults "$shim")
	$fa disable somebody-else >/dev/null
	echo "page faults: $none alone, $empty with an empty library, $ours with the shim"
	[ "$ours" -le $((empty + 1)) ]
}
it 19.4 "at most one page fault more than an empty library" few_faults

grind() { # library: instructions of /bin/true
	env -i ${1:+LD_PRELOAD=$1} valgrind --tool=callgrind --callgrind-out-file=/dev/null /bin/true 2>&1 |
		sed -n 's/^==[0-9]*== Collected : //p'
}
few_instructions() {
	local none empty ours
	none=$(grind '') empty=$(grind "$T/m/empty.so") ours=$(grind "$shim")
	echo "instructions: $none alone, $empty with an empty library, $ours with the shim"
	[ $((ours - empty)) -le 9000 ] && [ "$ours" -gt "$empty" ] || return 1
}
if command -v valgrind >/dev/null; then
	it 19.5 "at most 9,000 instructions more than an empty library" few_instructions
else
	skip 19.5 "instructions of a start" "valgrind is not installed"
fi

flagged() { # without a session: what arming and going back costs
	$fa enable true >/dev/null
	added /bin/true >"$T/flagged"
	$fa disable true >/dev/null
	cat "$T/flagged"
	! grep -vE '^> (openat /etc/firstalloc/(registry.idx|door/bell)|openat /etc/firstalloc/off|openat /proc/(self/maps|self/status|cmdline)|openat /sys/devices/.*/current_clocksource|read|close|mmap|munmap|madvise|getpid|prlimit64)$' "$T/flagged" || return 1
	[ "$(wc -l <"$T/flagged")" -le 28 ]
}
command -v strace >/dev/null && it 19.6 "flagged: calls of the dynamic linker's and malloc's kinds, at most 28" flagged

generation() { od -An -t d8 -j 16 -N 8 "$R/etc/firstalloc/registry.idx" | tr -d ' '; }
storm() {
	local on=0 starts
	rm -f "$T/states" "$T/line."*
	echo "$shim" >/etc/ld.so.preload
	seq "$how_many" | xargs -P 4 -n 50 sh -c "for i; do $P/start_state 2>&1; done" sh >"$T/lines" &
	starts=$!
	while kill -0 $starts 2>/dev/null; do
		on=$((1 - on))
		if [ $on = 1 ]; then $fa enable start_state; else $fa disable start_state; fi >/dev/null 2>&1
		echo "$(generation) $on" >>"$T/states"
	done
	wait $starts
	rm -f /etc/ld.so.preload
	$fa disable --all >/dev/null
	python3 - "$T/states" "$T/lines" "$how_many" <<-'PY'
		import sys
		states = dict(tuple(map(int, l.split())) for l in open(sys.argv[1]))
		first = min(states)
		lines = [tuple(map(int, l.split())) for l in open(sys.argv[2])]
		bad = [l for l in lines if l[0] in states and (l[1] != 0) != bool(states[l[0]])]
		strange = [l for l in lines if l[0] not in states and l[0] >= first and l[0] < max(states)]
		print(len(lines), 'starts,', len(states), 'states,', len({l[0] for l in lines}), 'seen', bad[:3], strange[:3])
		sys.exit(len(lines) != int(sys.argv[3]) or bool(bad) or bool(strange) or len(states) < 5)
	PY
}
it 19.7 "$how_many starts beside a loop of enable and disable: each sees one whole state" storm
results
