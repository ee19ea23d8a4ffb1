"""Play a capture out of an interface at the times of its packets: ``play_capture FILE INTERFACE``.

What cannot be sent in time is sent late, never left out. Prints how many packets were sent, in how
many seconds, and how late the latest of them was.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_HEADER, _RECORD = 24, struct.Struct("<IIII")  # of classic pcap, microseconds
_NAP_S = 0.0005


def records(data: mmap.mmap) -> Iterator[tuple[float, memoryview]]:
    """Yield each packet's second since the first one, and its bytes."""
    view, at, begin_s = memoryview(data), _HEADER, None
    while at < len(data):
        seconds, micros, size, _ = _RECORD.unpack_from(data, at)
        time_s = seconds + micros / 1e6
        begin_s = time_s if begin_s is None else begin_s
        yield time_s - begin_s, view[at + 16 : at + 16 + size]
        at += 16 + size


def play(path: Path, interface: str) -> dict[str, float]:
    """Send every packet, and return how that went."""
    latest_s, sent = 0.0, 0
    with path.open("rb") as file, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind((interface, 0))
        data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        start_s = time.monotonic()
        for due_s, frame in records(data):
            while (late_s := time.monotonic() - start_s - due_s) < 0:
                time.sleep(min(-late_s, _NAP_S) if late_s > -0.01 else -late_s)
            latest_s = max(latest_s, late_s)
            out.send(frame)
            sent += 1
    return {"sent": sent, "seconds": time.monotonic() - start_s, "latest_s": latest_s}


if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # keeps the order of what is sent
    print(json.dumps(play(Path(sys.argv[1]), sys.argv[2])))
