#!/bin/bash
# 8 - each of the first 50 writes of a session fails (tests/spec/22-writes.sh).
WRITES=$(seq -s ' ' 50) exec bash "$(dirname "$0")/../spec/22-writes.sh"
