"""A benchmark with its options by name, for the tests."""

from __future__ import annotations

from pathlib import Path

from idskit.bench.bench_options import BenchOptions
from idskit.bench.result import Report
from idskit.bench.run_bench import bench

_OUTPUTS = ("json", "html", "markdown")


def measure(*models: Path, **options: object) -> Report:
    """What ``bench`` returns for options and outputs by name."""
    outputs = {name: options.pop(name) for name in _OUTPUTS if name in options}
    return bench(BenchOptions(**options), models, **outputs)
