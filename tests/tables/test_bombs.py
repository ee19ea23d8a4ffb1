"""Files that are small and want much: one sentence, in bounded memory and time, to every reader."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from idskit.errors import DataError
from idskit.tables import content
from idskit.tables.lines import MOST_COLUMNS, open_lines
from idskit.tables.numbers import number
from idskit.tables.pieces import header_of

HEADER = b"a,b,Label\n"
MEMORY_MB = 512  # what reading may take beyond the imports
# Arrow's own allocator reserves a GiB of addresses at once, which a limit on them would refuse.
ONE_HEAP = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
}
# Reads each file as training and as the audit do, and prints what either said.
PROGRAM = """
import json, resource, sys
from pathlib import Path
import pyarrow.csv, pyarrow.parquet
from idskit.audit.run_audit import audit_tables
from idskit.data.datasets import load
from idskit.errors import DataError
from idskit.tables import content

content.FREE_CELLS = 1 << 20
content.FREE_BYTES = 2 << 20  # the same bounds, sooner reached
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CPU, (240, 240))  # seconds
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
said = {}
for name in sys.argv[1:]:
    path = Path(name)
    said[path.name] = []
    for read in (
        lambda: load("table", path, protocol="honest", labels="binary", seed=0),
        lambda: audit_tables([path]),
    ):
        try:
            read()
        except DataError as error:
            said[path.name].append(str(error))
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
print(json.dumps([said, grown]))
"""


def gzip_of(head: bytes, part: bytes, times: int) -> bytes:
    """Members behind each other, so that gigabytes cost no time to write."""
    return gzip.compress(head) + gzip.compress(part) * times


CONTENTS = {
    "line.csv.gz": gzip_of(b"", b"1," * (1 << 23), 128),
    "row.csv.gz": gzip_of(HEADER + b"1,2,x\n", b"1" * (1 << 24), 128),
    "blank.csv.gz": gzip_of(b"", b"\n" * (1 << 24), 128),
    "comments.csv.gz": gzip_of(b"", b"#\n" * (1 << 23), 128),
    "rows.csv.bz2": bz2.compress(HEADER) + bz2.compress(b"1,2,x\n" * (1 << 17)) * 9,
    "rows.csv.xz": lzma.compress(HEADER) + lzma.compress(b"1,2,x\n" * (1 << 17)) * 9,
    "columns.csv": b"a," * 100_000 + b"Label\n",
    "digits.csv": HEADER + b"1,2,x\n" * 60 + b"9" * 900_000 + b"x,2,y\n",
    "labels.csv": HEADER + b"".join(b"%d,2,l%d\n" % (i, i) for i in range(20_000)),
    "zeros.csv": HEADER + b"\0" * 1000,
}
SENTENCES = {
    "line.csv.gz": "a line of more than 1 MiB",
    "row.csv.gz": "a line of more than 1 MiB",
    "blank.csv.gz": "no line of column names in its first 64 KiB",
    "comments.csv.gz": "no line of column names in its first 64 KiB",
    "rows.csv.bz2": "unpacks to more than 2,097,152 bytes",
    "rows.csv.xz": "unpacks to more than 2,097,152 bytes",
    "columns.csv": f"has 100,001 columns, and {MOST_COLUMNS:,} is the most",
    "digits.csv": "row 61, column 'a': a number is due",
    "labels.csv": "more than 4096 different",
    "zeros.csv": "it holds zero bytes",
    "rows.parquet": "declares 3,145,728 rows",
    "columns.parquet": "has 5,000 columns",
    "text.parquet": "holds a text of ",
    "nested.parquet": "neither numbers nor text",
    "deep.parquet": "cannot be read as Parquet: Parquet schema too deeply nested",
}


def write_parquet(folder: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    million = 1 << 20
    zeros = pa.array(np.zeros(million, np.int32))
    rows = pa.table({"a": zeros, "Label": zeros})
    with parquet.ParquetWriter(folder / "rows.parquet", rows.schema) as writer:
        for _ in range(3):
            writer.write_table(rows)
    long = pa.DictionaryArray.from_arrays(zeros, pa.array(["y" * (8 << 20)]))
    parquet.write_table(pa.table({"a": zeros, "Label": long})[:99_999], folder / "text.parquet")
    parquet.write_table(pa.table({f"c{i}": [1] for i in range(5000)}), folder / "columns.parquet")
    parquet.write_table(pa.table({"l": [[1]], "Label": ["x"]}), folder / "nested.parquet")
    kind, value = pa.int32(), 1
    for _ in range(100):
        kind, value = pa.list_(kind), [value]
    parquet.write_table(pa.table({"l": pa.array([value], kind)}), folder / "deep.parquet")


def test_bombs_end_in_a_sentence_within_bounds(tmp_path: Path):
    for name, stored in CONTENTS.items():
        (tmp_path / name).write_bytes(stored)
    write_parquet(tmp_path)
    said, grown = run([tmp_path / name for name in SENTENCES])
    for name, sentence in SENTENCES.items():
        assert len(said[name]) == 2, name
        for message in said[name]:
            assert sentence in message, name
            assert "\n" not in message
    assert grown < MEMORY_MB


def run(files: list[Path]) -> Any:
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, files)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | ONE_HEAP,
    )
    return json.loads(child.stdout)


def test_a_table_of_300000_columns_is_refused(shared: Path):
    with pytest.raises(DataError, match="a line of more than 1 MiB"):
        header_of(shared / "cases" / "tables" / "manycols.csv.gz")


def test_xz_may_not_ask_for_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(content, "XZ_MEMORY", 1 << 20)
    path = tmp_path / "t.csv.xz"
    path.write_bytes(lzma.compress(HEADER))
    with pytest.raises(DataError, match="needs more than 1 MiB to be unpacked"), open_lines(path):
        pass


@pytest.mark.parametrize("text", ["9" * 500_000 + "x", "1," * 300_000, "," * 500_000])
def test_long_texts_are_told_from_numbers_at_once(text: str):
    assert number(text) is None


FOREIGN = {
    "x.xlsx": (b"PK\x03\x04 sheet", "a zip archive or a spreadsheet"),
    "x.csv": (b"\xd4\xc3\xb2\xa1" + b"\0" * 20, "a capture: extract its flows first"),
    "x.h5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    "x.npy": (b"\x93NUMPY", "a NumPy array"),
    "x.csv.gz": (gzip.compress(gzip.compress(HEADER)), "holds another packed file"),
    "x.parquet": (HEADER, "cannot be read as Parquet"),
    "x.csv.bz2": (bz2.compress(HEADER * 99)[:-20], "a bzip2 file that is damaged or cut short"),
    "x.csv.xz": (lzma.compress(HEADER * 99)[:-20], "an? xz file that is damaged or cut short"),
    "x.utf16.csv": (HEADER.decode().encode("utf-16") + b"x", "iconv -f UTF-16 -t UTF-8"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_table_says_what_to_do(tmp_path: Path, name: str):
    stored, sentence = FOREIGN[name]
    (tmp_path / name).write_bytes(stored)
    with pytest.raises(DataError, match=sentence):
        for _ in rows_of(tmp_path / name):
            pass


def rows_of(path: Path) -> Any:
    if path.suffix == ".parquet":
        return header_of(path)
    with open_lines(path) as lines:
        return list(lines.rows(99))


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str):
    path = {"folder": tmp_path, "device": Path("/dev/zero"), "pipe": tmp_path / "pipe"}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(DataError, match="cannot be read"):
        header_of(path)
