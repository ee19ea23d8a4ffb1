"""Parquet files byte by byte, to state what no honest writer would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
INT32, BYTE_ARRAY, FIXED = 1, 6, 7  # physical types
PLAIN, DELTA_LENGTHS, DICTIONARY_CODES = 0, 6, 8
UNCOMPRESSED, ZSTD = 0, 6
DATA_PAGE, DICTIONARY_PAGE = 0, 2


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def whole(value: int) -> bytes:
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def struct(*fields: tuple[int, int, Any]) -> bytes:
    """Encode fields (number, type, value) in Thrift's compact protocol."""
    return b"".join(bytes([kind]) + whole(n) + value_of(kind, v) for n, kind, v in fields) + b"\0"


def value_of(kind: int, value: Any) -> bytes:
    if kind in (I32, I64):
        return whole(value)
    if kind == BINARY:
        return varint(len(value)) + value
    if kind == LIST:
        inner, values = value
        head = bytes([0xF0 | inner]) + varint(len(values))
        return head + b"".join(value_of(inner, v) for v in values)
    return bytes(value)  # a structure, encoded already


def page(
    payload: bytes,
    values: int,
    *,
    unpacked: int,
    packed: int | None = None,
    kind: int = DATA_PAGE,
    encoding: int = PLAIN,
) -> bytes:
    """Return a page that states ``unpacked`` bytes, whatever its payload is."""
    of_kind = struct((1, I32, values), (2, I32, encoding), (3, I32, 3), (4, I32, 3))
    header = struct(
        (1, I32, kind),
        (2, I32, unpacked),
        (3, I32, len(payload) if packed is None else packed),
        (7 if kind == DICTIONARY_PAGE else 5, STRUCT, of_kind),
    )
    return header + payload


def leaf(name: bytes, physical: int = INT32, length: int = 0) -> bytes:
    """Return the schema of a column without nulls."""
    return struct((1, I32, physical), (2, I32, length), (3, I32, 0), (4, BINARY, name))


def footer_of(
    leaves: Sequence[bytes], groups: Sequence[bytes], notes: Sequence[bytes] = (), rows: int = 0
) -> bytes:
    """Return a footer; ``notes`` are structures of key and value."""
    root = struct((4, BINARY, b"root"), (5, I32, len(leaves)))
    return struct(
        (1, I32, 1),
        (2, LIST, (STRUCT, [root, *leaves])),
        (3, I64, rows),
        (4, LIST, (STRUCT, groups)),
        *([(5, LIST, (STRUCT, notes))] if notes else []),
    )


def file_of(body: bytes, footer: bytes) -> bytes:
    return b"PAR1" + body + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def parquet_of(
    pages: Sequence[bytes],
    rows: int,
    *,
    physical: int = INT32,
    length: int = 0,
    codec: int = UNCOMPRESSED,
    dictionary: bool = False,
    columns: int = 1,
    group_rows: int | None = None,
    packed: int | None = None,
) -> bytes:
    """Return a file of a row group; all ``columns`` of it are the same bytes."""
    body = b"".join(pages)
    first = 4 + len(pages[0]) if dictionary else 4
    names = [b"c%d" % i for i in range(columns)]

    def chunk(name: bytes) -> bytes:
        offsets = [(9, I64, first), *([(11, I64, 4)] if dictionary else [])]
        meta = struct(
            (1, I32, physical),
            (2, LIST, (I32, [PLAIN, DICTIONARY_CODES])),
            (3, LIST, (BINARY, [name])),
            (4, I32, codec),
            (5, I64, rows),
            (6, I64, 100),
            (7, I64, len(body) if packed is None else packed),
            *offsets,
        )
        return struct((2, I64, 4), (3, STRUCT, meta))

    group = struct(
        (1, LIST, (STRUCT, [chunk(name) for name in names])),
        (2, I64, 100),
        (3, I64, rows if group_rows is None else group_rows),
    )
    leaves = [leaf(name, physical, length) for name in names]
    return file_of(body, footer_of(leaves, [group], rows=rows))


def write(path: Path, *arguments: Any, **more: Any) -> Path:
    path.write_bytes(parquet_of(*arguments, **more))
    return path
