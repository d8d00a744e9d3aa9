#!/bin/bash
# 6 - each part is killed and stopped many times; hostile programs for longer (tests/spec/20, 21).
here=$(dirname "$0")/../spec
KILLS=100 KEEPER_KILLS=100 bash "$here/20-parts.sh" >"${TMPDIR:-/tmp}/firstalloc-kills.$$" 2>&1
ATTACK_MS=8000 bash "$here/21-hostile.sh" >>"${TMPDIR:-/tmp}/firstalloc-kills.$$" 2>&1
grep -v ' passed, ' "${TMPDIR:-/tmp}/firstalloc-kills.$$"
awk '/ passed, / { p += $1; f += $3; s += $5 } END { print p + 0 " passed, " f + 0 " failed, " s + 0 " skipped"; exit f > 0 || p == 0 }' \
	"${TMPDIR:-/tmp}/firstalloc-kills.$$"
status=$?
rm -f "${TMPDIR:-/tmp}/firstalloc-kills.$$"
exit $status
