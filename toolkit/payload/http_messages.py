"""HTTP requests and responses, RFC 9112, and what is written like them: SIP, RTSP and SSDP."""

from __future__ import annotations

from idskit.kernels.compile import kernel
from idskit.payload.content.given_names import names_scanner
from idskit.payload.injections import has_injection
from idskit.payload.payload_counts import (
    Bytes,
    Counts,
    byte_at,
    count,
    is_digit,
    largest,
    line_end,
    number_of,
    put_into,
)
from idskit.schemas.payload_columns import COLUMN

_GETS, _POSTS, _OTHERS = (COLUMN[f"http_{name}"] for name in ("gets", "posts", "other_methods"))
_OK, _MOVED, _REFUSED, _NOT_FOUND, _ERRORS = (
    COLUMN[f"http_{name}"] for name in ("ok", "moved", "refused", "not_found", "errors")
)
_LENGTH, _DIGITS, _ESCAPES, _MARKS = (
    COLUMN[f"uri_{name}"] for name in ("length", "digits", "escapes", "marks")
)
_DEPTH, _PARAMETERS, _PARENTS = (
    COLUMN[f"uri_{name}"] for name in ("depth", "parameters", "parents")
)
_LINES, _ADDRESS_HOSTS, _NO_AGENT = (
    COLUMN[f"http_{name}"] for name in ("lines", "address_hosts", "without_agent")
)
_PASSWORDS, _SCANNERS = COLUMN["form_passwords"], COLUMN["scanner_requests"]
_INJECTIONS, _WSMAN = COLUMN["http_injections"], COLUMN["wsman_requests"]
_SIP, _SSDP = COLUMN["sip_requests"], COLUMN["ssdp_messages"]
_REPLY_REFUSED, _REPLY_FINE = COLUMN["replies_refused"], COLUMN["replies_fine"]
_LOGIN_REFUSALS, _CHALLENGES = COLUMN["login_refusals"], COLUMN["challenges"]
_ASKED, _CREDENTIALS = COLUMN["asked"], COLUMN["credentials"]
_MISSING, _FAILED = COLUMN["missing"], COLUMN["failed"]
_LONGEST_METHOD = 17  # UPDATEREDIRECTREF, the longest that IANA lists
_LONGEST_VERSION = 16  # bytes of a status line in which its first blank is looked for
_LONGEST_ADDRESS = 15  # of IPv4 as text
_LONGEST_HEAD = 1024  # bytes of a request in which lines are counted


@kernel
def starts_with(data: Bytes, at: int, end: int, word: bytes) -> bool:
    """Return whether the bytes at ``at`` are ``word``, in upper case."""
    if end - at < len(word):
        return False
    for i in range(len(word)):
        byte = byte_at(data, at + i)
        if 97 <= byte <= 122:
            byte -= 32
        if byte != word[i]:
            return False
    return True


