# snapshot_check.py KNOWN DUMP - is each block of KNOWN ("address size" lines) in the snapshot once, with its size?
# No address may be there twice. DUMP: `firstalloc dump` of the snapshot. Prints how many blocks there are besides.
import sys

known = {}
for line in open(sys.argv[1]):
    address, size = line.split()
    known[int(address, 16)] = int(size)
seen = {}
for line in open(sys.argv[2]):
    words = line.split()
    if len(words) < 2 or words[1] != 'block':
        continue
    block = dict(w.split('=', 1) for w in words[2:])
    address = int(block['address'], 16)
    if address in seen:
        sys.exit('%#x is there twice' % address)
    seen[address] = block
for address, size in known.items():
    if address not in seen:
        sys.exit('%#x of %d bytes is missing; %d are there' % (address, size, len(seen)))
    if int(seen[address]['size']) != size:
        sys.exit('%#x has %s bytes, not %d' % (address, seen[address]['size'], size))
    if seen[address]['stack'] == '0':
        sys.exit('%#x has no stack' % address)
    if not size <= int(seen[address].get('usable', size)) < size + 40:
        sys.exit('%#x: usable %s of %d' % (address, seen[address]['usable'], size))
print(len(seen) - len(known))
