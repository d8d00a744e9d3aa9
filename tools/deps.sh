#!/bin/bash
# Install the Debian packages that are missing. usage: tools/deps.sh [build|demo|test|long]   (default: test)
# Quiet when nothing is missing. Without root it says what to run.
set -u
build='gcc libc6-dev make pkg-config libsqlite3-dev libinih-dev libdw-dev libelf-dev liblz4-dev libzstd-dev
libiberty-dev'
test="g++ lua5.4 libunwind-dev python3 valgrind perl man-db groff-base strace binutils
systemd-container mmdebstrap"
demo='git procps util-linux sqlite3'
# For `make test`, programs that are judged (tests/real) and that behave in other ways (tests/spec/17-makes.sh).
makes='bc m4 eatmydata fakeroot libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4 musl-tools libcap2-bin
iputils-ping'
# More of them, for `make test-long`.
long='redis-server redis-tools sudo cron nginx-light gawk cmake ninja-build tcl gdb'
command -v rustc > /dev/null || long="$long rustc"
python3 -c 'import test.test_dict' 2> /dev/null || long="$long libpython3.11-testsuite"
case ${1:-test} in
build) want=$build ;;
demo) want="$build $demo" ;;
long) want="$build $demo $test $makes $long" ;;
*) want="$build $demo $test $makes" ;;
esac

command -v dpkg-query > /dev/null || exit 0 # not Debian: the compiler will say what is missing
missing=
for package in $want; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "missing packages; run: sudo apt-get install --no-install-recommends$missing" >&2
	exit 1
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install_missing() {
	# shellcheck disable=SC2086 # a list of names
	apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends $missing > "$log" 2>&1 < /dev/null
}
# Package lists that are there already usually do; they are fetched when they do not.
if ! { ls /var/lib/apt/lists/*Packages* > /dev/null 2>&1 && install_missing; }; then
	apt-get -qq update > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
	install_missing || { cat "$log" >&2; exit 1; }
fi
