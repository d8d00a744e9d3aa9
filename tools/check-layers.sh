#!/bin/bash
# Refuse an #include that points against the arrows of tools/layers.txt, and a system header that only
# one folder may use. usage: tools/check-layers.sh [DIR]   (DIR: the tree to look at, default this one)
set -u
cd "${1:-$(dirname "$0")/..}" || exit 2

# header: the folders that may include it
cat > "${TMPDIR:-/tmp}/fa-single.$$" <<'LIST'
sqlite3.h src/registry
ini.h src/base
elfutils/libdwfl.h src/symbols
elfutils/libdw.h src/symbols
dwarf.h src/symbols
libiberty/demangle.h src/symbols
LIST
trap 'rm -f "${TMPDIR:-/tmp}/fa-single.$$"' EXIT

find src shim \( -name '*.[chS]' \) -print0 2>/dev/null | sort -z |
	xargs -0 grep -Hn '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]' /dev/null |
	awk -v layers=tools/layers.txt -v single="${TMPDIR:-/tmp}/fa-single.$$" '
	function refuse(why) { printf "%s:%s: %s\n", file, line, why; bad = 1 }
	BEGIN {
		while ((getline row < layers) > 0) {
			if (row ~ /^#/ || row ~ /^[[:space:]]*$/)
				continue
			n = split(row, word, /[[:space:]]+/)
			known[word[1]] = 1
			for (i = 2; i <= n; i++)
				allowed[word[1], word[i]] = 1
		}
		while ((getline row < single) > 0) {
			n = split(row, word, /[[:space:]]+/)
			owned[word[1]] = row
			for (i = 2; i <= n; i++)
				owner[word[1], word[i]] = 1
		}
	}
	{
		split($0, part, ":")
		file = part[1]; line = part[2]
		dir = file
		sub(/\/[^\/]*$/, "", dir)
		header = $0
		quoted = header ~ /include[[:space:]]*"/
		sub(/^[^<"]*[<"]/, "", header)
		sub(/[>"].*/, "", header)
		if (!(dir in known)) {
			refuse(dir " is not in tools/layers.txt")
			next
		}
		if (header in owned) {
			if (!((header, dir) in owner))
				refuse(dir " may not include <" header ">")
			next
		}
		if (!quoted || header !~ /\//)
			next
		if (header ~ /\.\.\//) {
			refuse("an include names no parent folder: " header)
			next
		}
		target = header
		sub(/\/[^\/]*$/, "", target)
		if (target !~ /^(shim|src\/)/)
			target = "src/" target
		if (target != dir && !((dir, target) in allowed))
			refuse(dir " may not include " target " (" header ")")
		# What runs in the programs of others takes no more of src/base than headers without code.
		if (dir == "shim" && target == "src/base" && header !~ /^(src\/)?base\/(attr|clock)\.h$/)
			refuse("shim may not include " header)
	}
	END { exit bad }'
