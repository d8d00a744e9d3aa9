"""A dump with events and snapshots of one process on stdin: has each block of a snapshot the size and the stack that the
event had which made it?"""
import sys

live = {}
blocks = bad = 0
for line in sys.stdin:
    words = line.split()
    fields = dict(w.split("=", 1) for w in words[2:] if "=" in w)
    if words[1] in ("alloc", "realloc"):
        live[fields["address"]] = (fields["size"], fields["stack"])
    elif words[1] == "block":
        blocks += 1
        if live.get(fields["address"]) != (fields["size"], fields["stack"]):
            bad += 1
            print(line.strip(), "was", live.get(fields["address"]), file=sys.stderr)
print("the same stacks for all blocks" if blocks > 500 and bad == 0 else f"{bad} of {blocks} blocks differ")
