#!/bin/bash
# Build a Debian package of what `make install` installs. usage: tools/deb.sh BUILD VERSION
# It needs no more than dpkg-dev. The same commit gives the same bytes.
set -eu
B=$(realpath "$1") version=$2
command -v dpkg-shlibdeps > /dev/null || { echo "make deb needs the package dpkg-dev" >&2; exit 1; }
arch=$(dpkg --print-architecture)
lib=/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
when=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || date +%s)}
export SOURCE_DATE_EPOCH=$when
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/DEBIAN" "$work/debian"
umask 022

# Service files of packages lie in /lib, as long as that is a name of its own for dpkg.
make -s install B="$B" PREFIX=/usr DESTDIR="$root" LIBDIR="$lib" UNITDIR=/lib/systemd/system MANIFEST=/manifest > /dev/null
rm "$root/manifest"
for file in usr/bin/firstalloc usr/sbin/firstallocd; do strip --strip-all "$root/$file"; done
strip --strip-unneeded "$root"/usr/lib/firstalloc/*.so "$root$lib/libfirstalloc.so.0"
find "$root" -name '*.so*' -type f -exec chmod 0644 {} +
find "$root/usr/share/man" -type f -exec gzip -9n {} +

doc=$root/usr/share/doc/firstalloc
mkdir -p "$doc"
install -m 0644 README.md docs/WINDOWS.md docs/FORMAT.md "$doc"
{
	cat boot/debian/copyright
	sed -n '/^Permission/,$p' LICENSE | sed 's/^$/./; s/^/ /'
} > "$doc/copyright"
printf 'firstalloc (%s) unstable; urgency=medium\n\n  * See the commits of the source.\n\n -- The firstalloc authors <firstalloc@packages.invalid>  %s\n' \
	"$version" "$(date -u -R -d "@$when")" | gzip -9n > "$doc/changelog.gz"

for script in postinst prerm postrm; do install -m 0755 "boot/debian/$script" "$root/DEBIAN"; done
echo /etc/firstalloc/firstalloc.ini > "$root/DEBIAN/conffiles"
echo "libfirstalloc 0 firstalloc" > "$root/DEBIAN/shlibs"
# The initramfs has a script of ours, or shall have it no more: made anew where there is who makes it.
printf 'activate-noawait %s\n' ldconfig update-initramfs > "$root/DEBIAN/triggers"
cp boot/debian/control "$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O -xfirstalloc root/usr/bin/firstalloc root/usr/sbin/firstallocd "root$lib/libfirstalloc.so.0" 2> /dev/null | sed -n 's/^shlibs:Depends=//p')
{
	sed -n '/^Package:/,$p' boot/debian/control | sed "s/^Architecture:.*/Architecture: $arch/; s/^Depends:.*/Depends: $depends/" |
		sed "/^Package:/a Version: $version\nSection: devel\nPriority: optional\nMaintainer: $(sed -n 's/^Maintainer: //p' boot/debian/control)\nInstalled-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)"
} > "$root/DEBIAN/control"
(cd "$root" && find . -type f ! -path './DEBIAN/*' ! -path './etc/*' -printf '%P\0' | sort -z | xargs -0 md5sum > DEBIAN/md5sums)
dpkg-deb --root-owner-group -Zxz --build "$root" "$B/firstalloc_${version}_$arch.deb" > /dev/null
echo "$B/firstalloc_${version}_$arch.deb"
