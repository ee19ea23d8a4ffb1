"""Read the pcapng format (draft-ietf-opsawg-pcapng).

Sections and interfaces are few and read in Python. Runs of packet blocks are read by a kernel,
which stops in front of any other block.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from idskit.capture.buffered_file import BUFFER_BYTES, Source
from idskit.capture.pcap import FULL, MAX_FRAME_BYTES, NEED_DATA, STOPPED, u16, u32
from idskit.errors import CaptureError
from idskit.kernels.compile import kernel, raw_pointer

MAX_BLOCK_BYTES = BUFFER_BYTES // 2  # largest block that is read as a whole
MAX_INTERFACES = 1 << 12  # per section
NO_LINK_TYPE = 0xFFFFFFFF  # link type of a frame whose interface is not described

_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_BIG, _LITTLE = b"\x1a\x2b\x3c\x4d", b"\x4d\x3c\x2b\x1a"  # byte-order magic of a section
_TSRESOL, _TSOFFSET = 9, 14  # interface options

_Order = Literal["big", "little"]

_NS = 10**9
_I64_MAX = 2**63 - 1
_MAX_SECONDS = _I64_MAX // _NS - 1

_INTERFACE_TYPE = np.dtype(
    [
        ("link_type", "<u4"),
        ("binary", "<i4"),  # 1: ticks of 2 ** -power s, 0: of 10 ** -power s
        ("power", "<i8"),
        ("snap", "<i8"),  # most bytes captured of a frame
        ("offset_ns", "<i8"),
    ],
    align=True,
)


class PcapngReader:
    """Reader of pcapng files: of sections and interfaces in ``resume``, of packets in ``walk``.

    Raises:
        CaptureError: the first section header is broken.
    """

    unit = "block"

    def __init__(self, source: Source) -> None:
        self.big = False
        self.interfaces: NDArray[np.void] = np.zeros(MAX_INTERFACES, _INTERFACE_TYPE)
        self.count = 0  # interfaces described in the section so far
        failure = self._section(source)
        if failure:
            raise CaptureError(f"{source.path} is not a valid pcapng file: {failure}")

    def walk(self, source: Source, out: NDArray[np.void]) -> tuple[int, int]:
        """Fill ``out`` (n,) FRAME from the buffer; return the number filled, and why it ended."""
        count, source.start, why = _walk(
            source.buffer, source.start, source.end, self.big, self.interfaces[: self.count], out
        )
        return count, why

    def resume(self, source: Source) -> str:
        """Read the block that ``walk`` stopped at; return a sentence if that is impossible."""
        kind, size = source.number(0, 4, self.big), source.number(4, 4, self.big)
        if kind == _SECTION:
            return self._section(source)
        if _is_bad(kind, size):
            return f"a block of type {kind} claims an impossible length of {size} bytes"
        if kind == _INTERFACE:
            return self._interface(source, size)
        if _is_packet(kind):
            return "a packet block claims more captured bytes than it holds"
        return "" if source.skip(size) else "the file ends inside a block"

    def _section(self, source: Source) -> str:
        """Read a section header block (4.1), which states the byte order."""
        if not source.need(28):
            return "the file ends inside a section header"
        magic = bytes(source.buffer[source.start + 8 : source.start + 12])
        if magic not in (_BIG, _LITTLE):
            return f"a section has the byte-order magic {magic.hex()}"
        self.big = magic == _BIG
        self.count = 0
        size = source.number(4, 4, self.big)
        if size < 28 or size % 4:
            return f"a section header claims an impossible length of {size} bytes"
        return "" if source.skip(size) else "the file ends inside a section header"

    def _interface(self, source: Source, size: int) -> str:
        """Read an interface description block (4.2)."""
        if not source.need(size):
            return "the file ends inside an interface description"
        if self.count == MAX_INTERFACES:
            return f"a section describes more than {MAX_INTERFACES} interfaces"
        block = source.buffer[source.start : source.start + size].tobytes()
        interface = self.interfaces[self.count]
        _describe(block, "big" if self.big else "little", interface)
        if interface["power"] > (63 if interface["binary"] else 18):
            return "an interface has a finer clock than 10^-18 or 2^-63 seconds"
        self.count += 1
        source.start += size
        return ""


def _describe(block: bytes, order: _Order, interface: np.void) -> None:
    options = _options(block[16:-4], order)
    resolution = (options.get(_TSRESOL) or b"\x06")[0]  # microseconds where it is absent
    offset = int.from_bytes(options.get(_TSOFFSET, b""), order, signed=True)
    interface["link_type"] = int.from_bytes(block[8:10], order)
    interface["snap"] = int.from_bytes(block[12:16], order) or MAX_FRAME_BYTES
    interface["binary"], interface["power"] = resolution >> 7, resolution & 0x7F
    interface["offset_ns"] = max(min(offset, _MAX_SECONDS), -_MAX_SECONDS) * _NS


def _options(data: bytes, order: _Order) -> dict[int, bytes]:
    """Return the options of a block (3.5) by code; one that is cut off is omitted."""
    options: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        code = int.from_bytes(data[at : at + 2], order)
        size = int.from_bytes(data[at + 2 : at + 4], order)
        if code == 0 or at + 4 + size > len(data):
            break
        options[code] = data[at + 4 : at + 4 + size]
        at += 4 + (size + 3) // 4 * 4
    return options


@kernel
def _is_packet(kind: int) -> bool:
    """Return whether a block holds a packet."""
    return kind in (_ENHANCED_PACKET, _OLD_PACKET, _SIMPLE_PACKET)


@kernel
def _is_bad(kind: int, size: int) -> bool:
    """Return whether no block of this type can have that length."""
    if kind == _INTERFACE or _is_packet(kind):
        smallest = 16 if kind == _SIMPLE_PACKET else 20 if kind == _INTERFACE else 32
        return size < smallest or size % 4 != 0 or size > MAX_BLOCK_BYTES
    return size < 12 or size % 4 != 0


@kernel
def _walk(
    data: NDArray[np.uint8],
    at: int,
    end: int,
    big: bool,
    interfaces: NDArray[np.void],
    out: NDArray[np.void],
) -> tuple[int, int, int]:
    """Return the number of records filled, the position behind them, and why it ended."""
    data = raw_pointer(data)
    count = 0
    while count < len(out):
        if end - at < 8:
            return count, at, NEED_DATA
        kind, size = u32(data, at, big), u32(data, at + 4, big)
        if kind in (_SECTION, _INTERFACE) or _is_bad(kind, size):
            return count, at, STOPPED
        if end - at < size:
            return count, at, NEED_DATA if _is_packet(kind) else STOPPED
        if _is_packet(kind):
            if not _packet(data, at, size, big, interfaces, out[count]):
                return count, at, STOPPED
            count += 1
        at += size
    return count, at, FULL


@kernel
def _packet(
    data: NDArray[np.uint8],
    at: int,
    size: int,
    big: bool,
    interfaces: NDArray[np.void],
    record: np.void,
) -> bool:
    """Fill ``record`` from a packet block (4.3, 4.4, B.1); return whether its frame fits."""
    simple = u32(data, at, big) == _SIMPLE_PACKET
    header = 12 if simple else 28
    number = 0 if simple else _interface_number(data, at, big)
    known = number < len(interfaces)
    room = size - header - 4
    wire = u32(data, at + header - 4, big)
    captured = min(wire, room) if simple else u32(data, at + 20, big)
    if simple and known:
        captured = min(captured, int(interfaces[0]["snap"]))
    if captured > room:
        return False
    record["time_ns"] = 0
    if known and not simple:
        high, low = u32(data, at + 12, big), u32(data, at + 16, big)
        record["time_ns"] = _time_ns(high, low, interfaces[number])
    record["offset"], record["captured"], record["wire"] = at + header, captured, wire
    record["link_type"] = interfaces[number]["link_type"] if known else NO_LINK_TYPE
    return True


@kernel
def _interface_number(data: NDArray[np.uint8], at: int, big: bool) -> int:
    if u32(data, at, big) == _OLD_PACKET:
        return u16(data, at + 8, big)
    return u32(data, at + 8, big)


# Time: ``high`` and ``low`` are the halves of an unsigned 64-bit count of ticks, of which all
# values occur in damaged files. Results outside int64 nanoseconds stop at its ends.


@kernel
def _time_ns(high: int, low: int, interface: np.void) -> int:
    power, offset_ns = int(interface["power"]), int(interface["offset_ns"])
    time_ns = _binary_ns(high, low, power) if interface["binary"] else _decimal_ns(high, low, power)
    if offset_ns > 0 and time_ns > _I64_MAX - offset_ns:
        return _I64_MAX
    return time_ns + offset_ns


@kernel
def _decimal_ns(high: int, low: int, power: int) -> int:
    if power > 9:
        half = int(10 ** (power - 9)) // 2
        return ((high << 31) | (low >> 1)) // half  # both halved, to stay below 2 ** 63
    multiple = int(10 ** (9 - power))
    if high >= 1 << 31 or ((high << 32) | low) > _I64_MAX // multiple:
        return _I64_MAX
    return ((high << 32) | low) * multiple


@kernel
def _binary_ns(high: int, low: int, power: int) -> int:
    if power == 0 and high >= 1 << 31:
        return _I64_MAX
    if power < 32:
        seconds, part = (high << (32 - power)) | (low >> power), low & ((1 << power) - 1)
    else:
        rest = power - 32
        seconds, part = high >> rest, ((high & ((1 << rest) - 1)) << 32) | low
    if seconds > _MAX_SECONDS:
        return _I64_MAX
    if power <= 33:  # 2 ** 33 * 10 ** 9 is below 2 ** 63
        return seconds * _NS + ((part * _NS) >> power)
    above, below = part >> 30, part & ((1 << 30) - 1)
    return seconds * _NS + ((above * _NS + ((below * _NS) >> 30)) >> (power - 30))
