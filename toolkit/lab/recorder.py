"""Write the frames of an interface to a pcap file until SIGTERM, up to a limit."""

from __future__ import annotations

import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import BinaryIO

MOST_FRAMES = 400_000
_SNAP = 1 << 16
_MAGIC_NS = 0xA1B23C4D
_TIMESTAMP_NS = 35  # SO_TIMESTAMPNS, asm-generic/socket.h
_BUFFER = 64 << 20
_BUFFER_FORCE = 33  # SO_RCVBUFFORCE
_EVERY_PROTOCOL = 3
_QUIET_S = 0.2  # of silence after SIGTERM: what was on its way has come


def record(interface: str, path: Path) -> None:
    """Record until SIGTERM."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as end, path.open("wb") as file:
        end.setsockopt(socket.SOL_SOCKET, _BUFFER_FORCE, _BUFFER)
        end.setsockopt(socket.SOL_SOCKET, _TIMESTAMP_NS, 1)
        end.bind((interface, _EVERY_PROTOCOL))
        end.settimeout(_QUIET_S)
        file.write(struct.pack("<IHHiIII", _MAGIC_NS, 2, 4, 0, 0, _SNAP, 1))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for _ in range(MOST_FRAMES):
            while not _write_next(end, file):
                if stopping:
                    return


def _write_next(end: socket.socket, file: BinaryIO) -> bool:
    """Write one frame; False where none came for a while."""
    try:
        frame, notes, _, _ = end.recvmsg(_SNAP, socket.CMSG_SPACE(16))
    except TimeoutError:
        return False
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    for level, kind, data in notes:
        if (level, kind) == (socket.SOL_SOCKET, _TIMESTAMP_NS):
            seconds, nanoseconds = struct.unpack("qq", data)
    file.write(struct.pack("<IIII", seconds, nanoseconds, len(frame), len(frame)) + frame)
    return True


if __name__ == "__main__":
    record(sys.argv[1], Path(sys.argv[2]))
