"""Parquet and Arrow files that lie about their sizes: one sentence to every reader, in bounds."""

from __future__ import annotations

import base64
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.tables import parquet_bytes as pq

from idskit.errors import DataError
from idskit.tables.pieces import header_of
from idskit.tables.stored_columns import open_stored
from idskit.tables.thrift import ThriftReader

pa = pytest.importorskip("pyarrow")
ipc = pytest.importorskip("pyarrow.ipc")
parquet = pytest.importorskip("pyarrow.parquet")

MEMORY_MB, CPU_SECONDS = 256, 60  # beyond the imports, and for all files together
# Arrow's own allocator reserves a GiB of addresses at once, which a limit on them would refuse.
ONE_HEAP = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
}
FIELDS = 1009
NUMBERS = np.arange(4, dtype="<i4").tobytes()
# Reads each file as detection does and piece by piece as training does, and prints what both said.
PROGRAM = """
import json, resource, sys, time
from pathlib import Path
import pyarrow.compute, pyarrow.csv, pyarrow.ipc, pyarrow.parquet
from idskit.errors import DataError
from idskit.tables.cell_columns import cell_columns
from idskit.tables.pieces import pieces

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CPU, (300, 300))
begun = time.process_time()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
said = {}
for name in sys.argv[1:]:
    path = Path(name)
    said[path.name] = []
    whole = lambda header: {name: place for place, name in enumerate(header)}
    for read in (lambda: cell_columns(path, whole, 1024), lambda: pieces(path)):
        try:
            for _ in read():
                pass
        except DataError as error:
            said[path.name].append(str(error))
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
print(json.dumps([said, grown, time.process_time() - begun]))
"""


def zstd(count: int) -> bytes:
    return bytes(pa.compress(bytes(count), codec="zstd", asbytes=True))


def test_a_file_made_by_hand_is_read_as_any_other(tmp_path: Path):
    """Else the tests below would show nothing."""
    path = pq.write(tmp_path / "t.parquet", [pq.page(NUMBERS, 4, unpacked=16)], 4)
    assert parquet.read_table(path).column("c0").to_pylist() == [0, 1, 2, 3]
    with open_stored(path) as table:
        assert next(table.columns([0], 10))[0].to_pylist() == [0, 1, 2, 3]


def lying_page(path: Path) -> None:
    pq.write(path, [pq.page(NUMBERS, 4, unpacked=(1 << 31) - 1)], 4, codec=pq.ZSTD)


