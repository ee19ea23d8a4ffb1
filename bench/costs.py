"""What a model would cost on boards that nobody has measured yet: estimates, on paper.

    python -m idskit.bench.costs [MODEL.onnx ...]

prints the tables of COSTS.md. The work of one flow is counted by running the file here; what a
board makes of it is arithmetic on public figures, whose sources COSTS.md names.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idskit.bench.int8_peak import macs_of, profiled_nodes
from idskit.bench.views.section import Section, markdown_section
from idskit.errors import IdskitError
from idskit.modelfile.model_file import read_model
from idskit.modelfile.model_path import model_path

SHARE = (0.15, 0.40)  # of its peak that a core reaches on small matrices: the unknown
_BYTES = {"float": 4, "float16": 2, "uint8": 1, "int8": 1, "int32": 4, "int64": 8, "bool": 1}
_INT8 = {"uint8", "int8"}


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one flow takes, counted."""

    name: str
    int8_macs: int
    fp32_macs: int
    nodes: int  # as onnxruntime runs them here, after fusion
    written_bytes: int  # by all nodes together
    file_bytes: int  # nearly all of it constants, which are read for every call


@dataclass(frozen=True, kw_only=True)
class Board:
    """Public figures of one board, a core where nothing else is said."""

    name: str
    clock_ghz: float
    fp32_macs_per_cycle: int
    int8_macs_per_cycle: int
    cache_mib: float  # that one core can use, shared caches included
    memory_gb_per_s: float  # of all cores together
    node_us: tuple[float, float]  # a call into onnxruntime: 0.6 us on the machine of development

    def flows_per_s(self, work: Work) -> tuple[float, float]:
        """Least and most, in large batches on one core."""
        cycles = work.int8_macs / self.int8_macs_per_cycle
        cycles += work.fp32_macs / self.fp32_macs_per_cycle
        least, most = (share * self.clock_ghz * 1e9 / cycles for share in SHARE)
        return least, most

    def one_flow_ms(self, work: Work) -> tuple[float, float]:
        """Least and most for a single flow: nodes, multiply-adds, and constants from memory."""
        slowest, fastest = (1e3 / rate for rate in self.flows_per_s(work))
        memory = self.memory_ms(work)
        few, many = (us * work.nodes / 1e3 for us in self.node_us)
        return few + fastest + memory, many + slowest + memory

    def memory_ms(self, work: Work) -> float:
        """To read constants that no cache keeps until the next flow."""
        kept = work.file_bytes <= self.cache_mib * 2**20
        return 0.0 if kept else work.file_bytes / self.memory_gb_per_s / 1e6


# Sources 1 to 5 of COSTS.md.
BOARDS = (
    Board(
        name="Raspberry Pi 4",
        clock_ghz=1.8,
        fp32_macs_per_cycle=4,
        int8_macs_per_cycle=4,  # no dot products: 8-bit numbers are widened first
        cache_mib=1.0,
        memory_gb_per_s=12.8,
        node_us=(2, 6),
    ),
    Board(
        name="Raspberry Pi 5",
        clock_ghz=2.4,
        fp32_macs_per_cycle=8,
        int8_macs_per_cycle=32,
        cache_mib=2.5,
        memory_gb_per_s=17.1,
        node_us=(1, 3),
    ),
    Board(
        name="Jetson Orin Nano, processor",
        clock_ghz=1.5,
        fp32_macs_per_cycle=8,
        int8_macs_per_cycle=32,
        cache_mib=4.25,
        memory_gb_per_s=68.0,
        node_us=(1, 3),
    ),
)


def count_work(path: Path) -> Work:
    """Count what one flow takes, by onnxruntime's own profile of a call.

    Raises:
        ModelError: not a model file of idskit.
    """
    file = read_model(path)
    nodes = profiled_nodes(file.canonical, file.card.golden.flows[:1], fused=True)
    macs = [(_is_int8(node), macs_of(node)) for node in nodes]
    return Work(
        name=path.stem,
        int8_macs=sum(count for is_int8, count in macs if is_int8),
        fp32_macs=sum(count for is_int8, count in macs if not is_int8),
        nodes=len(nodes),
        written_bytes=sum(map(_written, nodes)),
        file_bytes=file.size,
    )


def cost_sections(works: Sequence[Work]) -> list[Section]:
    """What was counted, and the two estimates."""
    names = tuple(work.name for work in works)
    return [
        Section(
            title="counted",
            about="the work of one flow",
            columns=("", *names),
            rows=(
                ("multiply-adds, int8", *(f"{work.int8_macs:,}" for work in works)),
                ("multiply-adds, fp32", *(f"{work.fp32_macs:,}" for work in works)),
                ("nodes, after fusion", *(f"{work.nodes:,}" for work in works)),
                (
                    "KB written between nodes",
                    *(f"{work.written_bytes / 1e3:,.0f}" for work in works),
                ),
                ("MB of file", *(f"{work.file_bytes / 1e6:,.2f}" for work in works)),
            ),
        ),
        Section(
            title="estimate",
            about="flows a second on one core, large batches",
            columns=("", *names),
            rows=tuple(
                (board.name, *(_range(board.flows_per_s(work)) for work in works))
                for board in BOARDS
            ),
        ),
        Section(
            title="estimate",
            about="milliseconds for one flow at a time",
            columns=("", *names),
            rows=tuple(
                (board.name, *(_range(board.one_flow_ms(work)) for work in works))
                for board in BOARDS
            ),
        ),
    ]


def _is_int8(node: Mapping[str, Any]) -> bool:
    return bool(_INT8 & node["input_type_shape"][0].keys()) if node["input_type_shape"] else False


def _written(node: Mapping[str, Any]) -> int:
    return sum(
        math.prod(shape) * _BYTES.get(kind, 8)
        for tensor in node["output_type_shape"]
        for kind, shape in tensor.items()
    )


def _range(ends: tuple[float, float]) -> str:
    return " - ".join(f"{float(f'{end:.2g}'):,.10g}" for end in ends)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables for some models, for the shipped one if none is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="*", help="the shipped one if none is named")
    models = parser.parse_args(arguments).models
    if models:
        works = [count_work(model) for model in models]
    else:
        with model_path() as path:
            works = [count_work(path)]
    print("\n\n".join(map(markdown_section, cost_sections(works))))


if __name__ == "__main__":
    try:
        main()
    except IdskitError as error:
        sys.exit(f"idskit: {error}")
