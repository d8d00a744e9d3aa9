#!/bin/bash
# 11 - 50 million events at full speed into a slow disk (tests/spec/35-sessions.sh, 35.16 and 35.17).
BURST=12500000 exec bash "$(dirname "$0")/../spec/35-sessions.sh"
