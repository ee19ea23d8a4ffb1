"""What is noted of one message of each kind: right values by hand, and the reference's."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests.payload import intruder_messages, messages
from tests.payload.messages import CLIENT_PORT, Message, bind, call, smb2
from tests.payload.naive_payload import payload_columns
from tests.payload.parsers import NAMES, noted, noted_alone

from idskit.schemas.payload_columns import PAYLOAD, STATE

NUMBERED = {feature.name for feature in PAYLOAD if feature.unit == STATE}
GENERAL = re.compile("(fwd|bwd)_.*_(bytes|words|packets)$|dst_port_class")
MESSAGES = [*messages.MESSAGES, *intruder_messages.MESSAGES]
every_message = pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)


def reference(message: Message) -> dict[str, float]:
    said = [(message.data, message.forward, 1)]
    row = payload_columns(said, message.protocol, CLIENT_PORT, message.port)
    return dict(zip(NAMES, row, strict=True)) | {"dst_port_class": 0}  # which the engine writes


@every_message
def test_a_message_fills_the_columns_of_its_protocol_and_no_others(message: Message) -> None:
    found = {name: value for name, value in noted_alone(message).items() if value}
    special = {name: value for name, value in found.items() if not GENERAL.match(name)}
    special = {name: value for name, value in special.items() if name not in NUMBERED}
    assert special == pytest.approx(message.columns)


@every_message
def test_an_unknown_message_is_counted_in_its_direction(message: Message) -> None:
    found = noted_alone(message)
    side = "fwd" if message.forward else "bwd"
    assert found[f"{side}_unknown_packets"] == (not message.known)
    assert found["fwd_unknown_packets"] + found["bwd_unknown_packets"] == (not message.known)


@every_message
def test_a_message_is_noted_as_the_reference_notes_it(message: Message) -> None:
    assert noted_alone(message) == pytest.approx(reference(message))


def test_every_column_is_filled_by_some_message() -> None:
    general = [*CONTENT, (b"MZ\x90\0" * 9, True), (b"MZ\x90\0" * 9, False)]
    found = np.zeros(len(NAMES))
    for message in MESSAGES:
        found += np.abs(list(noted_alone(message).values()))
    for data, forward in general:
        found += np.abs(list(noted([(data, forward, 1)], 6, CLIENT_PORT, 80).values()))
    for said, port in [*REFUSED.values(), *((said, 80) for said in CHALLENGES)]:
        found += np.abs(list(noted(said, 6, CLIENT_PORT, port).values()))
    for interface, number in ((0xE3514235, 3), (0x4B324FC8, 12)):
        found += np.abs(list(noted(dialogue(interface, number), 6, CLIENT_PORT, 135).values()))
    silent = [name for name, value in zip(NAMES, found, strict=True) if not value]
    assert silent == ["dst_port_class"]


def dialogue(interface: int, number: int, last: bytes = bytes(4)) -> list[tuple[bytes, bool, int]]:
    """A bind to an interface and a call, as a pipe of SMB carries them."""
    return [
        (smb2(9, body=bind(interface, last)), True, 1),
        (smb2(11, body=call(number)), True, 2),
    ]


@pytest.mark.parametrize(
    ("interface", "last", "number", "takes_over"),
    [
        (0xE3514235, "00000000", 3, True),  # DRSGetNCChanges
        (0xE3514235, "00000000", 0, False),  # DRSBind
        (0x12345678, "456789ab", 89, True),  # RpcAddPrinterDriverEx
        (0x12345678, "456789ab", 1, False),  # RpcOpenPrinter
        (0x12345678, "4567cffb", 30, True),  # NetrServerPasswordSet2
        (0x12345678, "4567cffb", 26, False),  # NetrServerAuthenticate3
        (0x12345678, "00000000", 30, False),  # another interface
        (0x76F03F96, "00000000", 39, True),  # RpcAsyncAddPrinterDriver
        (0x4FC742E0, "00000000", 13, True),  # NetrDfsRemoveStdRoot
        (0xA8E0653C, "00000000", 8, True),  # IsPathSupported
        (0xC681D488, "00000000", 0, True),  # EfsRpcOpenFileRaw
        (0x4B324FC8, "00000000", 31, True),  # NetprPathCanonicalize
        (0x4B324FC8, "00000000", 15, False),  # NetrShareEnum
    ],
)
def test_calls_that_take_a_domain_over(
    interface: int, last: str, number: int, takes_over: bool
) -> None:
    said = dialogue(interface, number, bytes.fromhex(last))
    found = noted(said, 6, CLIENT_PORT, 445)
    assert found["rpc_intruder_calls"] == takes_over
    row = dict(zip(NAMES, payload_columns(said, 6, CLIENT_PORT, 445), strict=True))
    assert found == pytest.approx(row | {"dst_port_class": 0})


@pytest.mark.parametrize(
    ("interface", "last", "number", "lists"),
    [
        (0x12345778, "456789ac", 13, True),  # SamrEnumerateUsersInDomain
        (0x12345778, "456789ac", 25, True),  # SamrGetMembersInGroup
        (0x12345778, "456789ac", 17, False),  # SamrLookupNamesInDomain
        (0x12345778, "456789ab", 13, False),  # LsarEnumerateTrustedDomains
        (0x4B324FC8, "00000000", 12, True),  # NetrSessionEnum
        (0x6BFFD098, "00000000", 2, True),  # NetrWkstaUserEnum
        (0x6BFFD098, "00000000", 0, False),  # NetrWkstaGetInfo
    ],
)
def test_calls_that_list_accounts(interface: int, last: str, number: int, lists: bool) -> None:
    said = dialogue(interface, number, bytes.fromhex(last))
    found = noted(said, 6, CLIENT_PORT, 445)
    assert found["rpc_account_lists"] == lists
    row = dict(zip(NAMES, payload_columns(said, 6, CLIENT_PORT, 445), strict=True))
    assert found == pytest.approx(row | {"dst_port_class": 0})


def talk(*parts: bytes) -> list[tuple[bytes, bool, int]]:
    """What client and server say in turn; what begins with < is the server's."""
    said, numbers = [], {True: 0, False: 0}
    for part in parts:
        forward = part[:1] != b"<"
        numbers[forward] += 1
        said.append((part if forward else part[1:], forward, numbers[forward]))
    return said


