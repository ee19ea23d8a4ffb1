"""One training run to one ONNX file: lower, quantise, verify, write, or refuse."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from idskit.errors import IdskitError, RunError
from idskit.export.emit import emit as emit_beside
from idskit.export.emit import require_language
from idskit.export.lower.graph_parts import Graph
from idskit.export.lower.lower_model import lower
from idskit.export.precision.reduce_precision import LayerCost, Smaller, in_fp16, in_int8
from idskit.export.target import Target, require_precision, target_named
from idskit.export.verify import Agreement, compare, golden_vectors, run_onnx, run_torch
from idskit.files.output import write_whole
from idskit.modelfile.graph_facts import graph_facts
from idskit.modelfile.model_file import ModelCard, check_model
from idskit.modelfile.signature import Signer
from idskit.models.saved_run import Run, load_run
from idskit.report.text import shown

Probabilities = NDArray[np.float32]  # (n, classes) of the held rows, in fp32

QUANTIZATIONS = ("none", "int8", "fp16")
TORCH_TOLERANCE = 1e-4


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
    int8_against_fp32: Agreement | None = None
    fp16_against_fp32: Agreement | None = None
    trees: int = 0  # of the member beside the network
    trees_share: float | None = None  # of the averaged probabilities
    left_float: tuple[str, ...] = ()  # layers that int8 would have cost too much
    left_as_they_are: tuple[str, ...] = ()  # kinds of operators that were not lowered, with counts
    layer_costs: tuple[LayerCost, ...] = ()  # costliest first; measured where the gate needed it
    beside: tuple[str, ...] = ()  # the signature and what was emitted

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def show(self, console: Console) -> None:
        """Print for people."""
        table = Table(show_header=False, title=f"export of {shown(self.output)}")
        for name, value in self._lines():
            table.add_row(name, shown(value))
        console.print(table)
        words = "written" if self.written else "not written (dry run)"
        names = ", ".join((self.output, *self.beside))
        console.print(f"{words}: {shown(names)}", highlight=False)

    def _lines(self) -> list[tuple[str, str]]:
        exact, drop = self.fp32_against_torch, self.int8_against_fp32 or self.fp16_against_fp32
        precision = "fp32" if drop is None else self.quantize
        lines = [
            ("precision", f"{precision} for {self.target}"),
            ("size", f"{self.bytes_written:,} bytes (fp32 graph {self.bytes_fp32:,})"),
            ("graph", f"{self.nodes} nodes, {self.multiply_adds:,} multiply-adds a flow"),
            *([("not lowered", ", ".join(self.left_as_they_are))] if self.left_as_they_are else []),
            *self._tree_lines(),
            ("held rows", f"{exact.rows:,} validation rows"),
            ("fp32 against torch", f"max difference {exact.max_difference:.1e}"),
        ]
        if drop is None:
            return [*lines, ("macro-F1", f"{exact.macro_f1_after:.4f}")]
        f1 = drop.macro_f1_before, drop.macro_f1_after
        auc = drop.roc_auc_before, drop.roc_auc_after
        found = drop.true_positive_rate_before, drop.true_positive_rate_after
        return [
            *lines,
            *self._product_lines(),
            ("macro-F1", _change(precision, *f1)),
            ("ROC AUC", _change(precision, *auc)),
            ("attacks found", _change(precision, *found)),
            ("same class", f"{drop.same_class:.2%} of rows"),
            ("same verdict", f"{drop.same_verdict:.2%} of rows"),
            ("worst class", f"{drop.worst_class} ({-100 * drop.worst_class_f1_drop:+.2f} points)"),
        ]

    def _tree_lines(self) -> list[tuple[str, str]]:
        if self.trees_share is None:
            return []
        return [("trees", f"{self.trees:,}, with {self.trees_share:.0%} of the average")]

    def _product_lines(self) -> list[tuple[str, str]]:
        if self.int8_against_fp32 is None:
            return []
        total = len(self.int8_products) + len(self.float_products)
        costs = {cost.layer: cost.difference for cost in self.layer_costs}
        left = ", ".join(f"{name} ({costs[name]:.2g})" for name in self.left_float)
        return [
            ("int8 products", f"{len(self.int8_products)} of {total}"),
            *([("left in float for the gate", left)] if left else []),
        ]


def _change(precision: str, before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "not to be had from these rows"
    return f"fp32 {before:.4f}, {precision} {after:.4f} ({100 * (after - before):+.2f} points)"


def export(  # noqa: PLR0913 - one argument a flag
    run: Path,
    output: Path,
    *,
    quantize: str = "none",
    target: str = "auto",
    max_drop: float = 0.5,
    emit: Collection[str] = (),
    sign: Path | None = None,
    model_version: int | None = None,
    qdq: bool = False,
    dry_run: bool = False,
) -> ExportReport:
    """Export a training run as one ONNX file that needs only onnxruntime.

    Args:
        run: folder of a finished training run.
        output: the file to write; it appears when complete and verified.
        quantize: ``none`` (fp32), ``int8`` (static) or ``fp16`` (for CUDA).
        target: the machine the file is for: ``auto`` or a name of ``TARGETS``.
        max_drop: points of macro-F1 on held rows that int8 or fp16 may lose; gate.py says what
            else may be lost.
        emit: ``python`` (a script) and ``c`` (a header) to write beside the file.
        sign: PEM file of the ed25519 private key that signs the file, in ``output``.sig.
        model_version: version that the signature names; today's date (20261231) when None.
        qdq: int8 as pairs of QuantizeLinear and DequantizeLinear around products, which other
            runtimes load; onnxruntime's own operators, which it does not use then, are faster.
        dry_run: do everything but write.

    Raises:
        RunError: the run is incomplete or damaged.
        IdskitError: unknown quantisation, target or language, a smaller precision for a body that
            is not lowered, or a graph that is not torch's network.
        DataError: too few calibration rows, or a class without any.
        ModelError: ``sign`` is no private ed25519 key.
        MissingExtra: ``sign`` was given and cryptography is not installed.
        GateRefused: int8 or fp16 loses more than ``max_drop`` allows.
    """
    recipe = _recipe(quantize, target, emit, qdq=qdq)
    signer = None if sign is None else Signer.load(sign, model_version)
    trained = _with_held_rows(load_run(run), run)
    floats = lower(trained.network)
    _require_layers(floats, trained, quantize)
    answers = run_onnx(floats.model(), trained.held.flows)
    exact = _against_torch(answers, trained)
    smaller = _smaller(quantize, floats, answers, trained, recipe, max_drop, qdq=qdq)
    graph = floats if smaller is None else smaller.graph
    card = _card(graph, trained, quantize, _facts(trained, quantize, recipe, exact, smaller))
    model = graph.model(card.to_metadata())
    content = model.SerializeToString(deterministic=True)
    onnx.checker.check_model(content)
    checked = check_model(content, output)  # what nobody could load is not written
    beside = () if dry_run else _write(output, content, card, signer, emit)
    products = [node.name for node in floats.nodes if node.op_type in ("Gemm", "Conv")]
    in_int8 = tuple(n for n in products if f"{n}.weight.integers" in graph.constants)
    trees = trained.network.trees
    return ExportReport(
        output=str(output),
        quantize=quantize,
        target=recipe.name,
        written=not dry_run,
        bytes_fp32=len(floats.model().SerializeToString()),
        bytes_written=len(content),
        nodes=len(model.graph.node),
        multiply_adds=graph_facts(checked.graph).multiply_adds,
        int8_products=in_int8,
        float_products=tuple(name for name in products if name not in in_int8),
        fp32_against_torch=exact,
        int8_against_fp32=smaller.agreement if smaller and quantize == "int8" else None,
        fp16_against_fp32=smaller.agreement if smaller and quantize == "fp16" else None,
        trees=0 if trees is None else len(trees.root),
        trees_share=None if trees is None else float(trees.share),
        left_float=smaller.left_float if smaller else (),
        left_as_they_are=_left_as_they_are(graph),
        layer_costs=smaller.layer_costs if smaller else (),
        beside=tuple(map(str, beside)),
    )


def _left_as_they_are(graph: Graph) -> tuple[str, ...]:
    """Kinds of nodes that were taken over from torch's export, most of them first."""
    names = set(graph.left_as_they_are)
    kinds = Counter(node.op_type for node in graph.nodes if node.name in names)
    return tuple(f"{kind} ({count})" for kind, count in kinds.most_common())


