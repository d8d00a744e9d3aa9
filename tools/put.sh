#!/bin/sh
# Install files and remember what was made, so that they can be taken away exactly.
#   put.sh MANIFEST put MODE FROM TO    copy to a new file, rename: what is mapped is never written into
#   put.sh MANIFEST link TARGET TO       a symbolic link
#   put.sh MANIFEST remove              remove what the manifest lists, and the manifest
# Paths in the manifest begin below $DESTDIR; "d" lines are folders that were not there before.
set -eu
manifest_path=$1
manifest=${DESTDIR:-}$1
# Missing folders above a path, from the outside in.
make_folders() {
	[ -d "${DESTDIR:-}$1" ] && return
	make_folders "$(dirname "$1")"
	mkdir -m 0755 "${DESTDIR:-}$1"
	made="${made:-}d $1
"
}
# A folder for $1, and what was made, in the manifest.
prepare() {
	[ -z "${DESTDIR:-}" ] || [ -d "$DESTDIR" ] || mkdir -p "$DESTDIR"
	made=
	make_folders "$(dirname "$manifest_path")"
	make_folders "$(dirname "$1")"
}
remember() {
	{
		[ ! -e "$manifest" ] || cat "$manifest"
		printf '%s' "$made"
		grep -qxs "f $1" "$manifest" || echo "f $1"
	} > "$manifest.new"
	mv -f "$manifest.new" "$manifest"
}
case $2 in
link)
	prepare "$4"
	ln -sfn "$3" "${DESTDIR:-}$4.new"
	mv -fT "${DESTDIR:-}$4.new" "${DESTDIR:-}$4"
	remember "$4"
	;;
put)
	prepare "$5"
	install -m "$3" "$4" "${DESTDIR:-}$5.new"
	mv -f "${DESTDIR:-}$5.new" "${DESTDIR:-}$5"
	remember "$5"
	;;
remove)
	[ -e "$manifest" ] || exit 0
	list=$(cat "$manifest")
	printf '%s\n' "$list" | sed -n 's/^f //p' | while read -r path; do
		rm -f "${DESTDIR:-}$path"
	done
	rm -f "$manifest"
	printf '%s\n' "$list" | sed -n 's/^d //p' | sort -r | while read -r path; do
		rmdir "${DESTDIR:-}$path" 2> /dev/null || true
	done
	;;
*)
	exit 2
	;;
esac
