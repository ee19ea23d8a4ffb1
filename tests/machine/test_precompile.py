"""Whether reading a capture would compile, found without compiling."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from idskit.kernels.compile import is_compiling
from idskit.machine.precompile import needs_compiling
from idskit.profiles.flow_reader import open_flows

pytestmark = pytest.mark.skipif(
    not is_compiling(), reason="NUMBA_DISABLE_JIT is set: nothing is compiled"
)


def test_a_machine_without_compiled_kernels_needs_compiling(tmp_path: Path) -> None:
    code = "from idskit.machine.precompile import needs_compiling as f; assert f('gateway')"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not list(tmp_path.rglob("*.nbc"))  # nothing was compiled by asking


def test_what_has_been_read_is_warm() -> None:
    with (
        as_file(files("idskit") / "shipped/sample.pcap") as sample,
        open_flows(sample, "gateway") as flows,
    ):
        deque(flows.batches(), maxlen=0)
    assert not needs_compiling("gateway")
