"""One training run to one ONNX file: lower, quantise, verify, write, or refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from idskit.detect.model_file import ModelCard
from idskit.errors import DataError, GateRefused, IdskitError
from idskit.export.graph import Graph
from idskit.export.lower import lower
from idskit.export.quantize import calibrate, products, quantize
from idskit.export.target import Target, target_named
from idskit.export.verify import Agreement, compare, golden_vectors, run_onnx, run_torch
from idskit.output import write_whole
from idskit.training.run import LabelledRows, Run, load_run

Probabilities = NDArray[np.float32]  # (n, classes) of the held rows, in fp32

QUANTIZATIONS = ("none", "int8")
TORCH_TOLERANCE = 1e-4
MIN_CALIBRATION_ROWS = 32


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written, and how far it is from what was trained."""

    output: str
    quantize: str
    target: str
    written: bool
    bytes_fp32: int
    bytes_written: int
    nodes: int
    multiply_adds: int  # a flow, in matrix products
    int8_products: tuple[str, ...]
    float_products: tuple[str, ...]
    fp32_against_torch: Agreement
    int8_against_fp32: Agreement | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def show(self, console: Console) -> None:
        """Print for people."""
        table = Table(show_header=False, title=f"export of {escape(self.output)}")
        for name, value in self._lines():
            table.add_row(name, value)
        console.print(table)
        console.print(
            f"{'written' if self.written else 'not written (dry run)'}: {escape(self.output)}",
            highlight=False,
        )

    def _lines(self) -> list[tuple[str, str]]:
        exact, drop = self.fp32_against_torch, self.int8_against_fp32
        lines = [
            ("precision", f"{'fp32' if drop is None else 'int8'} for {self.target}"),
            ("size", f"{self.bytes_written:,} bytes (fp32 graph {self.bytes_fp32:,})"),
            ("graph", f"{self.nodes} nodes, {self.multiply_adds:,} multiply-adds a flow"),
            ("held rows", f"{exact.rows:,} validation rows"),
            ("fp32 against torch", f"max difference {exact.max_difference:.1e}"),
        ]
        if drop is None:
            return [*lines, ("macro-F1", f"{exact.macro_f1_after:.4f}")]
        return [
            *lines,
            ("int8 products", f"{len(self.int8_products)} of {self._products()}"),
            (
                "macro-F1",
                f"fp32 {drop.macro_f1_before:.4f}, int8 {drop.macro_f1_after:.4f} "
                f"({-drop.drop_points:+.2f} points)",
            ),
            ("same class", f"{drop.same_class:.2%} of rows"),
            ("same verdict", f"{drop.same_verdict:.2%} of rows"),
            ("worst class", f"{drop.worst_class} ({-100 * drop.worst_class_f1_drop:+.2f} points)"),
        ]

    def _products(self) -> int:
        return len(self.int8_products) + len(self.float_products)


def export(
    run: Path,
    output: Path,
    *,
    quantize: str = "none",
    target: str = "auto",
    max_drop: float = 0.5,
    dry_run: bool = False,
) -> ExportReport:
    """Export a training run as one ONNX file that needs only onnxruntime.

    Args:
        run: folder of a finished training run.
        output: the file to write; it appears when complete and verified.
        quantize: ``none`` (fp32) or ``int8`` (static).
        target: the machine the file is for: ``auto`` or a name of ``TARGETS``.
        max_drop: points of macro-F1 on held rows that int8 may lose.
        dry_run: do everything but write.

    Raises:
        RunError: the run is incomplete or damaged.
        IdskitError: unknown quantisation or target, or a graph that is not torch's network.
        DataError: too few calibration rows, or a class without any.
        GateRefused: int8 loses more than ``max_drop``.
    """
    if quantize not in QUANTIZATIONS:
        raise IdskitError(f"quantize {quantize!r} was asked for: choose none or int8")
    trained = load_run(run)
    recipe = target_named(target)
    floats = lower(trained.network)
    answers = run_onnx(floats.model(), trained.held.flows)
    exact = _against_torch(answers, trained)
    model_graph, drop = floats, None
    if quantize == "int8":
        model_graph, drop = _int8(floats, answers, trained, recipe, max_drop)
    facts = _facts(trained, quantize, recipe, exact, drop)
    model = model_graph.model(_card(model_graph, trained, quantize, facts).to_metadata())
    content = model.SerializeToString(deterministic=True)
    if not dry_run:
        onnx.checker.check_model(content)
        write_whole(output, lambda path: path.write_bytes(content))
    chosen = tuple(node.name for node in products(floats)) if quantize == "int8" else ()
    return ExportReport(
        output=str(output),
        quantize=quantize,
        target=recipe.name,
        written=not dry_run,
        bytes_fp32=len(floats.model().SerializeToString()),
        bytes_written=len(content),
        nodes=len(model.graph.node),
        multiply_adds=_multiply_adds(floats, trained),
        int8_products=chosen,
        float_products=tuple(
            node.name for node in floats.nodes if node.op_type == "Gemm" and node.name not in chosen
        ),
        fp32_against_torch=exact,
        int8_against_fp32=drop,
    )


