"""Servers of devices and plants: Modbus, OPC UA, IEC 104, a camera, a sink for anything."""

from __future__ import annotations

import os
import random
import select
import socketserver
import struct
import time

_RANDOM = random.Random()  # noqa: S311 - shapes traffic, keeps no secret


class Modbus(socketserver.StreamRequestHandler):
    """Modbus/TCP: registers that count up (Modbus Messaging on TCP/IP, V1.0b)."""

    def handle(self) -> None:
        """Answer reads of holding registers and single writes of one; refuse other functions."""
        while len(header := self.rfile.read(7)) == 7:
            transaction, _, length, unit = struct.unpack(">HHHB", header)
            request = self.rfile.read(min(length, 260) - 1)
            if request[:1] == b"\x03" and len(request) == 5:
                count = min(struct.unpack(">H", request[3:5])[0], 125)
                body = struct.pack(f">BB{count}H", 3, 2 * count, *range(count))
            elif request[:1] == b"\x06":
                body = request
            else:
                body = bytes([(request[0] if request else 0) | 0x80, 1])
            head = struct.pack(">HHHB", transaction, 0, len(body) + 1, unit)
            self.wfile.write(head + body)


class OpcUa(socketserver.StreamRequestHandler):
    """OPC UA's binary frames: hello, a channel, and answers of the size of values (Part 6, 7.1)."""

    def handle(self) -> None:
        """Answer frame by frame."""
        while len(header := self.rfile.read(8)) == 8:
            kind, length = header[:3], struct.unpack("<I", header[4:])[0]
            self.rfile.read(max(min(length, 1 << 16) - 8, 0))
            answer, size = {b"HEL": (b"ACK", 20), b"OPN": (b"OPN", 127)}.get(
                kind, (b"MSG", _RANDOM.randint(80, 400))
            )
            self.wfile.write(answer + b"F" + struct.pack("<I", 8 + size) + os.urandom(size))


class Iec104(socketserver.StreamRequestHandler):
    """A substation: confirms commands, reports values by itself (IEC 60870-5-104)."""

    def handle(self) -> None:
        """Answer frames, and send a value every third of a second."""
        sent = 0
        while True:
            if select.select([self.connection], [], [], 0.3)[0]:
                header = self.rfile.read(2)
                if len(header) < 2:
                    return
                frame = self.rfile.read(header[1])
                if frame[0] & 3 == 3:  # STARTDT or TESTFR: act becomes con
                    self.wfile.write(b"\x68\x04" + bytes([frame[0] << 1 & 0xFF | 3]) + frame[1:])
                elif frame[0] & 1 == 0:  # a command is confirmed
                    self.wfile.write(header + frame)
            else:
                value = b"\x0d\x01\x03\0\x01\0" + struct.pack("<HBfB", sent % 99, 0, sent, 0)
                head = struct.pack("<BBHH", 0x68, 4 + len(value), sent << 1 & 0xFFFF, 0)
                self.wfile.write(head + value)
                sent += 1


class Camera(socketserver.StreamRequestHandler):
    """RTSP: after PLAY, frames interleaved in the connection (RFC 2326)."""

    def handle(self) -> None:
        """Answer requests; a picture every 40 ms once playing, a whole one every second."""
        playing, number = False, 0
        while True:
            if select.select([self.connection], [], [], 0.04 if playing else 5)[0]:
                words = self.rfile.readline(4096).split()
                if not words:
                    return
                sequence = self._headers()
                body = b"v=0\r\nm=video 0 RTP/AVP 96\r\n" if words[0] == b"DESCRIBE" else b""
                head = b"RTSP/1.0 200 OK\r\nCSeq: %b\r\nSession: 77\r\nContent-Length: %d\r\n\r\n"
                self.wfile.write(head % (sequence, len(body)) + body)
                playing |= words[0] == b"PLAY"
            elif playing:
                self._picture(number)
                number += 1

    def _headers(self) -> bytes:
        sequence = b"0"
        while line := self.rfile.readline(4096).strip():
            if line.lower().startswith(b"cseq:"):
                sequence = line[5:].strip()
        return sequence

    def _picture(self, number: int) -> None:
        left = 24_000 if number % 25 == 0 else _RANDOM.randint(1500, 6000)
        while left > 0:
            size = min(left, 1400)
            self.wfile.write(b"$\0" + struct.pack(">H", size) + b"\x80\x60" + os.urandom(size - 2))
            left -= size


class Desktop(socketserver.StreamRequestHandler):
    """A remote desktop: each stroke of the client changes a part of the picture (RFC 6143)."""

    def handle(self) -> None:
        """Greet, then answer strokes with pieces of the picture."""
        self.wfile.write(b"RFB 003.008\n")
        while self.rfile.read1(1 << 12):
            pieces = 40 if _RANDOM.random() < 0.05 else _RANDOM.randint(0, 3)
            self.wfile.write(os.urandom(_RANDOM.randint(40, 1200)) * pieces or b"\0")


class Sink(socketserver.StreamRequestHandler):
    """A server of anything: a line is answered by a line."""

    def handle(self) -> None:
        """Answer until the client leaves."""
        while self.rfile.readline(1 << 16):
            self.wfile.write(b"ok\n")


class Hole(socketserver.StreamRequestHandler):
    """A server that reads and says nothing, as printers and collectors of logs do."""

    def handle(self) -> None:
        """Read until the client leaves."""
        while self.rfile.read1(1 << 16):
            pass


class Controller(socketserver.StreamRequestHandler):
    """The other end of a reverse shell: types commands with pauses, reads what they print."""

    def handle(self) -> None:
        """Type until the victim leaves."""
        commands = (b"id\n", b"uname -a\n", b"ls -la /\n", b"cat /etc/passwd\n", b"ps aux | head\n")
        while True:
            time.sleep(_RANDOM.uniform(0.3, 2.0))
            self.wfile.write(_RANDOM.choice(commands))
            time.sleep(0.3)
            if not self.rfile.read1(1 << 16):
                return


DEVICES: dict[str, type[socketserver.BaseRequestHandler]] = {
    "modbus": Modbus,
    "opcua": OpcUa,
    "iec104": Iec104,
    "camera": Camera,
    "desktop": Desktop,
    "sink": Sink,
    "hole": Hole,
    "controller": Controller,
}