@kernel
def note_response(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a status line (``HTTP/1.1 404``, and of SIP and RTSP); False if there is none."""
    is_http = starts_with(data, at, end, b"HTTP/")
    is_like_it = starts_with(data, at, end, b"SIP/2.0 ") or starts_with(data, at, end, b"RTSP/")
    if not is_http and not is_like_it:
        return False
    status = _status_of(data, at, end)
    if status < 0:
        return True
    if is_http:
        _count_status(counts, row, status)
    else:
        count(counts, row + (_REPLY_FINE if status < 400 else _REPLY_REFUSED))
    if status in (401, 403, 407):
        count(counts, row + _LOGIN_REFUSALS)
        if not counts[row + _CREDENTIALS] or _is_stale(data, at, end):
            count(counts, row + _CHALLENGES)
    return True


@kernel
def _is_stale(data: Bytes, at: int, end: int) -> bool:
    """Return whether a response refuses a nonce for its age, not a password (RFC 7616, 3.3)."""
    for i in range(at, min(end, at + _LONGEST_HEAD)):
        if byte_at(data, i) & 0xDF == 83 and (
            starts_with(data, i, end, b"STALE=TRUE") or starts_with(data, i, end, b'STALE="TRUE')
        ):
            return True
    return False


@kernel
def _status_of(data: Bytes, at: int, end: int) -> int:
    """Return the status behind a version and a blank, -1 where there is none."""
    for i in range(at, min(end, at + _LONGEST_VERSION)):
        if byte_at(data, i) == 32:
            return three_digits(data, i + 1, end)
    return -1


@kernel
def three_digits(data: Bytes, at: int, end: int) -> int:
    """Return the number that three digits at ``at`` make, -1 where there are none."""
    if end - at < 3:
        return -1
    number = 0
    for i in range(at, at + 3):
        if not is_digit(byte_at(data, i)):
            return -1
        number = 10 * number + byte_at(data, i) - 48
    return number


@kernel
def _count_status(counts: Counts, row: int, status: int) -> None:
    if status < 300:
        count(counts, row + _OK)
    elif status < 400:
        count(counts, row + _MOVED)
    elif status in (401, 403, 407):
        count(counts, row + _REFUSED)
    elif status == 404:
        count(counts, row + _NOT_FOUND)
        put_into(counts, row + _MISSING, counts[row + _ASKED])
    else:
        count(counts, row + _ERRORS)
        put_into(counts, row + _FAILED, counts[row + _ASKED])


@kernel
def note_request(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    """Count a request: a method in capitals, a target, a version; False if there is none."""
    method = at
    while at < end and at - method < _LONGEST_METHOD and _is_method(byte_at(data, at)):
        at += 1
    if at - method < 3 or at >= end or byte_at(data, at) != 32:
        return False
    target = at + 1
    at = target
    while at < end and byte_at(data, at) > 32:
        at += 1
    if starts_with(data, at, end, b" SIP/") or starts_with(data, at, end, b" RTSP/"):
        count(counts, row + _SIP)
        _note_credentials(counts, row, data, at, end)
        return True
    if starts_with(data, method, end, b"M-SEARCH") or starts_with(data, method, end, b"NOTIFY "):
        count(counts, row + _SSDP)
        return True
    is_known = _count_method(counts, row, data, method, end)
    if not is_known and not starts_with(data, at, end, b" HTTP/"):
        return False
    if not is_known:
        count(counts, row + _OTHERS)
    counts[row + _ASKED] = number_of(data, target, at)
    _note_target(counts, row, data, target, at)
    _note_head(counts, row, data, at, end)
    _note_credentials(counts, row, data, at, end)
    if has_injection(data, target, at, end):
        count(counts, row + _INJECTIONS)
    if starts_with(data, target, at, b"/WSMAN"):
        count(counts, row + _WSMAN)
    note_form(counts, row, data, target, end)
    return True


@kernel
def _note_credentials(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Keep what a request's ``Authorization`` or ``Proxy-Authorization`` holds; 0 without one."""
    counts[row + _CREDENTIALS] = 0.0
    for i in range(at, end):
        if byte_at(data, i) == 10 and (
            starts_with(data, i + 1, end, b"AUTHORIZATION:")
            or starts_with(data, i + 1, end, b"PROXY-AUTHORIZATION:")
        ):
            counts[row + _CREDENTIALS] = number_of(data, i + 1, line_end(data, i + 1, end))
            return


@kernel
def note_form(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Count a request, or the part of one that another packet holds, that fills in a password.

    That is a field of a form, or of JSON, whose name ends with ``password``, ``passwd``, ``pass``
    or ``pwd``. Its value is kept as credentials.
    """
    for i in range(at + 3, min(end, at + _LONGEST_HEAD)):
        byte = byte_at(data, i)
        if byte == 61 or (byte == 58 and byte_at(data, i - 1) == 34):
            behind = i if byte == 61 else i - 1
            if _names_password(data, at, behind):
                count(counts, row + _PASSWORDS)
                counts[row + _CREDENTIALS] = number_of(data, i + 1, _field_end(data, i + 1, end))
                return


@kernel
def _names_password(data: Bytes, at: int, end: int) -> bool:
    return (
        starts_with(data, max(at, end - 8), end, b"PASSWORD")
        or starts_with(data, max(at, end - 6), end, b"PASSWD")
        or starts_with(data, max(at, end - 4), end, b"PASS")
        or starts_with(data, max(at, end - 3), end, b"PWD")
    )


@kernel
def _field_end(data: Bytes, at: int, end: int) -> int:
    """Return where a value ends: at ``&``, a comma, a brace, a blank or a control character.

    The blank that may stand before a value of JSON belongs to it.
    """
    at += at < end and byte_at(data, at) == 32
    while at < end and byte_at(data, at) > 32 and byte_at(data, at) not in (38, 44, 125):
        at += 1
    return at


@kernel
def _is_method(byte: int) -> bool:
    return 65 <= byte <= 90 or byte in (45, 95)


@kernel
def _count_method(counts: Counts, row: int, data: Bytes, at: int, end: int) -> bool:
    if starts_with(data, at, end, b"GET "):
        count(counts, row + _GETS)
    elif starts_with(data, at, end, b"POST "):
        count(counts, row + _POSTS)
    else:
        return False
    return True


@kernel
def _note_target(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Note the shape of a request's target."""
    digits = escapes = marks = depth = parameters = parents = 0
    for i in range(at, end):
        byte = byte_at(data, i)
        digits += is_digit(byte)
        escapes += byte == 37
        marks += _is_mark(byte)
        depth += byte == 47
        parameters += byte == 61
        if byte == 46 and i + 2 < end and byte_at(data, i + 1) == 46:
            parents += byte_at(data, i + 2) in (37, 47, 92)
    largest(counts, row + _LENGTH, end - at)
    largest(counts, row + _DIGITS, digits)
    largest(counts, row + _ESCAPES, escapes)
    largest(counts, row + _MARKS, marks)
    largest(counts, row + _DEPTH, depth)
    largest(counts, row + _PARAMETERS, parameters)
    largest(counts, row + _PARENTS, parents)


@kernel
def _is_mark(byte: int) -> bool:
    r"""Return whether a byte is one of ``"'();<>\`{|}$*[]``, which few honest targets have."""
    return byte in (34, 36, 39, 40, 41, 42, 59, 60, 62, 91, 92, 93, 96, 123, 124, 125)


@kernel
def _note_head(counts: Counts, row: int, data: Bytes, at: int, end: int) -> None:
    """Note the header lines of a request."""
    end = min(end, at + _LONGEST_HEAD)
    lines, has_agent = 0, False
    while at < end:
        if byte_at(data, at) == 10:
            lines += 1
            if starts_with(data, at + 1, end, b"USER-AGENT:"):
                has_agent = True
                if names_scanner(data, at + 12, end):
                    count(counts, row + _SCANNERS)
            if starts_with(data, at + 1, end, b"HOST: ") and _is_address(data, at + 7, end):
                count(counts, row + _ADDRESS_HOSTS)
        at += 1
    largest(counts, row + _LINES, lines)
    if lines and not has_agent:
        count(counts, row + _NO_AGENT)


@kernel
def _is_address(data: Bytes, at: int, end: int) -> bool:
    """Return whether a host is written in digits and three dots, or as IPv6 in brackets.

    A blank, a line end or the colon of a port has to follow: ``1.2.3.example`` is a name.
    """
    if at < end and byte_at(data, at) == 91:
        return True
    dots, last = 0, min(end, at + _LONGEST_ADDRESS)
    while at < last and (is_digit(byte_at(data, at)) or byte_at(data, at) == 46):
        dots += byte_at(data, at) == 46
        at += 1
    return dots == 3 and at < end and byte_at(data, at) in (10, 13, 32, 58)
