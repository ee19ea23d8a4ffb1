"""What devices, telephones and plants send by themselves."""

from __future__ import annotations

import os
import struct
import threading
import time
from contextlib import suppress

from idskit.lab.play.script import RANDOM, ask, connect, datagrams, line, rest, script

_VOICE_S = 0.02  # between packets of G.711


@script
def poll_modbus(server: str, count: int, pause: float) -> None:
    """Read holding registers, as a control station does; set one now and then."""
    with connect(server, 502) as connection:
        for number in range(count):
            code, last = (6, number) if number % 15 == 14 else (3, 10)
            connection.sendall(struct.pack(">HHHBBHH", number, 0, 6, 1, code, 0, last))
            connection.recv(300)
            time.sleep(pause)


@script
def read_opcua(server: str, count: int, pause: float) -> None:
    """Open a channel by OPC UA and read values."""
    with connect(server, 4840) as connection:
        for kind, size in ((b"HEL", 48), (b"OPN", 124), *[(b"MSG", 120)] * count):
            connection.sendall(kind + b"F" + struct.pack("<I", size + 8) + os.urandom(size))
            connection.recv(1 << 14)
            rest(pause)


@script
def watch_station(server: str, count: int, _pause: float) -> None:
    """Receive the values of a substation (IEC 60870-5-104)."""
    with connect(server, 2404) as connection:
        connection.sendall(b"\x68\x04\x07\0\0\0")
        for number in range(2 * count):
            connection.recv(300)
            if number % 8 == 7:
                connection.sendall(b"\x68\x04\x01\0" + struct.pack("<H", number << 1 & 0xFFFF))
        connection.sendall(b"\x68\x04\x13\0\0\0")


@script
def read_building(server: str, count: int, pause: float) -> None:
    """Read points of a building by BACnet/IP."""
    with datagrams() as out:
        for number in range(count):
            body = b"\x01\x04\0\x05" + bytes([number & 0xFF]) + b"\x0c\x0c\0\0\0\x05\x19\x55"
            ask(out, b"\x81\x0a\0\x11" + body, server, 47808)
            rest(pause)


@script
def read_sensors(server: str, count: int, pause: float) -> None:
    """Ask sensors by CoAP."""
    with datagrams() as out:
        for number in range(count):
            message = b"\x44\x01" + struct.pack(">H", number) + os.urandom(4)
            ask(out, message + b"\xb4temp" + b"\x05value", server, 5683)
            rest(pause)


@script
def call(server: str, count: int, _pause: float) -> None:
    """Telephone by SIP and RTP for some seconds, both sides talking."""
    tag = os.urandom(4).hex()

    def request(method: str, number: int) -> bytes:
        return (
            f"{method} sip:b@lab.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.77.0.100;branch=z9{tag}\r\n"
            f"From: <sip:a@lab.example>;tag={tag}\r\nTo: <sip:b@lab.example>\r\nCall-ID: {tag}\r\n"
            f"CSeq: {number} {method}\r\nContact: <sip:a@10.77.0.100>\r\nContent-Length: 0\r\n\r\n"
        ).encode()

    with datagrams(0.5) as signalling, datagrams(0.005) as speech:
        ask(signalling, request("REGISTER", 1), server, 5060)
        for _ in range(2):  # not taken at once
            ask(signalling, request("INVITE", 2), server, 5060)
        signalling.sendto(request("ACK", 2), (server, 5060))
        for number in range(round(max(count / 3, 4) / _VOICE_S)):
            head = struct.pack(">BBHII", 0x80, 0, number, number * 160, 77)
            start = time.monotonic()
            ask(speech, head + os.urandom(160), server, 5004)
            time.sleep(max(_VOICE_S - (time.monotonic() - start), 0))
        ask(signalling, request("BYE", 3), server, 5060)


