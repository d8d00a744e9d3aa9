#!/bin/bash
# The shim is mapped into every process of a machine: pin what it needs, what it shows and how it is
# linked. usage: tools/check-shim.sh build/libfirstalloc_preload.so [shim/exports.map]
set -u
so=${1:?usage: check-shim.sh LIBRARY [EXPORTS.MAP]}
map=${2:-$(dirname "$0")/../shim/exports.map}

# Weak references without a version that libc, the dynamic linker or a sanitizer may define.
weak_allowed='
_r_debug _dl_find_object __libc_stack_end
__asan_init __asan_version_mismatch_check_v8 __tsan_init __msan_init __hwasan_init __lsan_init
__ubsan_default_options __ubsan_on_report __sanitizer_print_stack_trace
'
bad=0
say() {
	echo "$so: $*"
	bad=1
}
[ -r "$so" ] || { echo "$so: cannot be read"; exit 1; }
dynamic=$(readelf -dW "$so") || exit 1

# A program that brings an older libc and meets a version that is missing there dies at its start.
versions=$(readelf -VW "$so" | sed -n 's/.*Name: \([^ ]*\).*Flags.*/\1/p' | grep -E '^(GLIBC|GCC|CXXABI)' || true)
[ -z "$versions" ] || say "needs symbol versions:" $versions
needed=$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<< "$dynamic")
[ -z "$needed" ] || say "needs libraries:" $needed

symbols=$(readelf --dyn-syms -W "$so" | awk '$1 ~ /^[0-9]+:$/ && NF >= 8 { print $5, $7, $8 }')
while read -r bind section name; do
	name=${name%%@*}
	[ -n "$name" ] && [ "$section" = UND ] || continue
	[ "$bind" = WEAK ] || say "needs $name (a reference that is not weak)"
	grep -qw -- "$name" <<< "$weak_allowed" || say "needs $name"
done <<< "$symbols"

shown=$(awk '$2 != "UND" && $2 != "ABS" && $3 != "" { sub(/@.*/, "", $3); print $3 }' <<< "$symbols" | sort -u)
wanted=$(sed -n '/global:/,/local:/{s/global:\|local:.*//g;p}' "$map" | tr -s ' \t\n;' '\n' |
	sed '/^$/d' | sort -u)
for name in $(comm -13 <(echo "$wanted") <(echo "$shown")); do say "shows $name"; done
for name in $(comm -23 <(echo "$wanted") <(echo "$shown")); do say "does not show $name"; done

# Anything but initial-exec calls __tls_get_addr, which allocates.
relocs=$(readelf -rW "$so")
grep -qE 'R_X86_64_(DTPMOD64|DTPOFF64|TLSDESC)' <<< "$relocs" &&
	say "uses thread-local data that is not initial-exec"
grep -q 'R_X86_64_COPY' <<< "$relocs" && say "has copy relocations"
grep -q '(TEXTREL)' <<< "$dynamic" && say "has text relocations"

grep -q 'FLAGS_1.*NOW' <<< "$dynamic" || say "binds lazily: link with -z now"
grep -q 'FLAGS_1.*INITFIRST' <<< "$dynamic" || say "is not initialised first: link with -z initfirst"
# A destructor would run in everybody's exit, after other libraries are gone.
grep -qE '\((FINI|FINI_ARRAY)\)' <<< "$dynamic" && say "has destructors"
properties=$(readelf -nW "$so" | grep -E 'x86 feature:' || true)
grep -q IBT <<< "$properties" || say "is not marked IBT"
grep -q SHSTK <<< "$properties" || say "is not marked SHSTK"
segments=$(readelf -lW "$so")
grep -E 'GNU_STACK' <<< "$segments" | grep -q 'RWE' && say "wants an executable stack"
grep -E '^ *LOAD' <<< "$segments" | grep -q 'RWE' && say "has a segment that is writable and executable"
# What each start of each program pays for: two mappings of one object, nothing to map or to protect besides,
# and of the writable one the last page only (before it lies the state page: shim/gate.c; what the linker may
# put in front of that is padding, which nobody touches).
grep -qE '\((INIT_ARRAY|PREINIT_ARRAY)\)' <<< "$dynamic" && say "has an .init_array: it is to have DT_INIT"
grep -q GNU_RELRO <<< "$segments" && say "has a part that is protected later: link with -z norelro"
[ "$(grep -cE '^ *LOAD' <<< "$segments")" = 2 ] || say "has not two mappings"
read -r at in_file in_memory <<< "$(awk '$1 == "LOAD" && /RW/ { print $3, $5, $6 }' <<< "$segments")"
[ $(((at + in_file - 1) >> 12)) = $(((at + in_memory - 1) >> 12)) ] || say "has more .bss than fits its last page"
read -r state <<< "$(readelf -SW "$so" | sed 's/^ *\[ *[0-9]*\]//' | awk '$1 == ".data.rel.ro" { print "0x" $3 }')"
[ $((((at + in_memory + 4095) >> 12) - (state >> 12))) = 2 ] || say "has not two writable pages"
[ "$bad" = 0 ] && echo "$so: $(wc -w <<< "$shown") symbols shown, no library and no version needed"
exit "$bad"
