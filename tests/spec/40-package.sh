#!/bin/bash
# 40 - the Debian package: built, judged, installed, upgraded, removed and purged, on a machine of its own.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || { skip 40.1 "a Debian package" "needs root"; results; exit; }
command -v dpkg-shlibdeps >/dev/null || { skip 40.1 "a Debian package" "no dpkg-dev"; results; exit; }
B=$(realpath "$B")
shim=$B/libfirstalloc_preload.so
. "$(dirname "$0")/whole.sh"
export deb="$T/one.deb" deb2="$T/two.deb"

build() {
	cp "$(tools/deb.sh "$B" 0.1.0)" "$T/one.deb"
	cp "$(tools/deb.sh "$B" 0.1.0)" "$T/again.deb"
	cmp "$T/one.deb" "$T/again.deb"
	cp "$(tools/deb.sh "$B" 0.1.1)" "$T/two.deb"
	same "$(dpkg-deb -f "$T/two.deb" Version)" 0.1.1
	dpkg-deb -f "$T/one.deb" Depends | grep -q 'libsqlite3-0.*libzstd1'
}
it 40.1 "make deb builds the same bytes twice, and knows the libraries it needs" build

judged() { lintian "$deb" >"$T/tags" 2>&1 || true; cat "$T/tags"; grep -q '^W:' "$T/tags"; ! grep '^E:' "$T/tags"; }
if command -v lintian >/dev/null; then
	it 40.2 "lintian finds no error" judged
else
	skip 40.2 "lintian finds no error" "no lintian"
fi

# Everything below the folders that dpkg does not keep its own books in.
tree() { find etc.u usr.u var.u ! -type d ! -path 'var.u/lib/dpkg/*' ! -path 'var.u/log/*' ! -path 'var.u/cache/*' | LC_ALL=C sort; }
export -f tree
life() { private 'set -e
	quiet() { "$@" >"$T/out" 2>&1 || { cat "$T/out"; exit 1; }; }
	quiet dpkg -i "$deb"
	silent
	! grep -qs firstalloc /etc/ld.so.preload || exit 1
	firstalloc install $force >/dev/null
	firstalloc enable cat >/dev/null
	firstalloc start s -o "$T/p.falloc" --min-free 0 >/dev/null
	echo x | cat >/dev/null
	firstalloc stop s >/dev/null
	firstalloc report --json "$T/p.falloc" >"$T/r.json"
	old=$(stat -c %i /usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so)
	# the library that programs have changes with an upgrade, rules stay
	dpkg-deb -R "$deb2" "$T/tree"
	echo other >>"$T/tree/usr/lib/firstalloc/libfirstalloc_preload.so"
	dpkg-deb --root-owner-group -b "$T/tree" "$deb2" >/dev/null
	quiet dpkg -i "$deb2"
	[ "$(stat -c %i /usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so)" != "$old" ]
	silent
	firstalloc images | grep -q cat
	# removed: no line, no library that programs have; settings stay
	quiet dpkg -r firstalloc
	silent
	[ ! -e /etc/ld.so.preload ] && [ ! -e /usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so ]
	[ -e /etc/firstalloc/firstalloc.ini ]
	quiet dpkg --purge firstalloc
	silent
	cd "$T/ns"
	tree | while read -r path; do
		below=$T/before/${path/.u\//\/}
		[ ! -c "$path" ] || { [ ! -e "$below" ] || echo "gone: $path"; continue; }
		cmp "$path" "$below" || echo "left: $path"
	done >"$T/left"
	cat "$T/left"
	cmp "$T/left" /dev/null'
	same "$(json "$T/r.json" "(len(j['processes']), j['lost'])")" "(1, 0)"
}
it 40.3 "installed, upgraded with rules kept, removed, purged: programs start silently, nothing is left" life
results