ASKED = b"GET /a HTTP/1.1\r\nUser-Agent: x\r\n\r\n"
GIVEN = b"GET /a HTTP/1.1\r\nUser-Agent: x\r\nauthorization: Basic %s\r\n\r\n"
PAGES = [
    b"<HTTP/1.1 404 No\r\n\r\n" if n % 2 else b"GET /%d HTTP/1.1\r\n\r\n" % (n // 2)
    for n in range(24)
]
CHALLENGES = [
    talk(ASKED, b"<HTTP/1.1 401 Who\r\n\r\n", GIVEN % b"YTpi", b"<HTTP/1.1 401 No\r\n\r\n"),
    talk(GIVEN % b"YTpi", b"<HTTP/1.1 401 No\r\nWWW-Authenticate: Digest stale=TRUE\r\n\r\n"),
    talk(GIVEN % b"YTpi", b"<HTTP/1.1 403 No\r\n\r\n", ASKED, b"<HTTP/1.1 403 No\r\n\r\n"),
    talk(b"POST /in HTTP/1.1\r\n\r\nuser=a&pass=b&x=1", b"<HTTP/1.1 500 No\r\n\r\n"),
    talk(*PAGES),
]
# Servers that say that a password is wrong, on their ports.
REFUSED = {
    "mysql": (talk(b"<greeting", b"login", b"<\x17\0\0\2\xff\x15\x04#28000Access denied"), 3306),
    "postgresql": (
        talk(b"startup", b"<R", b"p", b"<E\0\0\0dSFATAL\0VFATAL\0C28P01\0Mno\0\0"),
        5432,
    ),
    "sql server": (
        talk(b"pre", b"<\4\1", b"in", b"<\4\1\0\x40\0\x33\1\0\xaa\x2a\0\x18H\0\0\1"),
        1433,
    ),
    "screen": (
        talk(b"<RFB 003.008\n", b"RFB", b"<\1\2", b"\2", b"<" + bytes(16), b"<\0\0\0\1"),
        5901,
    ),
    "directory": (talk(b"bind", b"<0\x0c\2\1\1a\7\x0a\1\x31\4\0\4\0"), 389),
}


@pytest.mark.parametrize(("said", "port"), REFUSED.values(), ids=REFUSED)
def test_wrong_passwords_of_databases_and_screens(
    said: list[tuple[bytes, bool, int]], port: int
) -> None:
    assert as_reference(said, port)["service_refusals"] == 1
    assert as_reference(said, 9)["service_refusals"] == 0
    assert as_reference(said[:-1], port)["service_refusals"] == 0


@pytest.mark.parametrize(
    ("number", "refused", "unproven"), [(0, 2, 1), (1, 1, 1), (2, 2, 1), (3, 0, 0)]
)
def test_a_refusal_of_who_gave_no_password_is_a_challenge(
    number: int, refused: int, unproven: int
) -> None:
    found = as_reference(CHALLENGES[number], 80)
    assert (found["login_refusals"], found["challenges"]) == (refused, unproven)


def test_different_pages_that_are_missing_are_a_set() -> None:
    found = as_reference(CHALLENGES[-1], 80)
    again = as_reference(talk(*[b"GET /a HTTP/1.1\r\n\r\n", PAGES[1]] * 12), 80)
    assert found["http_not_found"] == again["http_not_found"] == 12
    assert 6 < int(found["missing"]).bit_count() <= 12
    assert int(again["missing"]).bit_count() == 1


LOGINS = [
    (talk(b"USER me\r\n", b"PASS a\r\n"), talk(b"USER me\r\n", b"PASS b\r\n"), 21),
    (talk(b"USER me\r\n", b"PASS a\r\n"), talk(b"USER you\r\n", b"PASS a\r\n"), 110),
    (talk(b"AUTH PLAIN YTpi\r\n"), talk(b"AUTH PLAIN YTpj\r\n"), 25),
    (talk(b"a1 login me one\r\n"), talk(b"a2 login me two\r\n"), 143),
    (talk(GIVEN % b"YTpi"), talk(GIVEN % b"YTpj"), 80),
    (
        talk(b"POST /in HTTP/1.1\r\n\r\n", b'{"user": "me", "password": "a"}'),
        talk(b"POST /in HTTP/1.1\r\n\r\n", b'{"user": "me", "password": "b"}'),
        80,
    ),
    (talk(b"GET /?password=a HTTP/1.1\r\n\r\n"), talk(b"GET /?password=b HTTP/1.1\r\n\r\n"), 80),
    (
        talk(b"\x10\x14\0\4MQTT\4\xc2\0\x3c\0\1c\0\1u\0\1p"),
        talk(b"\x10\x14\0\4MQTT\4\xc2\0\x3c\0\1c\0\1u\0\1q"),
        1883,
    ),
]


@pytest.mark.parametrize(("one", "other", "port"), LOGINS)
def test_other_passwords_are_other_credentials(
    one: list[tuple[bytes, bool, int]], other: list[tuple[bytes, bool, int]], port: int
) -> None:
    first, second = (as_reference(said, port)["credentials"] for said in (one, other))
    assert 0 < first != second > 0
    assert as_reference(one, port)["credentials"] == first


def test_the_name_of_a_client_is_no_password() -> None:
    named = (b"\x10\x14\0\4MQTT\4\xc2\0\x3c\0\1%c\0\1u\0\1p" % name for name in b"cd")
    found = {as_reference(talk(said), 1883)["credentials"] for said in named}
    assert len(found) == 1


@pytest.mark.parametrize("said", [b"AUTH LOGIN\r\n", b"AUTH PLAIN\r\n", b"AUTH PLAIN \r\n"])
def test_a_password_that_comes_later_is_not_known(said: bytes) -> None:
    assert as_reference(talk(b"USER me\r\n", said), 25)["credentials"] == 0


def as_reference(said: list[tuple[bytes, bool, int]], port: int) -> dict[str, float]:
    """What is noted, after it was compared with the reference."""
    found = noted(said, 6, CLIENT_PORT, port)
    row = dict(zip(NAMES, payload_columns(said, 6, CLIENT_PORT, port), strict=True))
    assert found == pytest.approx(row | {"dst_port_class": 0})
    return found


CONTENT = [
    (b"select eval wget passwd jndi password denied ipc nmap", True),
    (b"union alert chmod shadow base64 login failed svcctl nikto", False),
]


def columns(data: bytes, number: int = 1, protocol: int = 6) -> dict[str, float]:
    return noted([(data, True, number)], protocol, CLIENT_PORT, 7777)


def test_shares_of_byte_classes_add_up_to_one() -> None:
    found = columns(b"aB1!. \0\x01\xff\xff")
    names = ("letters", "digits", "marks", "blanks", "zeros", "controls", "high", "distinct")
    shares = [found[f"fwd_{name}_bytes"] for name in names]
    assert shares == pytest.approx([0.2, 0.1, 0.2, 0.1, 0.1, 0.1, 0.2, 0.9])


@pytest.mark.parametrize("byte", range(256))
def test_every_byte_is_of_one_class(byte: int) -> None:
    found = columns(bytes([byte]) * 300)
    names = ("letters", "digits", "marks", "blanks", "zeros", "controls", "high")
    assert sorted(found[f"fwd_{name}_bytes"] for name in names) == [0] * 6 + [1]
    assert found["fwd_run_bytes"] == 256
    assert found["fwd_distinct_bytes"] == pytest.approx(1 / 256)


def test_all_byte_values_are_told_apart() -> None:
    assert columns(bytes(range(256)))["fwd_distinct_bytes"] == 1


def test_the_longest_run_and_token_are_kept() -> None:
    found = columns(b"..ab+/=-_c!ddddd d")
    assert (found["fwd_token_bytes"], found["fwd_run_bytes"]) == (8, 5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"SELECT", 1),
        (b"select*from", 1),
        (b"selects", 0),
        (b"unselect", 0),
        (b"s\0e\0l\0e\0c\0t\0", 1),  # as Windows writes it
        (b"s\0\0elect", 0),
        (b"union(select)", 2),
        (b"x" * 506 + b" union", 0),  # its last letter is the 512th byte, and one more follows
        (b"x" * 505 + b" union", 0),
        (b"." * 506 + b" unio" + b"n", 1),
        (b"." * 507 + b" union", 0),
    ],
)
def test_words_are_whole_words_of_the_first_bytes(text: bytes, words: int) -> None:
    expected = payload_columns([(text, True, 1)], 6, CLIENT_PORT, 7777)
    found = columns(text)["fwd_sql_words"]
    assert found == dict(zip(NAMES, expected, strict=True))["fwd_sql_words"]
    if not text.startswith(b"x"):
        assert found == words


