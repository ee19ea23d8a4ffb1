"""Commands and replies in lines: FTP (RFC 959), SMTP (5321), POP3 (1939), IMAP (9051), Telnet."""

from __future__ import annotations

from idskit.kernels.compile import kernel
from idskit.payload.http_messages import starts_with, three_digits
from idskit.payload.payload_counts import (
    Bytes,
    Counts,
    byte_at,
    count,
    is_digit,
    is_letter,
    line_end,
    number_of,
)
from idskit.schemas.payload_columns import COLUMN

_LOGINS, _FINE, _REFUSED = (COLUMN[name] for name in ("logins", "replies_fine", "replies_refused"))
_LOGIN_REFUSALS, _BOUNCES = COLUMN["login_refusals"], COLUMN["ftp_bounces"]
_TELNET, _TELNET_REFUSALS = COLUMN["telnet_options"], COLUMN["telnet_refusals"]
_IMAP_REFUSALS, _CREDENTIALS = COLUMN["imap_refusals"], COLUMN["credentials"]
TELNET_PORTS = (23, 2323)
_LONGEST_TAG = 16  # of IMAP
_SEARCHED = 512  # bytes of what a Telnet server says


@kernel
def note_line(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a command that logs in, or a reply; False if the bytes are neither."""
    if end - at < 4:
        return False
    if _is_login(data, at, end):
        count(counts, row + _LOGINS)
        _note_credentials(counts, row, data, at, end)
        return True
    if is_digit(byte_at(data, at)) and _note_reply(counts, row, data, at, end):
        return True
    if starts_with(data, at, end, b"+OK"):
        count(counts, row + _FINE)
    elif _is_error(data, at, end):
        count(counts, row + _REFUSED)
        count(counts, row + _LOGIN_REFUSALS)
    elif _is_imap_refusal(data, at, end):
        count(counts, row + _IMAP_REFUSALS)
    else:
        if starts_with(data, at, end, b"PORT ") and _names_low_port(data, at + 5, end):
            count(counts, row + _BOUNCES)
        tag = _tag_end(data, at, end)
        if starts_with(data, tag, end, b" LOGIN "):
            counts[row + _CREDENTIALS] = number_of(data, tag, line_end(data, tag, end))
        return starts_with(data, at, end, b"* OK")
    return True


@kernel
def _note_credentials(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Keep what a login gives: a name, a name and a password, or 0 where it comes later."""
    first, behind = byte_at(data, at) & 0xDF, line_end(data, at, end)
    given = 0
    if first == 80:
        given = number_of(data, at, behind, int(counts[row + _CREDENTIALS]))
    elif first == 85 or (starts_with(data, at, end, b"AUTH PLAIN ") and behind - at > 11):
        given = number_of(data, at, behind)
    counts[row + _CREDENTIALS] = given


@kernel
def _tag_end(data: Bytes, at: int, end: int) -> int:
    """Return where the tag of a command or reply of IMAP ends."""
    last = min(end, at + _LONGEST_TAG)
    while at < last and (is_letter(byte_at(data, at)) or is_digit(byte_at(data, at))):
        at += 1
    return at


@kernel
def _names_low_port(data: Bytes, at: int, end: int) -> bool:
    """Return whether the fifth of six numbers is 0 to 3, so the port is below 1024 (RFC 959)."""
    commas, last = 0, line_end(data, at, end)
    while at < last and commas < 4:
        commas += byte_at(data, at) == 44
        at += 1
    if commas < 4 or last - at < 2:
        return False
    return 48 <= byte_at(data, at) <= 51 and byte_at(data, at + 1) == 44


@kernel
def _is_imap_refusal(data: Bytes, at: int, end: int) -> bool:
    """Return whether a line is a NO to a tagged login or authentication (RFC 9051, 7.1.2)."""
    at = _tag_end(data, at, end)
    if not starts_with(data, at, end, b" NO "):
        return False
    for i in range(at + 4, end):
        if starts_with(data, i, end, b"LOGIN") or starts_with(data, i, end, b"AUTHENTICATION"):
            return True
        if byte_at(data, i) == 10:
            break
    return False


@kernel
def _is_error(data: Bytes, at: int, end: int) -> bool:
    """Return whether a line is an error of POP3 or of Redis."""
    if starts_with(data, at, end, b"-ERR"):
        return True
    return starts_with(data, at, end, b"-WRONGPASS") or starts_with(data, at, end, b"-NOAUTH")


@kernel
def _is_login(data: Bytes, at: int, end: int) -> bool:
    first = byte_at(data, at) & 0xDF
    if first == 80:
        return starts_with(data, at, end, b"PASS ")
    if first == 85:
        return starts_with(data, at, end, b"USER ")
    return first == 65 and starts_with(data, at, end, b"AUTH ")


@kernel
def _note_reply(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a reply of three digits and a blank or hyphen."""
    code = three_digits(data, at, end)
    if not 100 <= code < 600 or byte_at(data, at + 3) not in (32, 45):
        return False
    count(counts, row + (_FINE if code < 400 else _REFUSED))
    if code in (430, 530, 535):
        count(counts, row + _LOGIN_REFUSALS)
    return True


@kernel
def note_telnet(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a packet that begins with an option of Telnet (RFC 854): IAC, WILL to DONT."""
    if end - at < 3 or byte_at(data, at) != 255 or not 250 <= byte_at(data, at + 1) <= 254:
        return False
    count(counts, row + _TELNET)
    return True


@kernel
def note_telnet_refusal(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Count a payload of a Telnet server that refuses a password, which it says in words."""
    end = min(end, at + _SEARCHED)
    for i in range(at, end - 5):
        if byte_at(data, i) & 0xDF in (68, 70, 73) and _is_refusal(data, i, end):
            count(counts, row + _TELNET_REFUSALS)
            return


@kernel
def _is_refusal(data: Bytes, at: int, end: int) -> bool:
    return (
        starts_with(data, at, end, b"INCORRECT")
        or starts_with(data, at, end, b"INVALID")
        or starts_with(data, at, end, b"FAILED")
        or starts_with(data, at, end, b"FAILURE")
        or starts_with(data, at, end, b"DENIED")
    )