def _against_torch(answers: Probabilities, trained: Run) -> Agreement:
    held = trained.held
    before = run_torch(trained.network, held.flows)
    exact = compare(held, before, answers, trained.classes, trained.threshold)
    if not exact.max_difference <= TORCH_TOLERANCE:  # NaN is refused too
        raise IdskitError(
            f"the lowered graph differs from torch by {exact.max_difference:.2g} on "
            f"{exact.rows} held rows, more than {TORCH_TOLERANCE:g}: nothing was written; please "
            "report this with the run's run.json"
        )
    return exact


def _int8(
    floats: Graph, answers: Probabilities, trained: Run, target: Target, max_drop: float
) -> tuple[Graph, Agreement]:
    _check_calibration(trained.calibration, trained.classes)
    integers = quantize(floats, calibrate(floats, trained.calibration.flows), target)
    held = trained.held
    after = run_onnx(integers.model(), held.flows)
    drop = compare(held, answers, after, trained.classes, trained.threshold)
    if not drop.drop_points <= max_drop:
        raise GateRefused(
            f"int8 lowers macro-F1 on {drop.rows} held rows from {drop.macro_f1_before:.4f} to "
            f"{drop.macro_f1_after:.4f}, {drop.drop_points:.2f} points where --max-drop allows "
            f"{max_drop:g}; class {drop.worst_class!r} lost most ({drop.worst_class_f1_drop:.4f}): "
            "nothing was written; train wider, or allow more"
        )
    return integers, drop


def _check_calibration(rows: LabelledRows, classes: tuple[str, ...]) -> None:
    counts = np.bincount(rows.labels, minlength=len(classes))
    missing = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if missing or len(rows.labels) < MIN_CALIBRATION_ROWS:
        raise DataError(
            f"int8 needs at least {MIN_CALIBRATION_ROWS} calibration rows and some of every class, "
            f"but the run has {len(rows.labels)}"
            + (f" and none of {', '.join(missing)}" if missing else "")
            + ": train on more rows, or export with --quantize none"
        )


def _facts(
    trained: Run, quantize: str, target: Target, exact: Agreement, drop: Agreement | None
) -> Mapping[str, Any]:
    return {
        **trained.facts,
        "precision": "int8" if quantize == "int8" else "fp32",
        "target": target.name if quantize == "int8" else "any",
        "export": {
            "fp32_against_torch": asdict(exact),
            "int8_against_fp32": asdict(drop) if drop else None,
        },
    }


def _card(graph: Graph, trained: Run, quantize: str, facts: Mapping[str, Any]) -> ModelCard:
    return ModelCard(
        schema=trained.schema,
        classes=trained.classes,
        threshold=trained.threshold,
        facts=facts,
        golden=golden_vectors(graph.model(), trained.held, quantize),
    )


def _multiply_adds(graph: Graph, trained: Run) -> int:
    """Multiply-adds of one flow; the mel bank runs once a frame."""
    frames = {"mel": trained.network.frontend.frames}
    return sum(
        graph.constants[node.input[1]].size * frames.get(node.name, 1)
        for node in graph.nodes
        if node.op_type == "Gemm"
    )
