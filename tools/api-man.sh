#!/bin/sh
# Manual pages of the C library from the comments of its header.
#   api-man.sh list HEADER                    the functions
#   api-man.sh page HEADER FUNCTION VERSION   the page of one, in roff
# A function is described by the comment right before its prototype, whose first line is "NAME - what
# it does". Lines of a comment that begin with more than one blank are shown as they are.
set -eu
case $1 in
list)
	sed -n 's/^ \* \(fa_[a-z_]*\) - .*/\1/p' "$2"
	;;
page)
	awk -v want="$3" -v version="$4" '
	function roff(s) {
		gsub(/\\/, "\\e", s)
		gsub(/-/, "\\-", s)
		gsub(/\047/, "\\(aq", s)
		gsub(/`/, "\\(ga", s)
		return s ~ /^\./ ? "\\\\&" s : s
	}
	/^enum fa_error \{/ { in_errors = 1; next }
	in_errors && /^\};/ { in_errors = 0 }
	in_errors && $1 ~ /^FA_/ {
		name = $1; text = $0
		sub(/.*\/\* /, "", text); sub(/ \*\/$/, "", text)
		errors[++error_count] = name; means[error_count] = text
	}
	/^\/\*$/ { in_comment = 1; lines = 0; subject = ""; next }
	in_comment && /^ \*\// { in_comment = 0; next }
	in_comment {
		text = $0; sub(/^ \* ?/, "", text)
		if (match(text, /^fa_[a-z_]* - /) && lines == 0) {
			subject = substr(text, 1, RLENGTH - 3)
			summary[subject] = substr(text, RLENGTH + 1)
		} else if (!(text == "" && lines == 0))
			body[subject, ++lines] = text
		count[subject] = lines
		next
	}
	subject != "" && !/^$/ {
		sub(/^\t+/, "    ")
		proto[subject] = proto[subject] $0 "\n"
		if (/;$/) { order[++functions] = subject; subject = "" }
	}
	END {
		if (!(want in proto)) exit 1
		upper = toupper(want)
		printf ".TH %s 3 \"\" \"firstalloc %s\" \"firstalloc manual\"\n", roff(upper), version
		printf ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.nf\n#include <firstalloc.h>\n\n%s.fi\n", roff(want), roff(summary[want]), roff(proto[want])
		print "Link with \\-lfirstalloc.\n.SH DESCRIPTION"
		for (i = 1; i <= count[want]; i++) {
			text = body[want, i]
			literal = text ~ /^ /
			if (literal != was) print literal ? ".nf" : ".fi"
			was = literal
			print text == "" ? ".PP" : roff(text)
		}
		if (was) print ".fi"
		if (proto[want] ~ /^int /) {
			print ".SH RETURN VALUE\nFA_OK (0), or one of:"
			for (i = 2; i <= error_count; i++)
				printf ".TP\n.B %s\n%s\n", roff(errors[i]), roff(means[i])
			print ".PP\n.BR fa_error_message (3)\nsays it in words."
		}
		print ".SH SEE ALSO"
		for (i = 1; i <= functions; i++)
			if (order[i] != want) printf ".BR %s (3),\n", roff(order[i])
		print ".BR firstalloc (1),\n.BR firstallocd (8)"
	}' "$2"
	;;
*)
	exit 2
	;;
esac