def test_content_is_looked_at_in_the_first_packets_only() -> None:
    assert columns(b"union select", 4)["fwd_sql_words"] == 2
    assert columns(b"union select", 5)["fwd_sql_words"] == 0
    assert columns(b"union select", 2)["fwd_letters_bytes"] == 0


def test_messages_are_counted_in_the_first_64_packets_of_a_direction() -> None:
    alert = b"\x15\x03\x01\0\x02\x02\x28"
    assert columns(alert, 64)["tls_alerts"] == 1
    assert not any(columns(alert, 65).values())


@pytest.mark.parametrize(
    ("data", "programs"),
    [
        (b"MZ\x90\0", 1),
        (b"MZ\x90", 0),
        (b"\x7fELF\x02", 1),
        (b"HTTP/1.1 200 OK\r\n\r\nMZ\0\0", 1),
        (b"HTTP/1.1 200 OK\r\n\r\nMZ\0", 0),
        (b"HTTP/1.1 200 OK\r\n\r\nno\r\n\r\nMZ\0\0", 0),
        (b"HTTP/1.1 200 OK" + b"." * 489 + b"\r\n\r\nMZ\0\0", 1),
        (b"HTTP/1.1 200 OK" + b"." * 490 + b"\r\n\r\nMZ\0\0", 0),
        (b"\x01HTTP/1.1 200 OK\r\n\r\nMZ\0\0", 0),
    ],
)
def test_a_program_is_known_at_the_start_and_behind_a_head(data: bytes, programs: int) -> None:
    assert columns(data)["fwd_executable_packets"] == programs


def test_the_port_of_either_side_tells_what_first_bytes_do_not() -> None:
    query = next(message for message in MESSAGES if message.name == "dns query").data
    here = noted([(query, True, 1)], 17, 5353, 9999)
    assert (here["dns_queries"], here["usual_port"]) == (1, 1)
    assert noted([(query, True, 1)], 17, 5000, 9999)["dns_queries"] == 0


def test_largest_values_are_those_of_all_messages() -> None:
    said = [
        (b"GET /a/b/c HTTP/1.1\r\n\r\n", True, 1),
        (b"GET /" + b"d" * 90 + b" HTTP/1.1\r\n\r\n", True, 2),
        (b"GET /e HTTP/1.1\r\n\r\n", True, 3),
    ]
    found = noted(said, 6, CLIENT_PORT, 80)
    assert (found["http_gets"], found["uri_length"], found["uri_depth"]) == (3, 91, 3)
