#!/bin/bash
# 9 Command line. Claims:
#   9.1-9.4   help, of all and of one command; the table is whole
#   9.5-9.12  words: unknown ones are named with the nearest known one, in one line, exit status 2;
#             options stand anywhere; -- ends them
#   9.13-9.16 output: a full disk is an error, a reader that went away is none, no colour in a pipe
#   9.17-9.21 completions and manual pages, made from the same table, are well-formed
. "$(dirname "$0")/lib.sh"

# refuses STATUS PATTERN ARG...: exit status, one line on stderr that matches, nothing on stdout
refuses() {
	local status=$1 pattern=$2 got=0
	shift 2
	"$FA" "$@" > "$T/out" 2> "$T/err" || got=$?
	cat "$T/err"
	same "$got" "$status" && same "$(wc -l < "$T/err")" 1 && same "$(cat "$T/out")" "" &&
		grep -q -- "$pattern" "$T/err"
}
commands=$("$FA" help | sed -n 's/^  \([a-z]\{2,\}\) .*/\1/p')

lists_all() { for c in enable disable images show history start stop mark status run report merge dump autologger boot install uninstall doctor off on help; do grep -qx "$c" <<< "$commands" || { echo "no $c"; return 1; }; done; }
it 9.1 "help lists every command" lists_all
each_has_help() { for c in $commands; do
	"$FA" help "$c" > "$T/a" && "$FA" "$c" --help > "$T/b" && "$FA" "$c" -h | cmp - "$T/a" && cmp "$T/a" "$T/b" &&
		grep -q "^usage: firstalloc $c" "$T/a" && grep -q -- '--root=DIR' "$T/a" || { echo "$c"; return 1; }
done; }
it 9.2 "help COMMAND and COMMAND --help and -h are one page, with usage and options" each_has_help
narrow() { for c in '' $commands; do "$FA" help $c | grep -v '^usage:\|  .*#' | awk -v c="$c" 'length > 100 { print c ": " $0; bad = 1 } END { exit bad }' || return 1; done; }
it 9.3 "help is not wider than a page" narrow
it 9.4 "--version names program and version" bash -c "'$FA' --version | grep -Eqx 'firstalloc [0-9]+\.[0-9]+\.[0-9]+'"

it 9.5 "an unknown command is answered with the nearest one" refuses 2 "unknown command 'enabel'; did you mean 'enable'?" enabel
it 9.6 "a command that is like no other points to help" refuses 2 "unknown command 'xyzzy'; 'firstalloc help'" xyzzy
it 9.7 "an unknown option is answered with the nearest one" refuses 2 "unknown option '--flgs'; did you mean '--flags'?" enable --flgs heap cat
it 9.8 "an unknown choice is answered with the nearest one" refuses 2 "unknown value 'bsh'; did you mean 'bash'?" help --complete=bsh
it 9.9 "an option without its value says so" refuses 2 "needs a value" help --complete
it 9.10 "a flag with a value says so" refuses 2 "takes no value" help --man=yes
it 9.11 "no command at all is a usage error" refuses 2 "no command given"
anywhere() {
	local r="$T/r"
	mkdir -p "$r"
	same "$("$FA" --json images --root "$r")" "$("$FA" --root="$r" images --json)" &&
		"$FA" help enable --man > "$T/a" && "$FA" help --man enable > "$T/b" && "$FA" --root "$r" help --man -- enable | cmp - "$T/a" &&
		cmp "$T/a" "$T/b"
}
it 9.12 "options stand before or behind the command and its operands; -- ends them" anywhere

full() {
	local got=0
	"$FA" help > /dev/full 2> "$T/err" || got=$?
	same "$got" 1 && grep -q 'No space left' "$T/err"
}
it 9.13 "output that cannot be written ends with 1 and a reason" full
gone() {
	(trap '' PIPE; "$FA" help --complete zsh 2> "$T/err" | true; exit 0)
	(trap - PIPE; "$FA" help --complete zsh 2>> "$T/err" | true; exit 0)
	same "$(cat "$T/err")" ""
}
it 9.14 "a reader that went away is no error message" gone
it 9.15 "no colour when stdout is no terminal" bash -c "! '$FA' --root '$T' doctor | grep -q \$'\\033'"
no_color() {
	command -v script > /dev/null || return 0
	TERM=xterm script -qec "'$FA' --root '$T' doctor" /dev/null | grep -q $'\033' &&
		! NO_COLOR=1 TERM=xterm script -qec "'$FA' --root '$T' doctor" /dev/null | grep -q $'\033' || return 1
}
it 9.16 "colour on a terminal, but not with NO_COLOR" no_color

it 9.17 "the bash completion is a bash script" bash -c "'$FA' help --complete bash | bash -n"
completes() {
	# words..., then what must be among the answers
	local want=${!#}
	bash -c 'PATH=$1:$PATH; source <("$1/firstalloc" help --complete bash); shift
		compopt() { :; }
		COMP_WORDS=("${@:1:$#-1}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _firstalloc
		printf "%s\n" "${COMPREPLY[@]}"' - "$B" "$@" > "$T/answers"
	grep -qxF -- "$want" "$T/answers" || { echo "for: $*"; cat "$T/answers"; return 1; }
}
bash_completes() {
	completes firstalloc en enable && completes firstalloc --root "$T" dis disable &&
		completes firstalloc enable --fl --flags && completes firstalloc help --complete = ba bash &&
		completes firstalloc help --complete "" zsh || return 1
	completes firstalloc help unin uninstall && completes firstalloc report --vi --view &&
		completes firstalloc report --view = out outstanding
}
it 9.18 "bash completes commands, options, choices" bash_completes
images_complete() {
	"$FA" --root "$T/r" enable spec-image > /dev/null 2>&1 && completes firstalloc --root "$T/r" disable spec spec-image
}
it 9.19 "bash completes the names of images that have rules" images_complete
if command -v zsh > /dev/null; then
	it 9.20 "the zsh completion is a zsh script" bash -c "'$FA' help --complete zsh > '$T/_z' && zsh -n '$T/_z'"
else
	skip 9.20 "the zsh completion is a zsh script" "no zsh"
fi
if command -v groff > /dev/null; then
	pages() {
		for c in '' $commands; do
			"$FA" help --man $c > "$T/page" && groff -man -Tascii -ww -z "$T/page" 2> "$T/err" && same "$(cat "$T/err")" "" || { echo "$c"; return 1; }
		done
		for page in "$SRC"/docs/man/*.[58]; do
			groff -man -Tascii -ww -z "$page" 2> "$T/err" && same "$(cat "$T/err")" "" || { echo "$page"; return 1; }
		done
	}
	it 9.21 "every manual page is roff without a warning" pages
else
	skip 9.21 "every manual page is roff without a warning" "no groff"
fi
results
