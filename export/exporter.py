"""One training run to one ONNX file: lower, quantise, verify, write, or refuse."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from rich.console import Console

from idskit.errors import IdskitError, RunError
from idskit.export.emit import emit
from idskit.export.export_options import ExportOptions
from idskit.export.lower.graph_parts import Graph, put_metadata
from idskit.export.lower.lower_model import lower
from idskit.export.precision.reduce_precision import Chosen, Precision, in_fp16, in_int8
from idskit.export.target import Target, require_precision, target_named
from idskit.export.verify import Agreement, compare, golden_vectors, run_onnx, run_torch
from idskit.files.output import write_whole
from idskit.modelfile.graph_facts import graph_facts
from idskit.modelfile.model_file import ModelCard, check_model
from idskit.modelfile.signature import Signer
from idskit.models.saved_run import Run, load_run
from idskit.report.section import facts_section, show_sections
from idskit.report.text import shown, visible

Probabilities = NDArray[np.float32]  # (n, classes) of the held rows, in fp32

TORCH_TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written, and how far it is from what was trained."""

    output: str
    target: str
    written: bool
    bytes_fp32: int
    bytes_written: int
    nodes: int
    multiply_adds: int  # per flow, in matrix products
    int8_products: tuple[str, ...]
    float_products: tuple[str, ...]
    fp32_against_torch: Agreement
    precision: Precision
    trees: int = 0  # number of boosted trees in the file
    trees_share: float | None = None  # their share of the averaged probabilities
    taken_over: tuple[str, ...] = ()  # kinds of operators that were not lowered, with counts
    extra_files: tuple[str, ...] = ()  # the signature and emitted code

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def show(self, console: Console) -> None:
        """Print the report for people."""
        lines = ((name, visible(value)) for name, value in self._lines())
        show_sections([facts_section(f"export of {visible(self.output)}", lines)], console)
        words = "written" if self.written else "not written (dry run)"
        names = ", ".join((self.output, *self.extra_files))
        console.print(f"{words}: {shown(names)}", highlight=False)

    def _lines(self) -> list[tuple[str, str]]:
        exact, drop = self.fp32_against_torch, self.precision.against_fp32
        precision = self.precision.name
        lines = [
            ("precision", f"{precision} for {self.target}"),
            ("size", f"{self.bytes_written:,} bytes (fp32 graph {self.bytes_fp32:,})"),
            ("graph", f"{self.nodes} nodes, {self.multiply_adds:,} multiply-adds per flow"),
            *([("not lowered", ", ".join(self.taken_over))] if self.taken_over else []),
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
        if self.precision.name != "int8":
            return []
        total = len(self.int8_products) + len(self.float_products)
        costs = {cost.layer: cost.difference for cost in self.precision.layer_costs}
        left = ", ".join(f"{name} ({costs[name]:.2g})" for name in self.precision.left_float)
        return [
            ("int8 products", f"{len(self.int8_products)} of {total}"),
            *([("left in float for the gate", left)] if left else []),
        ]


def _change(precision: str, before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "cannot be computed: all held rows are benign, or all are attacks"
    return f"fp32 {before:.4f}, {precision} {after:.4f} ({100 * (after - before):+.2f} points)"


def export(
    run: Path, output: Path, options: ExportOptions | None = None, **settings: Any
) -> ExportReport:
    """Export a training run as one ONNX file that needs only onnxruntime.

    Args:
        run: folder of a finished training run.
        output: the file to write; it appears when complete and verified.
        options: precision, target and what else to write; the defaults if None.
        settings: options by name, in place of those of ``options``.

    Example:
        >>> export(Path("runs/latest"), Path("ids.onnx"), quantize="int8")  # doctest: +SKIP

    Raises:
        RunError: the run is incomplete or damaged.
        IdskitError: options out of range or that do not go together, a smaller precision for a
            body that is not lowered, or a graph that is not torch's network.
        DataError: too few calibration rows, or a class without any.
        ModelError: ``sign`` is no private ed25519 key.
        MissingExtra: ``sign`` was given and cryptography is not installed.
        GateRefused: int8 or fp16 loses more than ``max_drop`` allows.
    """
    options = replace(options or ExportOptions(), **settings)
    target = _target(options)
    signer = None if options.sign is None else Signer.load(options.sign, options.model_version)
    trained = _with_held_rows(load_run(run), run)
    floats = lower(trained.network)
    _require_layers(floats, trained, options.quantize)
    fp32 = floats.model()
    bytes_fp32 = fp32.ByteSize()
    answers = run_onnx(fp32, trained.held.flows)
    exact = _against_torch(answers, trained)
    if options.quantize == "int8":
        allowed = options.max_drop
        chosen = in_int8(floats, answers, trained, target, allowed, qdq=options.qdq)
    elif options.quantize == "fp16":
        chosen = in_fp16(floats, answers, trained, options.max_drop)
    else:
        chosen = Chosen(graph=floats, model=fp32, precision=Precision(name="fp32"))
    card = _card(chosen, trained, target, exact)
    put_metadata(chosen.model, card.to_metadata())
    content = chosen.model.SerializeToString(deterministic=True)
    onnx.checker.check_model(content)
    checked = check_model(content, output)  # what nobody could load is not written
    extra_files = () if options.dry_run else _write(output, content, card, signer, options.emit)
    products = [node.name for node in floats.nodes if node.op_type in ("Gemm", "Conv")]
    in_bytes = {name for name in products if f"{name}.weight.integers" in chosen.graph.constants}
    trees = trained.network.trees
    return ExportReport(
        output=str(output),
        target=target.name,
        written=not options.dry_run,
        bytes_fp32=bytes_fp32,
        bytes_written=len(content),
        nodes=len(chosen.model.graph.node),
        multiply_adds=graph_facts(checked.graph).multiply_adds,
        int8_products=tuple(name for name in products if name in in_bytes),
        float_products=tuple(name for name in products if name not in in_bytes),
        fp32_against_torch=exact,
        precision=chosen.precision,
        trees=0 if trees is None else len(trees.root),
        trees_share=None if trees is None else float(trees.share),
        taken_over=_kinds_taken_over(chosen.graph),
        extra_files=tuple(map(str, extra_files)),
    )


def _kinds_taken_over(graph: Graph) -> tuple[str, ...]:
    """Count the nodes taken over from torch's own export by kind, the most frequent first."""
    names = set(graph.taken_over)
    kinds = Counter(node.op_type for node in graph.nodes if node.name in names)
    return tuple(f"{kind} ({count})" for kind, count in kinds.most_common())


def _write(
    output: Path,
    content: bytes,
    card: ModelCard,
    signer: Signer | None,
    languages: Sequence[str],
) -> tuple[Path, ...]:
    """Write the model, its signature and its code, and return the paths of the latter."""
    write_whole(output, lambda path: path.write_bytes(content))
    sha256 = hashlib.sha256(content).hexdigest()
    signature = [] if signer is None else [signer.sign(output, sha256)]
    return (*signature, *(emit(language, output, card, sha256) for language in languages))


def _target(options: ExportOptions) -> Target:
    """Return the machine to export for, after a check of all options."""
    options.check()
    target = target_named(options.target)
    require_precision(target, options.quantize)
    return target


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


def _card(chosen: Chosen, trained: Run, target: Target, exact: Agreement) -> ModelCard:
    precision = chosen.precision
    quantized = precision.against_fp32 is not None
    return ModelCard(
        schema=trained.schema,
        classes=trained.classes,
        threshold=trained.threshold,
        facts={
            **trained.facts,
            "precision": precision.name,
            "target": target.name if quantized else "any",
            "export": {
                "fp32_against_torch": asdict(exact),
                "int8_against_fp32": None,
                **_facts(precision),
            },
        },
        golden=golden_vectors(chosen.model, trained.held, precision.name),
    )


def _facts(precision: Precision) -> Mapping[str, Any]:
    """Return what the card of a reduced precision says in addition."""
    if precision.against_fp32 is None:
        return {}
    return {
        f"{precision.name}_against_fp32": asdict(precision.against_fp32),
        "left_float": list(precision.left_float),
    }
