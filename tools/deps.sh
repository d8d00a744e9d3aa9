#!/bin/bash
# Install the Debian packages that are missing. usage: tools/deps.sh [build|demo|test|long]   (default: test)
# Quiet when nothing is missing. Without root it says what to run. What the tests can do without is tried and
# no more: the claims that need it are skipped, with the reason.
set -u
build='gcc libc6-dev make pkg-config libsqlite3-dev libinih-dev libdw-dev libelf-dev liblz4-dev libzstd-dev
libiberty-dev'
demo='git procps util-linux sqlite3'
test='g++ libunwind-dev python3 perl binutils'

# From here on: without them some claims are skipped.
tools='lua5.4 valgrind man-db groff-base strace gdb systemd-container mmdebstrap qemu-system-x86 e2fsprogs zsh clang libclang-rt-dev rustc
libc6-i386'
# Programs that are judged (tests/real) and that behave in other ways (tests/spec/17-makes.sh). Redis without its
# package of a service that would start: the server is in redis-tools.
makes='dpkg-dev lintian bc m4 eatmydata fakeroot libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4 musl-tools libcap2-bin
iputils-ping xz-utils openssh-client gpg sudo curl vim nodejs redis-tools libpython3.11-testsuite'
# More of them, for `make test-long`.
long='cron nginx-light gawk cmake ninja-build tcl'

need=$build extra=
case ${1:-test} in
build) ;;
demo) need="$build $demo" ;;
long) need="$build $demo $test" extra="$tools $makes $long" ;;
*) need="$build $demo $test" extra="$tools $makes" ;;
esac

command -v dpkg-query > /dev/null || exit 0 # not Debian: the compiler will say what is missing
has() { # also what came here by other ways than a package
	case $1 in
	rustc) command -v rustc > /dev/null && return ;;
	nodejs) command -v node > /dev/null && return ;;
	libpython*-testsuite) python3 -c 'import test.test_dict' 2> /dev/null && return ;;
	esac
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]
}
missing() { for package; do has "$package" || echo "$package"; done; }
# shellcheck disable=SC2086 # lists of names
need=$(missing $need | xargs) extra=$(missing $extra | xargs)
[ -n "$need$extra" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "missing packages; run: sudo apt-get install --no-install-recommends $need $extra" >&2
	[ -z "$need" ]
	exit
fi
echo "installing: $need $extra" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
get() { apt-get -qq -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=60 install --no-install-recommends "$@" > "$log" 2>&1 < /dev/null; }
update() { apt-get -qq update > "$log" 2>&1; }

# Package lists that are there already usually do; they are fetched when they do not.
# shellcheck disable=SC2086 # lists of names
if ls /var/lib/apt/lists/*Packages* > /dev/null 2>&1 && get $need $extra; then exit; fi
# shellcheck disable=SC2086
if update && get $need $extra; then exit; fi
# Then what is needed, and of the rest what can be had.
# shellcheck disable=SC2086
[ -z "$need" ] || get $need || { cat "$log" >&2; exit 1; }
for package in $extra; do
	get "$package" || echo "without $package: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log")" >&2
done
