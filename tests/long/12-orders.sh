#!/bin/bash
# 12 - 1,000 changes of flag and session, in any order (tests/spec/35-sessions.sh, 35.18).
ORDERS=1000 SEED=$RANDOM exec bash "$(dirname "$0")/../spec/35-sessions.sh"