@script
def meet(server: str, count: int, _pause: float) -> None:
    """Meet by video: STUN, then pictures and voice both ways for a few seconds."""
    with datagrams(0.01) as out:
        for _ in range(4):
            ask(out, b"\0\1\0\0\x21\x12\xa4\x42" + os.urandom(12), server, 3478)
        for number in range(25 * max(count // 3, 4)):
            for size in [1100] * RANDOM.choice((1, 2, 4)) + [90]:
                ask(out, b"\x80\x60" + struct.pack(">H", number) + os.urandom(size), server, 5004)
            time.sleep(0.03)


@script
def work_remotely(server: str, count: int, pause: float) -> None:
    """Work on a remote desktop: strokes and pointer moves, bursts of picture."""
    with connect(server, 5900) as connection:
        connection.recv(100)
        for number in range(10 * count):
            connection.sendall(os.urandom(RANDOM.choice((6, 8, 8, 10))))
            connection.recv(1 << 16)
            rest(pause * (1 if number % 20 == 0 else 0.2))


@script
def play_game(server: str, count: int, _pause: float) -> None:
    """Play a game: small datagrams both ways, thirty a second."""
    with datagrams(0.02) as out:
        for _ in range(12 * count):
            ask(out, os.urandom(RANDOM.randint(30, 90)), server, 5004)
            time.sleep(0.033)


@script
def watch_camera(server: str, count: int, _pause: float) -> None:
    """Watch a camera by RTSP for some seconds."""
    with connect(server, 554) as connection:
        for number, verb in enumerate(("OPTIONS", "DESCRIBE", "SETUP", "PLAY")):
            line(connection, f"{verb} rtsp://cam/1 RTSP/1.0\r\nCSeq: {number}\r\n")
        until = time.monotonic() + max(count / 3, 4)
        while time.monotonic() < until and connection.recv(1 << 16):
            pass
        connection.sendall(b"TEARDOWN rtsp://cam/1 RTSP/1.0\r\nCSeq: 9\r\n\r\n")


@script
def use_vpn(server: str, count: int, pause: float, port: str = "51820") -> None:
    """Work through a VPN: a handshake, bursts of sealed packets, silence."""
    with datagrams(0.02) as out:
        ask(out, b"\x01\0\0\0" + os.urandom(144), server, int(port))
        for _ in range(count):
            for _ in range(RANDOM.randint(1, 40)):
                size = RANDOM.choice((16, 80, 112, 560, 1392))
                ask(out, b"\x04\0\0\0" + os.urandom(12 + size), server, int(port))
            rest(2 * pause)


@script
def download_by_quic(server: str, count: int, pause: float) -> None:
    """Download by QUIC: long packets in windows, short acknowledgements."""
    for _ in range(max(count // 8, 2)):
        with datagrams(0.2) as out:
            ask(out, b"\xc3" + os.urandom(1199), server, 443)
            for _ in range(RANDOM.randint(10, 60)):
                ask(out, b"\x40" + os.urandom(RANDOM.randint(30, 60)), server, 443)
                out.settimeout(0.004)
                for _ in range(15):
                    try:
                        out.recv(2048)
                    except TimeoutError:
                        break
                out.settimeout(0.2)
        rest(pause)


@script
def share_files(_server: str, count: int, pause: float) -> None:
    """Share files with many peers, as BitTorrent does: questions, data, and peers that are away."""
    with datagrams(0.05) as out:
        for _ in range(3 * count):
            host = f"10.77.0.{RANDOM.randint(10, 25)}"
            ask(out, b"d1:ad2:id20:" + os.urandom(20) + b"e1:q9:find_node1:y1:qe", host, 6881)
            for _ in range(RANDOM.choice((0, 0, 4, 12))):
                ask(out, os.urandom(RANDOM.choice((20, 20, 1400))), host, 6881)
            rest(pause / 4)
            if RANDOM.random() < 0.2:
                with suppress(OSError):
                    connect(host, RANDOM.randint(20_000, 60_000)).close()


@script
def send_datagrams(server: str, count: int, pause: float, port: str, low: str, high: str) -> None:
    """Send datagrams of ``low`` to ``high`` bytes that nobody answers, as logs are sent."""
    with datagrams() as out:
        for number in range(4 * count):
            size = RANDOM.randint(int(low), int(high))
            out.sendto((f"<30>app[{number}]: " + "x" * size).encode()[:size], (server, int(port)))
            rest(pause / 2)


@script
def ask_time(server: str, count: int, pause: float) -> None:
    """Ask for the time from new ports, as simple devices do."""
    for _ in range(count):
        with datagrams() as out:
            ask(out, b"\x23" + bytes(39) + os.urandom(8), server, 123)
        rest(2 * pause)


@script
def keep_open(server: str, count: int, pause: float) -> None:
    """Keep connections to a cloud open: a few bytes now and then each way."""
    connections = [connect(server, 4444) for _ in range(3)]
    for _ in range(max(count // 3, 4)):
        for connection in connections:
            line(connection, "ping")
        rest(6 * pause)
    for connection in connections:
        connection.close()


@script
def report_telemetry(server: str, count: int, pause: float) -> None:
    """Report measures of many devices at once by MQTT, each over a connection of its own."""

    def device(number: int) -> None:
        name = f"dev{number}".encode()
        with connect(server, 1883) as connection:
            body = b"\0\x04MQTT\x04\x02\0\x3c" + struct.pack(">H", len(name)) + name
            connection.sendall(b"\x10" + bytes([len(body)]) + body)
            connection.recv(10)
            for _ in range(count):
                topic = b"home/" + name
                body = (
                    struct.pack(">H", len(topic)) + topic + f"{RANDOM.uniform(0, 30):.2f}".encode()
                )
                connection.sendall(b"\x30" + bytes([len(body)]) + body)
                rest(2 * pause)
            connection.sendall(b"\xe0\0")

    threads = [threading.Thread(target=device, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
