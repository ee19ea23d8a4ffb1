"""Fields of a FLOW record as text: who spoke with whom, as the tables of each schema write it.

    FLOW records ──> kernels ──> text of a field, one after the other

The kernels take raw pointers (``raw_pointer``), and callers keep FIELD_BYTES free.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idskit.flow import ENDS
from idskit.kernels.compile import kernel, raw_pointer, signed
from idskit.kernels.digits import put_padded, put_text, put_whole
from idskit.kernels.pointers import record_pointer
from idskit.schema import Schema

_Record = np.void
_Bytes = NDArray[np.uint8]

FIELD_BYTES = 128  # more than the longest field, a flow ID of two IPv6 addresses, has

# Kinds of fields: the numbers of a FLOW record, and what is text.
_NUMBERS = ("src_port", "dst_port", "protocol", "start_us", "end_us", "fwd_bytes", "bwd_bytes")
SRC_PORT, DST_PORT, PROTOCOL, START_US, END_US, FWD_BYTES, BWD_BYTES = range(7)
SRC_IP, DST_IP, END, FLOW_ID, INSTANT, CLOCK, LABEL = range(7, 14)


class Field(NamedTuple):
    """A column of a table and its content."""

    column: str
    kind: int

    @property
    def number(self) -> str:
        """Return the field of FLOW that it is, or empty if it is text."""
        return _NUMBERS[self.kind] if self.kind < len(_NUMBERS) else ""


_PLAIN = (
    Field("src_ip", SRC_IP),
    Field("src_port", SRC_PORT),
    Field("dst_ip", DST_IP),
    Field("dst_port", DST_PORT),
    Field("protocol", PROTOCOL),
    Field("start_us", START_US),
    Field("end_us", END_US),
    Field("fwd_bytes", FWD_BYTES),
    Field("bwd_bytes", BWD_BYTES),
    Field("end", END),
)
_CIC = (
    Field("Flow ID", FLOW_ID),
    Field("Src IP", SRC_IP),
    Field("Src Port", SRC_PORT),
    Field("Dst IP", DST_IP),
    Field("Dst Port", DST_PORT),
    Field("Protocol", PROTOCOL),
)


def fields_of(schema: Schema) -> tuple[Field, ...]:
    """Return the columns that a table of that schema has before its features."""
    times = {"cic-fixed": INSTANT, "cic-original": CLOCK}
    if schema.name in times:
        return (*_CIC, Field("Timestamp", times[schema.name]))
    return _PLAIN


def tail_of(schema: Schema) -> tuple[Field, ...]:
    """Return the columns behind the features: CICFlowMeter's label."""
    return (Field("Label", LABEL),) if schema.name.startswith("cic-") else ()


def texts(flows: NDArray[np.void], kind: int) -> tuple[_Bytes, NDArray[np.int32]]:
    """Return one field of all ``flows`` (n,) FLOW: text, and n + 1 offsets where fields begin."""
    out = np.zeros(len(flows) * FIELD_BYTES, np.uint8)
    starts = np.zeros(len(flows) + 1, np.int32)
    _put_fields(flows, kind, out, starts)
    return out[: starts[-1]], starts


@kernel
def _put_fields(flows: NDArray[np.void], kind: int, out: _Bytes, starts: NDArray[np.int32]) -> None:
    text, records = raw_pointer(out), record_pointer(flows)
    for i in range(len(flows)):
        starts[i + 1] = put_field(text, signed(starts[i]), records[i], kind)


@kernel
def put_field(out: _Bytes, at: int, flow: _Record, kind: int) -> int:
    """Write a field, and return where it ends."""
    if kind < SRC_IP:
        return put_whole(out, at, _number(flow, kind))
    if kind <= DST_IP:
        return _put_host(out, at, flow, kind == DST_IP)
    if kind == END:
        return _put_end(out, at, signed(flow["end"]))
    if kind == FLOW_ID:
        return _put_flow_id(out, at, flow, flow["reversed_id"] != 0)
    if kind == LABEL:
        return put_text(out, at, _LABEL)
    return _put_time(out, at, signed(flow["start_us"]), kind == CLOCK)


@kernel
def _number(flow: _Record, kind: int) -> int:
    if kind == SRC_PORT:
        return signed(flow["src_port"])
    if kind == DST_PORT:
        return signed(flow["dst_port"])
    if kind == PROTOCOL:
        return signed(flow["protocol"])
    if kind == START_US:
        return signed(flow["start_us"])
    if kind == END_US:
        return signed(flow["end_us"])
    return signed(flow["fwd_bytes"]) if kind == FWD_BYTES else signed(flow["bwd_bytes"])


_LABEL = np.frombuffer(b"NeedManualLabel", np.uint8)  # what CICFlowMeter writes there
_ENDS = np.frombuffer("".join(ENDS).encode(), np.uint8)
_END_STARTS = np.cumsum([0, *map(len, ENDS)])


@kernel
def _put_end(out: _Bytes, at: int, end: int) -> int:
    return put_text(out, at, _ENDS[_END_STARTS[end] : _END_STARTS[end + 1]])


# Addresses.

_COLON, _DOT, _DASH, _SPACE = b":.- "
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_GROUPS = 8  # of 16 bits in an IPv6 address


@kernel
def _put_host(out: _Bytes, at: int, flow: _Record, is_target: bool) -> int:
    if is_target:
        return _put_address(out, at, signed(flow["dst_high"]), signed(flow["dst_low"]))
    return _put_address(out, at, signed(flow["src_high"]), signed(flow["src_low"]))