def large_page(path: Path) -> None:
    size = 100 << 20
    pq.write(path, [pq.page(zstd(size), size // 4, unpacked=size)], size // 4, codec=pq.ZSTD)


def large_dictionary(path: Path) -> None:
    size = 100 << 20
    head = pq.page(zstd(size), 4, unpacked=size, kind=pq.DICTIONARY_PAGE)
    codes = pq.page(b"\x02\x08\0", 4, unpacked=3, encoding=pq.DICTIONARY_CODES)
    pq.write(path, [head, codes], 4, physical=pq.BYTE_ARRAY, codec=pq.ZSTD, dictionary=True)


def many_dictionaries(path: Path) -> None:
    size = 16 << 20
    head = pq.page(zstd(size), 4, unpacked=size, kind=pq.DICTIONARY_PAGE)
    pq.write(path, [head] * 50, 4, physical=pq.BYTE_ARRAY, codec=pq.ZSTD, dictionary=True)


def many_texts(path: Path) -> None:
    count = 1 << 22
    head = pq.page(zstd(4 * count), count, unpacked=4 * count, kind=pq.DICTIONARY_PAGE)
    codes = pq.page(b"\x02\x08\0", 4, unpacked=3, encoding=pq.DICTIONARY_CODES)
    pq.write(path, [head, codes], 4, physical=pq.BYTE_ARRAY, codec=pq.ZSTD, dictionary=True)


def text_lengths(path: Path) -> None:
    """State two thousand million lengths, all alike, in a few bytes."""
    lengths = pq.varint(1 << 27) + b"\4" + pq.varint((1 << 31) - 1) + b"\0" * 80
    page = pq.page(lengths, 4, unpacked=len(lengths), encoding=pq.DELTA_LENGTHS)
    pq.write(path, [page], 4, physical=pq.BYTE_ARRAY)


def long_number(path: Path) -> None:
    """State a length of more than 32 bits, which Arrow cuts to 16: the next page is the bomb."""
    honest = pq.page(NUMBERS, 2, unpacked=16, packed=(1 << 33) + 16)
    lying = pq.page(NUMBERS, 2, unpacked=(1 << 31) - 1)
    pq.write(path, [honest, lying], 4)


def behind_the_column(path: Path) -> None:
    """A page that Arrow reads as it reads 100 bytes more of what old writers wrote."""
    first, lying = pq.page(b"", 0, unpacked=0), pq.page(NUMBERS, 4, unpacked=(1 << 31) - 1)
    pq.write(path, [first, lying], 4, codec=pq.ZSTD, packed=len(first))


def many_pages(path: Path) -> None:
    pq.write(path, [pq.page(b"", 0, unpacked=0)] * 100_000, 4)


def many_chunks(path: Path) -> None:
    """4 bytes of the footer are a column of a row group, which takes 650 bytes of memory."""
    chunk = pq.struct((2, pq.I64, 4))
    group = pq.struct((1, pq.LIST, (pq.STRUCT, [chunk] * 300_000)), (2, pq.I64, 0), (3, pq.I64, 0))
    path.write_bytes(pq.file_of(b"", pq.footer_of([pq.leaf(b"c0")], [group] * 2)))


def many_leaves(path: Path) -> None:
    path.write_bytes(pq.file_of(b"", pq.footer_of([pq.leaf(b"c0")] * 100_000, [])))


def large_footer(path: Path) -> None:
    notes = [pq.struct((1, pq.BINARY, b"pandas"), (2, pq.BINARY, b"[" + b"{}," * (4 << 20)))]
    path.write_bytes(pq.file_of(b"", pq.footer_of([pq.leaf(b"c0")], [], notes)))


def stored_schema(path: Path) -> None:
    """Store a schema for Arrow of a million fields, which all are the same one."""
    schema = base64.b64encode(all_alike(wide_schema().serialize().to_pybytes()))
    notes = [pq.struct((1, pq.BINARY, b"ARROW:schema"), (2, pq.BINARY, schema))]
    path.write_bytes(pq.file_of(b"", pq.footer_of([pq.leaf(b"c0")], [], notes)))


def wide_schema() -> Any:
    inner = pa.struct([pa.field(f"i{i}", pa.null()) for i in range(1000)])
    return pa.schema([pa.field(f"c{i}", pa.null() if i else inner) for i in range(FIELDS)])


def all_alike(stored: bytes) -> bytes:
    """Let all entries of the last list of ``FIELDS`` point to what the first one points to."""
    at = stored.rindex(struct.pack("<I", FIELDS)) + 4
    (first,) = struct.unpack_from("<I", stored, at)
    entries = struct.pack(f"<{FIELDS}I", *(first - 4 * i for i in range(FIELDS)))
    return stored[:at] + entries + stored[at + len(entries) :]


def negative_page(path: Path) -> None:
    pq.write(path, [pq.page(NUMBERS, 4, unpacked=-5)], 4)


def header_twice(path: Path) -> None:
    """The second size is what Arrow takes, a reader of the first would let it pass."""
    honest = pq.page(NUMBERS, 4, unpacked=16)
    again = bytes([pq.I32]) + pq.whole(2) + pq.whole(1 << 30)
    pq.write(path, [honest[: -len(NUMBERS) - 1] + again + b"\0" + NUMBERS], 4)


def long_fixed_values(path: Path) -> None:
    size = 1 << 20
    head = pq.page(zstd(size), 1, unpacked=size, kind=pq.DICTIONARY_PAGE)
    codes = pq.page(b"\x01\xfe\xff\x07\0", 65535, unpacked=5, encoding=pq.DICTIONARY_CODES)
    more = {"physical": pq.FIXED, "length": size, "codec": pq.ZSTD, "dictionary": True}
    pq.write(path, [head, codes], 65535, **more)


def shared_bytes(path: Path) -> None:
    pq.write(path, [pq.page(NUMBERS * 4096, 4 * 4096, unpacked=4 * 16384)], 16384, columns=300)


def rows_of_a_group(path: Path) -> None:
    pq.write(path, [pq.page(NUMBERS, 4, unpacked=16)], 4, group_rows=1 << 40)


def repeated_prefixes(path: Path) -> None:
    table = pa.table({"c0": ["x" * 1000 + str(i % 9) for i in range(1000)]})
    encoding = {"c0": "DELTA_BYTE_ARRAY"}
    parquet.write_table(table, path, use_dictionary=False, column_encoding=encoding)


def nested_lists(path: Path) -> None:
    parquet.write_table(pa.table({"c0": [[[1] * 100]]}), path)


def arrow_file(path: Path, column: object, compression: str | None = None) -> None:
    table = pa.table({"c0": column})
    with ipc.new_file(
        path, table.schema, options=ipc.IpcWriteOptions(compression=compression)
    ) as f:
        f.write_table(table)


def arrow_growth(path: Path) -> None:
    arrow_file(path, pa.array(np.zeros(100 << 17)), "zstd")


def arrow_claim(path: Path) -> None:
    arrow_file(path, pa.array(np.zeros(4096)), "zstd")
    stored = path.read_bytes()
    assert stored.count(struct.pack("<q", 8 * 4096)) == 1
    path.write_bytes(stored.replace(struct.pack("<q", 8 * 4096), struct.pack("<q", 1 << 40)))


def arrow_nulls(path: Path) -> None:
    arrow_file(path, pa.nulls(123_457))
    stored = path.read_bytes()
    path.write_bytes(stored.replace(struct.pack("<q", 123_457), struct.pack("<q", 1 << 40)))


def arrow_runs(path: Path) -> None:
    arrow_file(path, pa.RunEndEncodedArray.from_arrays(pa.array([1 << 25], pa.int32()), [1]))


def arrow_lists(path: Path) -> None:
    arrow_file(path, pa.array([[1]]))


def arrow_offsets(path: Path) -> None:
    arrow_file(path, pa.array(["abc", "defg", "hi"]))
    stored = path.read_bytes()
    offsets = struct.pack("<4i", 0, 3, 7, 9)
    assert stored.count(offsets) == 1
    path.write_bytes(stored.replace(offsets, struct.pack("<4i", 0, 1 << 30, 7, 9)))


def arrow_schema(path: Path) -> None:
    ipc.new_file(path, wide_schema()).close()
    path.write_bytes(all_alike(path.read_bytes()))


def arrow_names(path: Path) -> None:
    """Give all columns the same long name, which Arrow copies for each."""
    names = ["n" * 100_000, *(f"c{i}" for i in range(1, FIELDS))]
    ipc.new_file(path, pa.schema([pa.field(name, pa.null()) for name in names])).close()
    path.write_bytes(all_alike(path.read_bytes()))


def arrow_again(path: Path) -> None:
    """List one batch a thousand times, so that each is read."""
    schema = pa.schema([("c0", pa.float64())])
    with ipc.new_file(path, schema) as file:
        for rows in (9999, *[1] * 999):
            file.write_batch(pa.record_batch([np.zeros(rows)], schema))
    stored = path.read_bytes()
    at = stored.rindex(struct.pack("<I", 1000)) + 4
    path.write_bytes(stored[:at] + stored[at : at + 24] * 1000 + stored[at + 24_000 :])


def arrow_views(path: Path) -> None:
    """Let all rows show the same long text."""
    arrow_file(path, pa.array(["x" * 899_983, *["y" * 20] * 9_999], pa.string_view()))
    stored = path.read_bytes()
    at = stored.index(struct.pack("<i", 899_983) + b"xxxx")
    path.write_bytes(stored[:at] + stored[at : at + 16] * 10_000 + stored[at + 160_000 :])


def arrow_body(path: Path) -> None:
    arrow_file(path, pa.array(np.zeros(100_003, np.int8)))
    stored, length = path.read_bytes(), struct.pack("<q", 100_008)
    assert stored.count(length) == 2  # in the batch, and in the footer
    path.write_bytes(stored.replace(length, struct.pack("<q", 1 << 40), 1))


def arrow_cut(path: Path) -> None:
    arrow_file(path, pa.array([1.0] * 1000))
    path.write_bytes(path.read_bytes()[:-200])


BOMBS: dict[str, tuple[Callable[[Path], None], str]] = {
    "lying_page.parquet": (lying_page, "has 2,147,483,647 bytes of a column in one row group"),
    "large_page.parquet": (large_page, "unpacks to more than 67,108,864 bytes"),
    "large_dictionary.parquet": (large_dictionary, "unpacks to more than 67,108,864 bytes"),
    "many_dictionaries.parquet": (many_dictionaries, "unpacks to more than 67,108,864 bytes"),
    "many_texts.parquet": (many_texts, "a dictionary of 4,194,304 values"),
    "negative_page.parquet": (negative_page, "the header of a page is none"),
    "header_twice.parquet": (header_twice, "the header of a page is none"),
    "long_fixed_values.parquet": (long_fixed_values, "holds values of 1,048,576 bytes each"),
    "shared_bytes.parquet": (shared_bytes, "its columns take more bytes than the file has"),
    "rows_of_a_group.parquet": (rows_of_a_group, "declares 1,099,511,627,776 rows"),
    "repeated_prefixes.parquet": (repeated_prefixes, "is written in DELTA_BYTE_ARRAY"),
    "text_lengths.parquet": (text_lengths, "is written in DELTA_LENGTH_BYTE_ARRAY"),
    "long_number.parquet": (long_number, "the header of a page is none"),
    "behind_the_column.parquet": (behind_the_column, "2,147,483,647 bytes of a column"),
    "many_pages.parquet": (many_pages, "has more than 39,064 pages"),
    "many_chunks.parquet": (many_chunks, "a footer of more than 524,288 entries"),
    "many_leaves.parquet": (many_leaves, "has 100,000 columns, and 4,096 is the most"),
    "large_footer.parquet": (large_footer, "has a footer of 12,58.,... bytes"),
    "stored_schema.parquet": (stored_schema, "columns, and 4,096 is the most"),
    "nested_lists.parquet": (nested_lists, "neither numbers nor text"),
    "arrow_growth.arrow": (arrow_growth, "unpacks to more than 67,108,864 bytes"),
    "arrow_claim.arrow": (arrow_claim, "unpacks to more than 67,108,864 bytes"),
    "arrow_nulls.arrow": (arrow_nulls, "declares 1,099,511,627,776 rows"),
    "arrow_runs.arrow": (arrow_runs, "neither numbers nor text"),
    "arrow_lists.arrow": (arrow_lists, "neither numbers nor text"),
    "arrow_offsets.arrow": (arrow_offsets, "cannot be read as Arrow"),
    "arrow_schema.arrow": (arrow_schema, "columns, and 4,096 is the most"),
    "arrow_names.arrow": (arrow_names, "names and notes of more than 8,388,608 bytes"),
    "arrow_again.arrow": (arrow_again, "cannot be read as Arrow: its metadata is damaged"),
    "arrow_views.arrow": (arrow_views, "unpacks to more than 67,108,864 bytes"),
    "arrow_body.arrow": (arrow_body, "cannot be read as Arrow: its metadata is damaged"),
    "arrow_cut.arrow": (arrow_cut, "cannot be read as Arrow: its metadata is damaged"),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], int, float]:
    """What both readers said of each file, and MiB and seconds that reading them all took."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, (write, _) in BOMBS.items():
        write(folder / name)
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM, *(str(folder / name) for name in BOMBS)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | ONE_HEAP,
    )
    messages, grown, seconds = json.loads(child.stdout)
    return messages, grown, seconds


@pytest.mark.parametrize("name", BOMBS)
def test_each_ends_in_one_sentence_to_both_readers(said, name: str):
    messages = said[0][name]
    assert len(messages) == 2
    for message in messages:
        assert re.search(BOMBS[name][1], message), message
        assert name in message
        assert "\n" not in message


def test_all_of_them_together_take_little_memory_and_time(said):
    assert said[1] < MEMORY_MB
    assert said[2] < CPU_SECONDS


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_texts_that_are_no_utf8_are_refused(tmp_path: Path, form: str):
    path = tmp_path / f"t.{form}"
    texts = pa.array(["honest", "texts"])
    arrow_file(path, texts) if form == "arrow" else parquet.write_table(
        pa.table({"c0": texts}), path, compression="none", write_statistics=False
    )
    path.write_bytes(path.read_bytes().replace(b"honest", b"h\xffnest"))
    with (
        pytest.raises(DataError, match=r"cannot be read as .*UTF8.*; fetch or write it again"),
        open_stored(path) as table,
    ):
        list(table.columns([0], 10))


def test_columns_of_the_same_name_are_told_apart(tmp_path: Path):
    made = pa.table([pa.array([1]), pa.array(["x"]), pa.array([3])], names=["a", "b", "a"])
    parquet.write_table(made, tmp_path / "t.parquet")
    with open_stored(tmp_path / "t.parquet") as table:
        (found,) = table.columns([2, 1, 0], 10)
    assert {place: column.to_pylist() for place, column in found.items()} == {
        0: [1],
        1: ["x"],
        2: [3],
    }


@pytest.mark.parametrize(("form", "coded"), [("parquet", False), ("arrow", False), ("arrow", True)])
def test_texts_as_views_are_read_as_polars_writes_them(tmp_path: Path, form: str, coded: bool):
    texts = ["tcp", None, "a text of more than twelve characters"] * 100
    column = pa.array(texts, pa.string_view())
    if coded:
        codes = pa.array([0, None, 1] * 100)
        column = pa.DictionaryArray.from_arrays(codes, pa.array([texts[0], texts[2]], column.type))
    path = tmp_path / f"t.{form}"
    if form == "arrow":
        arrow_file(path, column)
    else:
        parquet.write_table(pa.table({"c0": column}), path)
    with open_stored(path) as table:
        found = [value for part in table.columns([0], 70) for value in part[0].to_pylist()]
    assert found == texts


def test_wide_tables_are_read_in_fewer_rows(tmp_path: Path):
    """A piece of 4,096 constant columns would else take half a GiB for each kind of number."""
    zeros = pa.array(np.zeros(6000, np.int8))
    parquet.write_table(pa.table({f"c{i}": zeros for i in range(4096)}), tmp_path / "t.parquet")
    with open_stored(tmp_path / "t.parquet") as table:
        rows = [len(part[0]) for part in table.columns(range(4096), 1 << 16)]
    assert rows == [2048, 2048, 1904]


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("dictionary", [False, True])
def test_honest_arrow_files_are_read(tmp_path: Path, compression: str | None, dictionary: bool):
    column = pa.array(["tcp", "udp", None] * 30_000)
    arrow_file(
        tmp_path / "t.arrow", column.dictionary_encode() if dictionary else column, compression
    )
    with open_stored(tmp_path / "t.arrow") as table:
        found = [value for part in table.columns([0], 700) for value in part[0].to_pylist()]
    assert found == column.to_pylist()


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
def test_honest_parquet_files_are_read(tmp_path: Path, version: str, compression: str):
    rng = np.random.default_rng(0)
    made = pa.table({"a": rng.normal(size=9000), "b": rng.integers(0, 9, 9000).astype(str)})
    parquet.write_table(
        made,
        tmp_path / "t.parquet",
        compression=compression,
        data_page_version=version,
        row_group_size=2000,
        data_page_size=1000,
    )
    with open_stored(tmp_path / "t.parquet") as table:
        parts = list(table.columns([0, 1], 700))
    for place, name in enumerate(made.column_names):
        found = [value for part in parts for value in part[place].to_pylist()]
        assert found == made.column(name).to_pylist()


@pytest.mark.parametrize(
    "data",
    [b"", b"\x15", b"\x18\xff\xff\xff\xff\x7f", b"\x1c" * 40, b"\x15" + b"\xff" * 20, b"\x1e\0"],
)
def test_bytes_that_are_no_structure_are_refused(data: bytes):
    with pytest.raises((IndexError, ValueError)):
        ThriftReader(data).struct()


def test_the_arrow_suffix_is_held_to(tmp_path: Path):
    (tmp_path / "t.arrow").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="cannot be read as Arrow: it does not begin as one"):
        header_of(tmp_path / "t.arrow")
