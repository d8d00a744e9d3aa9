#!/bin/bash
# 1 - the gate: who is flagged, and that who is not notices nothing.
#
# Claims: names match the executable, the executed path and (with --script) a script's name, exactly;
# path and user scopes hold; a damaged, cut, huge or foreign index means "not flagged" without a
# word; set-user-id programs are refused unless the rule says so; the reason can be read; nothing of
# ours stays open; the unflagged program makes three system calls more. As root, in a private mount
# namespace with its own /etc/firstalloc and /etc/ld.so.preload.
. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then
	skip 1.0 "the gate in a private mount namespace" "needs root"
	results
	exit
fi

LIB=$B/libfirstalloc_preload.so
R=$T/root
mkdir -p "$R/etc/firstalloc/door" "$R/var/lib/firstalloc"
: >"$R/etc/firstalloc/door/bell"
chmod -R a+rX "$T"

# inside COMMAND: with the index and the preload line, the machine's own files untouched
inside() {
	unshare -m bash -c '
		set -e
		mount -t tmpfs tmpfs /mnt
		mkdir /mnt/u /mnt/w /mnt/u/firstalloc
		cp -a "$1/etc/firstalloc/." /mnt/u/firstalloc/
		echo "$2" >/mnt/u/ld.so.preload
		mount -t overlay -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w overlay /etc
		shift 2
		exec "$@"' sh "$R" "$LIB" "$@"
}
enable() { "$FA" --root "$R" enable "$@" >/dev/null 2>&1; }
clear_rules() {
	[ ! -d "$R/etc/firstalloc/registry.idx" ] || rmdir "$R/etc/firstalloc/registry.idx"
	"$FA" --root "$R" disable --all >/dev/null 2>&1 || true
}

