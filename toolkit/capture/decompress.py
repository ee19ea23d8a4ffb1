"""Decompress captures as they are read; the format is recognised by their first bytes.

gzip, xz and bzip2 need only Python; zstd and lz4 a package (``idskit[compress]``). For any other
container the error names the command that unpacks it into a pipe.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Protocol, cast

from idskit.errors import MissingExtra

_MOST_MEMORY = 1 << 27  # per stream: xz -9 takes 65 MB, a hostile dictionary 4 GB


class _Stream(Protocol):
    """One compressed stream, with the interface of ``bz2.BZ2Decompressor``."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return the next plain bytes, at most ``max_length``; the rest of ``data`` is kept."""


class _Gzip:
    """zlib with the interface of the other decompressors; it checks lengths and checksums."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail + data, max(max_length, 0))


def _zstd() -> _Stream:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return cast(_Stream, importlib.import_module(name).ZstdDecompressor())
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError("zstd")


def _lz4() -> _Stream:
    return cast(_Stream, importlib.import_module("lz4.frame").LZ4FrameDecompressor())


_FORMATS: dict[bytes, tuple[str, Callable[[], Any]]] = {  # by the first bytes
    b"\x1f\x8b": ("gzip", _Gzip),
    b"\xfd7zXZ\0": ("xz", lambda: lzma.LZMADecompressor(memlimit=_MOST_MEMORY)),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
    b"\x04\x22\x4d\x18": ("lz4", _lz4),
}
_COMMANDS = {  # for formats that are not read here, some of which have the name of one that is
    "zstd": "zstd -dc",
    "lz4": "lz4 -dc",
    "lzma": "xz --format=lzma -dc",
    "lzip": "lzip -dc",
    "zip": "unzip -p",
    "7z": "7z x -so",
    "compress": "gzip -dc",
    "lzop": "lzop -dc",
    "rar": "unrar p -inul",
}
_FOREIGN = {
    b"\x02\x21\x4c\x18": "lz4",  # legacy frames
    b"\x5d\0\0": "lzma",
    b"LZIP": "lzip",
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\x1f\x9d": "compress",
    b"\x89LZO": "lzop",
    b"Rar!": "rar",
}


class Decompressor:
    """Decompressor of one or more streams, with bounded output per call.

    Attributes:
        name: the format.

    Raises:
        MissingExtra: the format needs a package that is not installed.
    """

    def __init__(self, path: object, magic: bytes) -> None:
        self._magic, (self.name, self._make) = _recognised(magic)
        try:
            self._stream = self._make()
        except ModuleNotFoundError:
            raise MissingExtra(
                f"{path} is compressed with {self.name}, which takes a package: "
                f"pip install 'idskit[compress]', or {command_for(self.name, path)}"
            ) from None
        self._left = b""  # input behind the end of a stream

    @property
    def needs_input(self) -> bool:
        """Return whether nothing more comes out of what was put in."""
        if self._stream.eof:
            return len(self._left) < len(self._magic)
        return self._stream.needs_input

    @property
    def is_whole(self) -> bool:
        """Return whether what was put in ends at the end of a stream."""
        return bool(self._stream.eof) and not self._left.strip(b"\0")

    def decompress(self, data: bytes, most: int) -> bytes:
        """Put ``data`` in, and return at most ``most`` > 0 plain bytes.

        Raises:
            ValueError: the data is damaged; the message says how.
        """
        if self._stream.eof:
            return self._next_stream(data, most)
        try:
            made = self._stream.decompress(data, max_length=most)
        except Exception as error:  # every package has its own exceptions
            raise ValueError(str(error)) from error
        if self._stream.eof:
            self._left = self._stream.unused_data or b""  # lz4 has None
        return bytes(made)

    def _next_stream(self, data: bytes, most: int) -> bytes:
        """Go on with the next stream, past the zeros that may pad this one."""
        data, self._left = (self._left + data).lstrip(b"\0"), b""
        if len(data) < len(self._magic) and self._magic.startswith(data):
            self._left = data
            return b""
        if not data.startswith(self._magic):
            raise ValueError("something else follows it")
        self._stream = self._make()
        return self.decompress(data, most)


def is_compressed(magic: bytes) -> bool:
    """Return whether data that begins so is of a format that is read here."""
    return any(magic.startswith(known) for known in _FORMATS)


def foreign(magic: bytes) -> str:
    """Return the container that data of this beginning is in if it is not read here, or ""."""
    return next((name for known, name in _FOREIGN.items() if magic.startswith(known)), "")


def command_for(name: str, path: object) -> str:
    """Return the command that unpacks a container of that kind into idskit."""
    return f"unpack it into a pipe: {_COMMANDS[name]} {path} | idskit ... -r -"


def _recognised(magic: bytes) -> tuple[bytes, tuple[str, Callable[[], _Stream]]]:
    return next(item for item in _FORMATS.items() if magic.startswith(item[0]))
