#!/usr/bin/env python3
"""Read a trace with libfirstalloc through ctypes: what was allocated, what was left, and from where.

    firstalloc run -o ls.falloc -- ls
    python3 read_trace.py ls.falloc           # a table
    python3 read_trace.py --json ls.falloc    # the same for a program

FIRSTALLOC_LIBRARY names the library where it is not installed.
"""
import ctypes
import json
import os
import sys
from ctypes import c_char, c_char_p, c_int32, c_int64, c_uint32, c_uint64, c_void_p

FA_OK, FA_ERROR_NO_MORE = 0, 14
ALLOC, REALLOC, FREE = 1, 2, 3


def structure(name, fields):
    return type(name, (ctypes.Structure,), {"_fields_": [(f, t) for t, names in fields for f in names.split()]})


Info = structure("Info", [
    (c_uint32, "size state"), (c_uint64, "start_real_ns duration_ns events lost unread_bytes"),
    (c_uint32, "processes reserved"), (c_char * 128, "session_name host"), (c_char * 256, "kernel")])
Process = structure("Process", [
    (c_uint32, "size process"), (c_int32, "pid parent_pid"), (c_uint32, "parent origin uid gid"),
    (c_int64, "start_ns end_ns"), (c_uint32, "ended"), (c_int32, "status"), (c_uint32, "incomplete lost_unknown"),
    (c_uint64, "lost"), (c_char_p, "image exe exec_path cgroup arguments")])
Event = structure("Event", [
    (c_uint32, "size kind"), (c_int64, "time_ns"), (c_uint64, "address old_address bytes alignment"),
    (c_uint32, "process"), (c_int32, "pid"), (c_uint32, "thread"), (c_int32, "tid"),
    (c_uint32, "stack function flags"), (c_int32, "status"), (c_char_p, "text")])
Frame = structure("Frame", [
    (c_char_p, "function file module"), (c_uint64, "offset"), (c_uint32, "line inlined")])

lib = ctypes.CDLL(os.environ.get("FIRSTALLOC_LIBRARY", "libfirstalloc.so.0"))
lib.fa_error_message.restype = c_char_p
lib.fa_error_name.restype = c_char_p


def check(error):
    if error != FA_OK:
        raise OSError(f"{lib.fa_error_message().decode()} ({lib.fa_error_name(error).decode()})")


class Trace:
    def __init__(self, path):
        self.handle = c_void_p()
        check(lib.fa_trace_open(os.fsencode(path), ctypes.byref(self.handle)))

    def close(self):
        lib.fa_trace_close(self.handle)
        self.handle = None

    def info(self):
        info = Info(size=ctypes.sizeof(Info))
        check(lib.fa_trace_get_info(self.handle, ctypes.byref(info)))
        return info

    def processes(self):
        for i in range(self.info().processes):
            process = Process(size=ctypes.sizeof(Process))
            check(lib.fa_trace_get_process(self.handle, c_uint32(i), ctypes.byref(process)))
            yield process

    def events(self):
        """Each event in turn; the object is the same each time."""
        event = Event(size=ctypes.sizeof(Event))
        while True:
            error = lib.fa_trace_next(self.handle, ctypes.byref(event))
            if error == FA_ERROR_NO_MORE:
                return
            check(error)
            yield event

    def stack(self, process, stack):
        frames, count = (Frame * 512)(), c_uint32()
        check(lib.fa_trace_stack(self.handle, process, stack, 0, frames, 512, ctypes.byref(count)))
        return [{"function": f.function and f.function.decode(errors="surrogateescape"),
                 "file": f.file and f.file.decode(errors="surrogateescape"), "line": f.line or None,
                 "module": f.module and f.module.decode(errors="surrogateescape"), "offset": f.offset,
                 "inlined": bool(f.inlined)} for f in frames[:count.value]]


def read(path):
    trace = Trace(path)
    info = trace.info()
    counts = {ALLOC: 0, REALLOC: 0, FREE: 0}
    total = {"blocks": 0, "bytes": 0}
    live = {}  # (process, address): (bytes, stack)
    for e in trace.events():
        if e.kind not in counts:
            continue
        counts[e.kind] += 1
        live.pop((e.process, e.address if e.kind == FREE else e.old_address), None)
        if e.kind != FREE and e.address:
            total["blocks"] += 1
            total["bytes"] += e.bytes
            live[e.process, e.address] = e.bytes, e.stack
    rows = {}
    for (process, _), (size, stack) in live.items():
        row = rows.setdefault((process, stack), [0, 0])
        row[0] += size
        row[1] += 1
    result = {
        "session": info.session_name.decode(), "lost": info.lost, "duration_ns": info.duration_ns,
        "processes": [{"id": p.process, "pid": p.pid, "image": p.image.decode(), "exe": p.exe.decode(),
                       "start_ns": p.start_ns, "end_ns": p.end_ns, "status": p.status} for p in trace.processes()],
        "events": {"alloc": counts[ALLOC], "realloc": counts[REALLOC], "free": counts[FREE]},
        "total": total,
        "outstanding": {"blocks": len(live), "bytes": sum(size for size, _ in live.values())},
        "rows": [{"bytes": size, "blocks": blocks, "frames": trace.stack(*key)}
                 for key, (size, blocks) in sorted(rows.items(), key=lambda r: (-r[1][0], r[0]))],
    }
    trace.close()
    return result


def main():
    words = [w for w in sys.argv[1:] if w != "--json"]
    if len(words) != 1:
        sys.exit("usage: read_trace.py [--json] FILE")
    try:
        result = read(words[0])
    except OSError as e:
        sys.exit(f"read_trace.py: {e}")
    if "--json" in sys.argv:
        json.dump(result, sys.stdout, indent=1)
        return
    print(f"{result['outstanding']['bytes']} bytes in {result['outstanding']['blocks']} blocks were not freed")
    for row in result["rows"][:10]:
        print(f"{row['bytes']:12} bytes {row['blocks']:8} blocks")
        for f in row["frames"]:
            place = f"{f['file']}:{f['line']}" if f["file"] else f"{f['module']}+0x{f['offset']:x}"
            print(f"    {f['function'] or '?'}  {place}")


main()
