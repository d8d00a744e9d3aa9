#!/bin/bash
# run.sh [--quick] - for `make bench`: what tracing costs, beside the peers that are installed.
exec python3 "$(dirname "$0")/run.py" "$@"
