"""Payloads that lie: no byte outside of them is read, and they end in bounded time.

The parsers run here as plain Python, on bytes that complain about every read outside of the
payload; compiled, they are the same functions. `make test` runs this file in its step test-nojit.
"""

from __future__ import annotations

import random

import pytest
from tests.payload.messages import CLIENT_PORT, MESSAGES, Message
from tests.payload.naive_payload import payload_columns
from tests.payload.parsers import NAMES, Fenced, noted_alone

from idskit.kernels.compile import is_compiling
from idskit.payload.note_payload import LOOKED_AT

PLAIN = pytest.mark.skipif(is_compiling(), reason="make test-nojit runs it")
MOST_READS = 16  # of each byte that is looked at
PORTS = (*(22, 53, 67, 80, 88, 102, 123, 135, 161, 389, 443, 445, 502), *(1883, 2404, 44818, 47808))


def fenced(message: Message, data: bytes) -> dict[str, float]:
    """Columns of a payload behind a fence, which bounds how often it may be read."""
    made: list[Fenced] = []

    def fence(content: bytes, at: int) -> Fenced:
        made.append(Fenced(content, at))
        return made[-1]

    found = noted_alone(message, data, fence)
    assert sum(each.reads for each in made) <= MOST_READS * (len(data) + 8)
    return found


def agree(message: Message, data: bytes) -> None:
    row = payload_columns([(data, message.forward, 1)], message.protocol, CLIENT_PORT, message.port)
    expected = dict(zip(NAMES, row, strict=True)) | {"dst_port_class": 0}
    assert fenced(message, data) == pytest.approx(expected), data.hex()


@PLAIN
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)
def test_a_message_cut_off_at_every_byte(message: Message) -> None:
    for size in range(len(message.data) + 1):
        agree(message, message.data[:size])


@PLAIN
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)
def test_a_message_with_hostile_numbers(message: Message) -> None:
    data, rng = message.data, random.Random(message.name)
    for at in range(min(len(data), 90)):
        other = rng.choice([b"\0\0\0\0", b"\0\xff", b"\x80", rng.randbytes(3)])
        for number in (b"\xff\xff\xff\xff", other):  # a protocol has several messages
            agree(message, data[:at] + number + data[at + len(number) :])


@PLAIN
@pytest.mark.parametrize("port", PORTS)
def test_random_bytes(port: int) -> None:
    rng = random.Random(port)
    starts = [message.data[: rng.randrange(1, 9)] for message in MESSAGES] + [b""] * 20
    for protocol in (6, 17, 1):
        message = Message("random", b"", port, {}, protocol)
        for start in starts:
            agree(message, start + rng.randbytes(rng.randrange(80)))


@PLAIN
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)
def test_a_message_that_does_not_end(message: Message) -> None:
    rng = random.Random(message.name)
    last = message.data[-1:] or b"\0"
    for filling in (last * LOOKED_AT, message.data * LOOKED_AT, rng.randbytes(LOOKED_AT // 4)):
        agree(message, (message.data + filling)[:LOOKED_AT])


DNS_HEAD = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0"
ENDLESS = {
    "labels of one byte": DNS_HEAD + b"\x01a" * 1000,
    "a name of pointers": DNS_HEAD + b"\xc0\x0c" * 1000,
    "labels of 63 bytes": DNS_HEAD + (b"\x3f" + b"a" * 63) * 20,
    "65535 questions": b"\0\x07\x01\0\xff\xff" + DNS_HEAD[6:] + b"\x01a\0\0\x01\0\x01",
}


@PLAIN
@pytest.mark.parametrize("data", ENDLESS.values(), ids=ENDLESS)
def test_a_name_that_does_not_end(data: bytes) -> None:
    agree(Message("name", data, 53, {}, 17), data)


WORK = {  # what makes the parsers read most
    "line ends": (80, b"GET / HTTP/1.1" + b"\n" * 2040),
    "dots": (80, b"GET " + b"." * 2040),
    "halves of blank lines": (25, b"A" + b"\r" * 2040),
    "headers that begin alike": (80, b"GET / H" + b"\nuser-agent\nhost: 1.1.1.1" * 80),
    "rpc in smb": (445, b"\0\0\7\xf8\xfeSMB" + b"\5" * 2040),
    "ntlm in smb": (445, b"\0\0\7\xf8\xffSMB" + b"NTLM" * 510),
    "half errors of kerberos": (88, b"\x7e\x81" + b"\xa6\x03\x02" * 680),
    "half encryptions of kerberos": (88, b"\x6a\x81" + b"\xa8\x05\x30\x04" * 510),
}


@PLAIN
@pytest.mark.parametrize(("port", "data"), WORK.values(), ids=WORK)
def test_the_work_of_a_payload_is_bounded(port: int, data: bytes) -> None:
    agree(Message("work", data, port, {}), data)


EMPTY_EXTENSIONS = b"\x16\x03\x01\xff\xff\x01\xff\xff\xff\x03\x03" + bytes(32) + b"\0"


@PLAIN
@pytest.mark.parametrize("ciphers", [b"\0\0", b"\0\x02\x2a\x2a", b"\xff\xff"])
def test_a_hello_of_extensions_without_content(ciphers: bytes) -> None:
    data = EMPTY_EXTENSIONS + ciphers + b"\0\xff\xff" + bytes(LOOKED_AT)
    agree(Message("hello", data, 443, {}), data[:LOOKED_AT])
