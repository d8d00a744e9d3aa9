#!/bin/bash
# run.sh [--quick] [option of run.py...] - for `make bench`: what tracing costs, beside the peers that are installed; what a
# session of firstallocd, a start and a table of live blocks cost (as root); and at the end each bar, met or missed.
# With --only, --tools or --json it is run.py alone.
here=$(dirname "$0")
case " $* " in
*" --only"* | *" --tools"* | *" --json"* | *" --help"* | *" -h "*) exec python3 "$here/run.py" "$@" ;;
esac
out=$(mktemp -d /tmp/firstalloc-bench.XXXXXX)
trap 'rm -rf "$out"' EXIT
case " $* " in
*" --quick "*) export QUICK=1 STARTS=300 ROUNDS=3 BLOCKS=200000 ;;
esac
title() { printf '\n== %s\n' "$1"; }
title "programs"
python3 "$here/run.py" "$@" --json "$out/rows.json" || exit
if [ "$(id -u)" = 0 ]; then
	title "sessions of firstallocd"
	JSON=$out/sessions.json "$here/sessions.sh"
	title "a start, unflagged"
	JSON=$out/exec.json "$here/exec.sh"
	title "a table of live blocks"
	"$here/snapshots.sh"
fi
title "bars"
python3 "$here/bars.py" "$out"
