#!/bin/bash
# 10,000 starts beside a loop of enable and disable: tests/spec/19-starts.sh.
STARTS=10000 exec bash "$(dirname "$0")/../spec/19-starts.sh"
