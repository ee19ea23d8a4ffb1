"""The tables of exactness in the documentation are what their command prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.flows.exactness import identities, table

from idskit.kernels.compile import is_compiling

README = Path(__file__).resolve().parents[2] / "toolkit/profiles/README.md"


@pytest.mark.skipif(not is_compiling(), reason="takes minutes; test_cic.py compares the same cells")
def test_the_documented_tables_are_what_the_command_prints(shared: Path) -> None:
    lines = [*table(shared), *identities(shared)]
    text = README.read_text()
    assert "No cell differs." in lines
    assert [line for line in lines if line not in text] == []
