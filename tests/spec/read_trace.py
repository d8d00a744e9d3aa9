#!/usr/bin/env python3
"""A reader of raw traces, written from docs/FORMAT.md alone: prints one line an event.

tests/spec/4-trace.sh compares it with `firstalloc dump`, so the page stays complete and true.
"""
import struct
import sys

MASK = (1 << 64) - 1
FUNCTIONS = ["malloc", "calloc", "memalign", "aligned_alloc", "posix_memalign", "valloc", "pvalloc"]


def mix(h, v):
    h ^= v
    h = h * 0x9FB21C651E98DF25 & MASK
    return h ^ h >> 32


def hash64(data, seed):
    h = mix(seed ^ 0x2545F4914F6CDD1D, len(data))
    whole = len(data) // 8 * 8
    for i in range(0, whole, 8):
        h = mix(h, int.from_bytes(data[i : i + 8], "little"))
    h = mix(h, int.from_bytes(data[whole:], "little"))
    return mix(h, h >> 29)


class Events:
    def __init__(self, data, addr, stamp, stack):
        self.data, self.at = data, 0
        self.addr, self.stamp, self.stack = addr, stamp, stack

    def take(self, length):
        value = int.from_bytes(self.data[self.at : self.at + length], "little")
        self.at += length
        return value

    def address(self, length):
        field = self.take(length)
        m = (field >> 1 & (1 << 58) - 1) << 4 | field >> 59 & 15
        self.addr = self.addr + (-m if field & 1 else m) & MASK
        return self.addr

    def stack_id(self, length):
        z = self.take(length)
        self.stack = self.stack + (z >> 1 ^ -(z & 1)) & 0xFFFFFFFF
        return self.stack

    def size_stack_stamp(self, byte1):
        size = self.take(1 << (byte1 & 3))
        stack = self.stack_id((0, 1, 2, 4)[byte1 >> 2 & 3])
        self.stamp += self.take(byte1 >> 4 & 7)
        return size, None if byte1 & 0x80 else stack

    def free(self, byte0):
        byte1 = self.take(1) if byte0 & 8 else 0
        addr = self.address((byte0 >> 4) + 1)
        stack = self.stack_id(byte1 >> 4) if byte1 >> 4 else None
        self.stamp += self.take(byte1 & 7)
        return "free", None, addr, None, stack, None

    def alloc(self, byte0):
        byte1 = self.take(1)
        function = self.take(1) if byte0 & 8 else 0
        addr = self.address((byte0 >> 4) + 1)
        size, stack = self.size_stack_stamp(byte1)
        return "alloc", None, addr, size, stack, FUNCTIONS[function & 7]

    def realloc(self, byte0):
        byte1, byte2 = self.take(1), self.take(1)
        old = 0 if byte0 & 8 else self.address((byte0 >> 4) + 1)
        addr = 0 if byte2 & 8 else self.address((byte2 & 7) + 1)
        size, stack = self.size_stack_stamp(byte1)
        return "realloc", old, addr, size, stack, "reallocarray" if byte2 & 16 else "realloc"

    def stamp_only(self, byte0):
        self.stamp += self.take(byte0 >> 4)
        return "stamp", None, None, None, None, None

    def __iter__(self):
        kinds = {1: self.free, 2: self.alloc, 3: self.realloc, 4: self.stamp_only}
        while self.at < len(self.data):
            byte0 = self.take(1)
            yield kinds[byte0 & 7](byte0)


def records(data):
    magic, version, min_reader, header_size, incompatible = struct.unpack_from("<8sHHIQ", data)
    assert magic == b"FATRAC\r\n" and min_reader <= 1 and incompatible == 0
    assert hash64(data[:56], 0) == struct.unpack_from("<Q", data, 56)[0]
    at, sequence = header_size, 0
    while at < len(data):
        magic, codec, flags, _, stored, raw, number, checksum = struct.unpack_from("<4sBBHIIQQ", data, at)
        block = data[at + 32 : at + 32 + stored]
        assert magic == b"FABL" and codec == 0 and stored == raw and number == sequence
        assert hash64(block, hash64(data[at : at + 24], 0)) == checksum
        at, sequence = at + 32 + stored, sequence + 1
        pos = 0
        while pos < len(block):
            tag, head_size, size = struct.unpack_from("<HHI", block, pos)
            pos += 8
            yield tag, block[pos : pos + head_size], block[pos + head_size : pos + size]
            pos += size
    assert flags & 1


def main():
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    for tag, head, tail in records(data):
        if tag != 9:
            continue
        process, thread, _, _, count, codec, _, addr, stamp, stack, _ = struct.unpack("<6IQQQII", head)
        assert codec == 1
        events = list(Events(tail, addr, stamp, stack))
        assert len(events) == count
        for kind, old, addr, size, stack, function in events:
            fields = [f"{kind:<11}", f"process={process}", f"thread={thread & 0x7fffffff}"]
            fields += ["nested"] if thread >> 31 else []
            fields += [f"old_address={old:#x}"] if old is not None else []
            fields += [f"address={addr:#x}"] if addr is not None else []
            fields += [f"size={size}"] if size is not None else []
            fields += [f"stack={stack}"] if stack is not None else []
            fields += [f"function={function}"] if function else []
            print(" ".join(fields))


main()