@kernel
def _put_address(out: _Bytes, at: int, high: int, low: int) -> int:
    """Print IPv4 where it is mapped (::ffff:a.b.c.d), else IPv6 as RFC 5952 has it."""
    if high != 0 or (low >> 32) & 0xFFFFFFFF != 0xFFFF:
        return _put_six(out, at, high, low)
    for shift in (24, 16, 8, 0):
        at = put_whole(out, at, (low >> shift) & 0xFF)
        out[at] = _DOT
        at += 1
    return at - 1


@kernel
def _put_six(out: _Bytes, at: int, high: int, low: int) -> int:
    """Print IPv6: the first of the longest runs of zero groups becomes two colons."""
    first, size = _zeros(high, low)
    i = 0
    while i < _GROUPS:
        if i == first:
            out[at], out[at + 1] = _COLON, _COLON
            at, i = at + 2, i + size
            continue
        if i and i != first + size:
            out[at] = _COLON
            at += 1
        at = _put_group(out, at, _group(high, low, i))
        i += 1
    return at


@kernel
def _zeros(high: int, low: int) -> tuple[int, int]:
    """Return where the first longest run of zero groups begins, and its length; beyond if none."""
    first, size, run = 2 * _GROUPS, 1, 0
    for i in range(_GROUPS):
        run = 0 if _group(high, low, i) else run + 1
        if run > size:
            first, size = i - run + 1, run
    return first, size


@kernel
def _group(high: int, low: int, i: int) -> int:
    word = high if i < 4 else low
    return (word >> (48 - 16 * (i % 4))) & 0xFFFF


@kernel
def _put_group(out: _Bytes, at: int, group: int) -> int:
    shift = 12
    while shift and not group >> shift:
        shift -= 4
    while shift >= 0:
        out[at] = _HEX[(group >> shift) & 15]
        at, shift = at + 1, shift - 4
    return at


@kernel
def _put_flow_id(out: _Bytes, at: int, flow: _Record, turned: bool) -> int:
    """Print addresses, ports and protocol, in the direction that CICFlowMeter names."""
    src_port, dst_port = signed(flow["src_port"]), signed(flow["dst_port"])
    at = _put_dash(out, _put_host(out, at, flow, turned))
    at = _put_dash(out, _put_host(out, at, flow, not turned))
    at = _put_dash(out, put_whole(out, at, dst_port if turned else src_port))
    at = _put_dash(out, put_whole(out, at, src_port if turned else dst_port))
    return put_whole(out, at, signed(flow["protocol"]))


@kernel
def _put_dash(out: _Bytes, at: int) -> int:
    out[at] = _DASH
    return at + 1


# Times.

_SECOND_US = 1_000_000
_SLASH = ord("/")
_AM, _PM = np.frombuffer(b" AM", np.uint8), np.frombuffer(b" PM", np.uint8)


@kernel
def _put_time(out: _Bytes, at: int, time_us: int, is_clock: bool) -> int:
    return _put_clock(out, at, time_us) if is_clock else _put_instant(out, at, time_us)


@kernel
def _put_instant(out: _Bytes, at: int, time_us: int) -> int:
    """Print UTC as ``cic-fixed`` does: a fraction of 0, 3 or 6 digits, as short as it is exact."""
    second, fraction = time_us // _SECOND_US, time_us % _SECOND_US
    year, month, day = _date(second // 86_400)
    at = _put_three(out, at, _DASH, year, month, day)
    out[at] = _SPACE
    of_day = second % 86_400
    at = _put_three(out, at + 1, _COLON, of_day // 3600, of_day // 60 % 60, of_day % 60)
    if fraction == 0:
        return at
    out[at] = _DOT
    if fraction % 1000 == 0:
        return put_padded(out, at + 1, fraction // 1000, 3)
    return put_padded(out, at + 1, fraction, 6)


@kernel
def _put_clock(out: _Bytes, at: int, time_us: int) -> int:
    """Print UTC as ``cic-original`` does in that zone: a twelve-hour clock, seconds cut."""
    second = time_us // _SECOND_US
    year, month, day = _date(second // 86_400)
    at = _put_three(out, at, _SLASH, day, month, year)
    out[at] = _SPACE
    of_day = second % 86_400
    hour = of_day // 3600
    at = _put_three(out, at + 1, _COLON, (hour + 11) % 12 + 1, of_day // 60 % 60, of_day % 60)
    return put_text(out, at, _AM if hour < 12 else _PM)


@kernel
def _put_three(out: _Bytes, at: int, between: int, first: int, second: int, third: int) -> int:
    """Print three numbers of two digits; a year has four."""
    at = put_padded(out, at, first, 4 if first > 99 else 2)
    out[at] = between
    at = put_padded(out, at + 1, second, 2)
    out[at] = between
    return put_padded(out, at + 1, third, 4 if third > 99 else 2)


@kernel
def _date(days: int) -> tuple[int, int, int]:
    """Return year, month and day of a number of days after 1970-01-01, Gregorian calendar.

    Years begin in March, so that the odd day comes last (Howard Hinnant, "chrono-Compatible
    Low-Level Date Algorithms", civil_from_days).
    """
    era, day = (days + 719_468) // 146_097, (days + 719_468) % 146_097
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    return 400 * era + year + int(month <= 2), month, day + 1
