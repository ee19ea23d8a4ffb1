"""Compile filters that the kernel applies to frames: classic BPF, linux/filter.h.

"tcp port 80" ──libpcap──┐
tcpdump -ddd   ──────────┴─> instructions ──> socket
"""

from __future__ import annotations

import ctypes
import socket
import struct

from idskit.errors import CaptureError

REJECT = struct.pack("=HBBI", 6, 0, 0, 0)  # return 0: no frame passes

_ATTACH_FILTER = 26  # asm-generic/socket.h
_LIBRARIES = ("libpcap.so.1", "libpcap.so.0.8")  # the second is Debian's name
_RAW_IP = 101
_SNAP = 1 << 18
_UNKNOWN_NETMASK = 0xFFFFFFFF


class _Program(ctypes.Structure):
    """struct bpf_program of pcap/bpf.h; its instructions, 8 bytes each, are those of the kernel."""

    _fields_ = (("count", ctypes.c_uint), ("instructions", ctypes.c_void_p))


def assemble(expression: str, link_type: int) -> bytes:
    """Return the instructions of a filter for frames of ``link_type``, 8 bytes each.

    Args:
        expression: as tcpdump takes it, such as ``tcp port 80``, compiled by libpcap; or the
            numbers that ``tcpdump -ddd`` prints for one, where there is no libpcap.
        link_type: LINKTYPE_ value.

    Raises:
        CaptureError: libpcap is not installed, or it does not understand the expression.
    """
    words = expression.split()
    if words and all(word.isdecimal() for word in words):
        return _numbered([int(word) for word in words])
    return _compiled(expression, link_type)


def attach(ring_socket: socket.socket, program: bytes) -> None:
    """Let a socket receive only frames that ``program`` accepts.

    Raises:
        CaptureError: the kernel refuses the program.
    """
    instructions = ctypes.create_string_buffer(program, len(program))
    request = struct.pack("HP", len(program) // 8, ctypes.addressof(instructions))
    try:
        ring_socket.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, request)
    except OSError as error:
        raise CaptureError(
            f"the kernel refuses the filter of {len(program) // 8} instructions "
            f"({error.strerror}): make it anew with tcpdump -ddd"
        ) from error


def _numbered(numbers: list[int]) -> bytes:
    """Return the instructions that ``tcpdump -ddd`` printed: a count, then four numbers each."""
    count, *rest = numbers
    steps = [rest[at : at + 4] for at in range(0, len(rest), 4)]
    try:
        program = b"".join(struct.pack("=HBBI", *step) for step in steps)
    except struct.error:
        program = b""
    if not count or len(program) != 8 * count:
        raise CaptureError(
            f"the filter says that it has {count} instructions, but {len(rest)} numbers follow: "
            "give all that tcpdump -ddd prints, four an instruction"
        )
    return program


def _compiled(expression: str, link_type: int) -> bytes:
    pcap = _libpcap(expression)
    handle = pcap.pcap_open_dead(12 if link_type == _RAW_IP else link_type, _SNAP)
    program = _Program()
    words = expression.encode(), 1, _UNKNOWN_NETMASK
    try:
        if pcap.pcap_compile(handle, ctypes.byref(program), *words):
            reason = pcap.pcap_geterr(handle).decode(errors="replace")
            raise CaptureError(f"the filter {expression!r} is not understood: {reason}")
        found = ctypes.string_at(program.instructions, 8 * program.count)
        pcap.pcap_freecode(ctypes.byref(program))
        return found
    finally:
        pcap.pcap_close(handle)


def _libpcap(expression: str) -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            pcap = ctypes.CDLL(name)
        except OSError:
            continue
        pointer, number = ctypes.c_void_p, ctypes.c_int
        pcap.pcap_open_dead.restype, pcap.pcap_open_dead.argtypes = pointer, [number, number]
        pcap.pcap_compile.argtypes = [pointer, pointer, ctypes.c_char_p, number, ctypes.c_uint]
        pcap.pcap_geterr.restype, pcap.pcap_geterr.argtypes = ctypes.c_char_p, [pointer]
        pcap.pcap_freecode.argtypes, pcap.pcap_close.argtypes = [pointer], [pointer]
        return pcap
    raise CaptureError(
        f"the filter {expression!r} takes libpcap to compile, and it is not installed: install it "
        "(libpcap0.8 on Debian, libpcap elsewhere), or give the numbers that tcpdump -ddd prints"
    )