def _write(
    output: Path,
    content: bytes,
    card: ModelCard,
    signer: Signer | None,
    emit: Collection[str],
) -> tuple[Path, ...]:
    """Write the model, and return what was written beside it."""
    write_whole(output, lambda path: path.write_bytes(content))
    sha256 = hashlib.sha256(content).hexdigest()
    signature = [] if signer is None else [signer.sign(output, sha256)]
    return (*signature, *(emit_beside(language, output, card, sha256) for language in emit))


def _recipe(quantize: str, target: str, emit: Collection[str], *, qdq: bool) -> Target:
    """The target, after a look at what was asked for."""
    if quantize not in QUANTIZATIONS:
        raise IdskitError(f"quantize {quantize!r} was asked for: choose none, int8 or fp16")
    if qdq and quantize != "int8":
        raise IdskitError(
            f"QDQ was asked for with quantize {quantize}, but it is a form of int8: add "
            "--quantize int8, or leave --qdq out"
        )
    for language in emit:
        require_language(language)
    recipe = target_named(target)
    require_precision(recipe, quantize)
    return recipe


def _with_held_rows(trained: Run, folder: Path) -> Run:
    if not len(trained.held.labels):
        raise RunError(
            f"the training run in {folder} has no held rows to verify an export on: train again"
        )
    return trained


