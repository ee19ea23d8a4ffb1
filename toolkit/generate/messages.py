"""Messages with a meaning: DNS, mDNS, NTP, MQTT, DHCP, SSDP, HTTP, and how TLS and SSH begin."""

from __future__ import annotations

import struct
from random import Random

_A, _PTR, _AAAA, _SRV = 1, 12, 28, 33  # DNS types, RFC 1035, RFC 3596, RFC 2782
_IN = 1

_WORDS = ("lamp", "plug", "camera", "hub", "sensor", "kettle", "tv", "phone", "printer", "lock")
_ZONES = (
    "example.com",
    "example.net",
    "example.org",
    "vendor.example",
    "cloud.example",
)  # RFC 2606


def host_name(rng: Random) -> str:
    """A name below the domains reserved for documentation."""
    return f"{rng.choice(_WORDS)}-{rng.randrange(1000)}.{rng.choice(_ZONES)}"


def _labels(name: str) -> bytes:
    parts = (bytes([len(part)]) + part.encode() for part in name.split("."))
    return b"".join(parts) + b"\0"


def _question(name: str, kind: int) -> bytes:
    return _labels(name) + struct.pack(">HH", kind, _IN)


def _record(name: bytes, kind: int, ttl_s: int, data: bytes) -> bytes:
    return name + struct.pack(">HHIH", kind, _IN, ttl_s, len(data)) + data


def _address(rng: Random, kind: int) -> bytes:
    if kind == _AAAA:
        return bytes.fromhex("20010db8000100000000000000000000")[:14] + rng.randbytes(2)
    return bytes([203, 0, 113, rng.randrange(1, 255)])


def dns_exchange(rng: Random) -> tuple[bytes, bytes]:
    """A query and its answer, RFC 1035: some names do not exist, some have several addresses."""
    name, kind = host_name(rng), _AAAA if rng.random() < 0.3 else _A
    number = rng.randrange(1 << 16)
    question = _question(name, kind)
    query = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + question
    count = rng.choice((0, 1, 1, 1, 2, 4))
    found = 0x8180 if count else 0x8183  # no such name
    answers = (
        _record(b"\xc0\x0c", kind, rng.randrange(30, 3600), _address(rng, kind))
        for _ in range(count)
    )
    header = struct.pack(">HHHHHH", number, found, 1, count, 0, 0)
    return query, header + question + b"".join(answers)


def mdns_query(rng: Random) -> bytes:
    """Multicast question for some services, RFC 6762."""
    services = rng.sample(("_http", "_hap", "_ipp", "_googlecast", "_airplay"), rng.randint(1, 3))
    questions = (_question(f"{service}._tcp.local", _PTR) for service in services)
    return struct.pack(">HHHHHH", 0, 0, len(services), 0, 0, 0) + b"".join(questions)


def mdns_announcement(rng: Random) -> bytes:
    """Unasked multicast answer: pointer, service and address records."""
    host = f"{rng.choice(_WORDS)}-{rng.randrange(100)}"
    service = _labels("_http._tcp.local")
    instance = bytes([len(host)]) + host.encode() + service
    target = _labels(f"{host}.local")
    records = (
        _record(service, _PTR, 4500, instance),
        _record(instance, _SRV, 120, struct.pack(">HHH", 0, 0, 80) + target),
        _record(target, _A, 120, bytes([192, 168, 1, rng.randrange(10, 250)])),
    )
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def ntp_exchange(rng: Random) -> tuple[bytes, bytes]:
    """Client and server packets, RFC 5905, 7.3."""
    origin = rng.randbytes(8)
    query = struct.pack(">BBbb", 0x23, 0, 6, -20) + bytes(36) + origin
    times = rng.randbytes(8) + origin + rng.randbytes(16)
    reply = struct.pack(">BBbbII4s", 0x24, 2, 6, -20, 500, 900, b"\xc0\0\x02\x01") + times
    return query, reply


def _mqtt(kind: int, body: bytes) -> bytes:
    """Fixed header, MQTT 3.1.1, 2.2; bodies here are shorter than 16 kB."""
    size = len(body)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([kind]) + length + body


def _mqtt_text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def mqtt_connect(rng: Random, keepalive_s: int) -> bytes:
    """CONNECT with a clean session."""
    flags = struct.pack(">BBH", 4, 2, keepalive_s)
    return _mqtt(
        0x10, _mqtt_text("MQTT") + flags + _mqtt_text(f"device-{rng.randrange(10**6):06d}")
    )


MQTT_ACCEPTED = _mqtt(0x20, b"\0\0")
MQTT_PING = _mqtt(0xC0, b"")
MQTT_PONG = _mqtt(0xD0, b"")
MQTT_DISCONNECT = _mqtt(0xE0, b"")


