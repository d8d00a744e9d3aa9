#!/bin/bash
# 12 - a flagged service under each setting of a sandbox (sandboxes.sh). Claims:
#   12.1  in a container, with a real systemd: each is traced to the last event, or not harmed, and cured by what `doctor`
#         prints; ends as without firstalloc, and says no line that it would not say without
spec=$(cd "$(dirname "$0")/../spec" && pwd)
. "$spec/lib.sh"
. "$spec/guest.sh"
. "$spec/sandboxes.sh"
if why=$(guest_lacks); then
	skip 12.1 "services in sandboxes" "$why"
	results
	exit
fi
G=$T/guest
CONTAINER_LIMIT=900 # some 200 starts

in_container() {
	guest_make "$G"
	sandboxes_in "$G"
	sandboxes_run "$G"
	[ "$(wc -l <"$T/matrix")" -ge 66 ]
}
it 12.1 "66 sandboxes: traced or not harmed, cured by what doctor prints" in_container
cp "$T/matrix" "$B/sandboxes.md" 2>/dev/null
results