# reason COMMAND: what the process block of the started program says, by its own memory
cat >"$T/reason.c" <<'C'
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
	const uint32_t *block = dlsym(RTLD_DEFAULT, "firstalloc_process_block");
	if (block == NULL) { puts("no shim"); return 0; }
	printf("%u\n", block[3]);
	return 0;
}
C
gcc -w -o "$T/prog" "$T/reason.c"
cp "$T/prog" "$T/suid"; chmod 4755 "$T/suid"
ln -s prog "$T/link"
printf '#!%s\n' "$T/prog" >"$T/script.py"; chmod 755 "$T/script.py"
printf '#!%s -x\n' "$T/link" >"$T/option.py"; printf '#!%s\n' "$T/option.py" >"$T/nested.py"; chmod 755 "$T"/*.py
mkdir "$T/dir"; cp "$T/prog" "$T/dir/exec-only"; chmod 711 "$T/dir/exec-only"
chmod 755 "$T"

NOT_FLAGGED=0 NO_COLLECTOR=3 SECURE=4

flagged() { # name, expected reason, command...
	local want=$2
	clear_rules
	enable $1
	shift 2
	same "$(inside "$@")" "$want"
}
it 1.1 "a program that no rule names is not flagged" flagged other $NOT_FLAGGED "$T/prog"
it 1.2 "the name of the executable flags it" flagged prog $NO_COLLECTOR "$T/prog"
it 1.3 "so does the name it is executed by" flagged link $NO_COLLECTOR "$T/link"
it 1.4 "and the executable's own name when it is executed by another" flagged prog $NO_COLLECTOR "$T/link"
it 1.5 "a script's own path flags its interpreter" flagged script.py $NO_COLLECTOR "$T/script.py"
it 1.30 "the interpreter's own name flags a script" flagged prog $NO_COLLECTOR "$T/script.py"
it 1.31 "with an option, by another name of it" flagged prog $NO_COLLECTOR "$T/option.py"
it 1.32 "one whose interpreter is a script" flagged prog $NO_COLLECTOR "$T/nested.py" a b
it 1.33 "a program whose file may not be read" flagged exec-only $NO_COLLECTOR setpriv --reuid=65534 --clear-groups "$T/dir/exec-only"
it 1.34 "or is another's argument" flagged prog $NO_COLLECTOR "$T/prog" "$T/prog"
it 1.35 "a name in a folder that is a link" flagged "prog --path $T/prog" $NO_COLLECTOR "$T/dir/../prog"
it 1.6 "names match whole: pro is not prog" flagged pro $NOT_FLAGGED "$T/prog"
it 1.7 "with --script the interpreter's argument counts" flagged "backup.sh --script" $NO_COLLECTOR "$T/prog" -x /some/backup.sh
it 1.8 "without --script it does not" flagged backup.sh $NOT_FLAGGED "$T/prog" /some/backup.sh
it 1.9 "a path scope holds" flagged "prog --path $T/prog" $NO_COLLECTOR "$T/prog"
it 1.10 "and keeps others out" flagged "prog --path /usr/bin/prog" $NOT_FLAGGED "$T/prog"
it 1.11 "a user scope holds" flagged "prog --user root" $NO_COLLECTOR "$T/prog"
it 1.12 "and keeps others out" flagged "prog --user nobody" $NOT_FLAGGED "$T/prog"
it 1.13 "an expired rule flags nobody" flagged "prog --for 1ms" $NOT_FLAGGED bash -c "sleep 1.1; exec $T/prog"
it 1.14 "set-user-id programs are refused" flagged suid $SECURE setpriv --reuid=65534 --clear-groups "$T/suid"
it 1.15 "unless the rule says so" flagged "suid --secure" $NO_COLLECTOR setpriv --reuid=65534 --clear-groups "$T/suid"

it 1.26 "PID 1 is refused" flagged prog 5 unshare -pf "$T/prog"
it 1.27 "unless the rule says so" flagged "prog --pid1" $NO_COLLECTOR unshare -pf "$T/prog"
gcc -w -fsanitize=address -o "$T/asan" "$T/reason.c" && {
	it 1.28 "a sanitizer build is refused, and runs" flagged asan 6 "$T/asan"
	it 1.29 "it runs when it is not flagged, too" flagged other $NOT_FLAGGED "$T/asan"
}

damaged() { # how: a command that changes the file $I
	clear_rules
	enable prog
	I=$R/etc/firstalloc/registry.idx
	eval "$1"
	same "$(inside "$T/prog" 2>&1)" $NOT_FLAGGED
}
it 1.16 "a cut index flags nobody, silently" damaged 'truncate -s 70 $I'
it 1.17 "an empty one" damaged ': >$I'
it 1.18 "one of zeros" damaged 'head -c 4096 /dev/zero >$I'
it 1.19 "one of 1 MB" damaged 'truncate -s 1M $I'
it 1.20 "one with a flipped bit" damaged 'printf "\377" | dd of=$I bs=1 seek=90 conv=notrunc status=none'
it 1.21 "one of a later version" damaged 'printf "\143\0\143\0" | dd of=$I bs=1 seek=8 conv=notrunc status=none'
it 1.22 "one that is missing" damaged 'rm $I'
it 1.23 "one that may not be read" damaged 'rm $I; mkdir $I'

few_calls() {
	local plain added
	clear_rules
	enable something
	plain=$(strace -f -o "$T/a" /bin/true; grep -c . "$T/a")
	added=$(inside strace -f -E X=1 -o "$T/b" /bin/true; grep -c . "$T/b")
	# mapping the object: open, read, fstat, 4 mmap/mprotect, close; ld.so.preload: open, fstat, mmap, close, munmap
	echo "system calls: $plain without, $added with"
	grep -E 'firstalloc|maps' "$T/b" >&2
	[ "$(grep -c 'registry.idx' "$T/b")" = 1 ] && [ $((added - plain)) -le 24 ] || return 1
}
if command -v strace >/dev/null; then
	it 1.24 "an unflagged program opens one file of ours, reads it once, and goes on" few_calls
else
	skip 1.24 "an unflagged program opens one file of ours, reads it once, and goes on" "no strace"
fi
clean() {
	clear_rules
	enable other
	same "$(inside sh -c 'ls /proc/self/fd | wc -l')" "$(ls /proc/self/fd | wc -l)"
	same "$(inside sh -c 'echo out; echo err >&2; exit 7' 2>&1; echo $?)" "$(printf 'out\nerr\n7')"
}
it 1.25 "no descriptor, no output, the same exit status" clean
results