def _require_layers(floats: Graph, trained: Run, quantize: str) -> None:
    if quantize != "none" and not floats.layers:
        raise IdskitError(
            f"{quantize} was asked for, but the body of this run, {trained.network.settings.model},"
            " is taken over operator by operator in float32 and has no lowered layer: export it "
            "with --quantize none, or train resnet18"
        )


def _smaller(
    quantize: str,
    floats: Graph,
    answers: Probabilities,
    trained: Run,
    target: Target,
    max_drop: float,
    *,
    qdq: bool,
) -> Smaller | None:
    if quantize == "int8":
        return in_int8(floats, answers, trained, target, max_drop, qdq=qdq)
    if quantize == "fp16":
        return in_fp16(floats, answers, trained, max_drop)
    return None


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


def _facts(
    trained: Run, quantize: str, target: Target, exact: Agreement, smaller: Smaller | None
) -> Mapping[str, Any]:
    return {
        **trained.facts,
        "precision": "fp32" if smaller is None else quantize,
        "target": "any" if smaller is None else target.name,
        "export": {
            "fp32_against_torch": asdict(exact),
            "int8_against_fp32": None,
            **(_smaller_facts(quantize, smaller) if smaller else {}),
        },
    }


def _smaller_facts(quantize: str, smaller: Smaller) -> dict[str, Any]:
    return {
        f"{quantize}_against_fp32": asdict(smaller.agreement),
        "left_float": list(smaller.left_float),
    }


def _card(graph: Graph, trained: Run, quantize: str, facts: Mapping[str, Any]) -> ModelCard:
    return ModelCard(
        schema=trained.schema,
        classes=trained.classes,
        threshold=trained.threshold,
        facts=facts,
        golden=golden_vectors(graph.model(), trained.held, quantize),
    )