def mqtt_subscribe(rng: Random) -> tuple[bytes, bytes]:
    """SUBSCRIBE to one topic and its SUBACK."""
    number = struct.pack(">H", rng.randrange(1, 1 << 16))
    topic = _mqtt_text(f"home/{rng.choice(_WORDS)}/{rng.randrange(10)}/set")
    return _mqtt(0x82, number + topic + b"\0"), _mqtt(0x90, number + b"\0")


def mqtt_publish(rng: Random) -> bytes:
    """PUBLISH of a reading at quality of service 0."""
    topic = _mqtt_text(f"home/{rng.choice(_WORDS)}/{rng.randrange(10)}/state")
    reading = f'{{"value":{rng.uniform(0, 100):.2f},"battery":{rng.randrange(101)}}}'
    return _mqtt(0x30, topic + reading.encode() + b" " * min(int(rng.expovariate(0.02)), 900))


def dhcp_message(rng: Random, kind: int, reply: bool, transaction: bytes, hardware: bytes) -> bytes:
    """DHCP, RFC 2131: ``kind`` 1 discover, 3 request, 5 acknowledgement."""
    header = struct.pack(">BBBB4sHH", 2 if reply else 1, 1, 6, 0, transaction, 0, 0)
    given = bytes([192, 168, 1, rng.randrange(10, 250)]) if reply else bytes(4)
    addresses = bytes(4) + given + bytes(8) + hardware + bytes(10)
    options = bytes([53, 1, kind]) + (bytes([51, 4]) + struct.pack(">I", 86400) if reply else b"")
    asked = b"" if reply else bytes([55, 4, 1, 3, 6, 15]) + bytes([12, 6]) + b"device"
    message = header + addresses + bytes(192) + b"\x63\x82\x53\x63" + options + asked + b"\xff"
    return message.ljust(300, b"\0")


def dhcp_exchange(rng: Random) -> tuple[bytes, bytes]:
    """Renewal of a lease: request and acknowledgement."""
    transaction, hardware = rng.randbytes(4), b"\x02" + rng.randbytes(5)
    return (
        dhcp_message(rng, 3, False, transaction, hardware),
        dhcp_message(rng, 5, True, transaction, hardware),
    )


def ssdp_search(rng: Random) -> bytes:
    """UPnP search by multicast."""
    target = rng.choice(("ssdp:all", "upnp:rootdevice", "urn:schemas-upnp-org:device:basic:1"))
    return (
        "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"
        f'MAN: "ssdp:discover"\r\nMX: {rng.randint(1, 5)}\r\nST: {target}\r\n\r\n'
    ).encode()


def http_request(rng: Random) -> bytes:
    """GET of a small resource."""
    path = "/".join(rng.choice(_WORDS) for _ in range(rng.randint(1, 4)))
    agent = f"{rng.choice(_WORDS)}/{rng.randrange(1, 9)}.{rng.randrange(10)}"
    return (
        f"GET /{path} HTTP/1.1\r\nHost: {host_name(rng)}\r\nUser-Agent: {agent}\r\n"
        f"Accept: */*\r\n{'Connection: keep-alive' if rng.random() < 0.5 else ''}\r\n\r\n"
    ).encode()


def http_response(rng: Random, body_bytes: int) -> bytes:
    """Header of an answer; the body of ``body_bytes`` follows."""
    kind = rng.choice(("application/json", "text/html", "application/octet-stream"))
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {body_bytes}\r\n\r\n"
    ).encode()


def tls_hello(kind: int, size: int) -> bytes:
    """Head of a TLS handshake message (1 client, 2 server) in a record of ``size`` bytes in all."""
    record = struct.pack(">BHH", 22, 0x0301 if kind == 1 else 0x0303, size - 5)
    return record + bytes([kind]) + (size - 9).to_bytes(3, "big") + b"\3\3"


def tls_data(size: int) -> bytes:
    """Head of a record of ``size`` bytes in all that carries encrypted data, RFC 8446, 5.2."""
    return struct.pack(">BHH", 23, 0x0303, size - 5)


def ssh_banner(rng: Random, server: bool) -> bytes:
    """Identification string, RFC 4253, 4.2."""
    software = ("OpenSSH_7.4", "OpenSSH_8.2p1", "dropbear_2019.78")
    guesser = ("libssh2_1.8.0", "libssh-0.9.6", "Go", "PUTTY", "paramiko_2.7.2")
    return f"SSH-2.0-{rng.choice(software if server else guesser)}\r\n".encode()
