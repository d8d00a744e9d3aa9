#!/bin/bash
# 9 - install and uninstall killed before every single change of a file; 10,000 starts while rules change.
# Needs root.
. "$(dirname "$0")/../spec/machine.sh"
. "$(dirname "$0")/../spec/lib.sh"
private_machine 9 "life on a machine"
FALLER=$T/m/faller
cp "$P/faller" "$FALLER"
. "$(dirname "$0")/../spec/flips.sh"
it 9.1 "10,000 starts in parallel with enable and disable: each sees one state, none fails or prints" flips 10000
shim=$B/libfirstalloc_preload.so
. "$(dirname "$0")/../spec/whole.sh"
it 9.2 "install killed before each change of a file: programs start, the next run mends" install_killed 1 1
it 9.3 "uninstall killed before each change of a file: programs start, the next run mends" uninstall_killed 1 1
results
