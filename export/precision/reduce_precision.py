"""int8 or fp16 instead of fp32, where the gate allows it.

int8 is tried with every product first. Only where that loses too much is each layer's own loss
measured, and the costliest are left in float: 1, 2, 4, ... of them, until the gate is passed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
from numpy.typing import NDArray

from idskit.errors import DataError, GateRefused
from idskit.export.gate import Fall, falls
from idskit.export.lower.graph_parts import Graph
from idskit.export.precision.fp16 import halve
from idskit.export.precision.quantize import calibrate, quantize
from idskit.export.target import Target
from idskit.export.verify import Agreement, compare, run_onnx
from idskit.models.saved_run import LabelledRows, Run

MIN_CALIBRATION_ROWS = 32
COST_ROWS = 2048  # held rows that a layer's loss is measured on: the same rows, so the same file
NAMED_LAYERS = 3  # in a message

Probabilities = NDArray[np.float32]  # (n, classes) of the held rows


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """What int8 in one layer alone does to the answers."""

    layer: str
    difference: float  # mean over rows: half the sum of what probabilities move


@dataclass(frozen=True, kw_only=True)
class Precision:
    """The precision of an exported graph, and how its answers compare with those of fp32."""

    name: str  # fp32, int8 or fp16
    against_fp32: Agreement | None = None  # None for fp32 itself
    left_float: tuple[str, ...] = ()  # layers that int8 would have cost too much
    layer_costs: tuple[LayerCost, ...] = ()  # costliest first; measured where the gate needed it


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The graph to write, and its precision."""

    graph: Graph
    model: onnx.ModelProto  # assembled from it, without metadata
    precision: Precision


@dataclass(frozen=True, kw_only=True)
class _Gate:
    """The held rows with their fp32 answers, and what may be lost."""

    run: Run
    answers: Probabilities
    max_drop: float

    def judge(self, model: onnx.ModelProto) -> tuple[Agreement, tuple[Fall, ...]]:
        """Compare a model with fp32, and return what fell by too much."""
        run, after = self.run, run_onnx(model, self.run.held.flows)
        if not np.isfinite(after).all():
            raise GateRefused(
                f"the reduced graph has no number on {int((~np.isfinite(after)).any(1).sum())} "
                f"of {len(after)} held rows: nothing was written; export with --quantize none"
            )
        agreement = compare(run.held, self.answers, after, run.classes, run.threshold)
        return agreement, falls(agreement, self.max_drop)

    def refuse(self, precision: str, fallen: Iterable[Fall], more: str) -> GateRefused:
        what = ", ".join(map(str, fallen))
        return GateRefused(
            f"{precision} loses more than --max-drop {self.max_drop:g} allows on "
            f"{len(self.answers)} held rows: {what}; {more}nothing was written; train wider, or "
            "allow more"
        )


def in_fp16(floats: Graph, answers: Probabilities, trained: Run, max_drop: float) -> Chosen:
    """Return the network in half precision.

    Raises:
        GateRefused: it loses more than ``max_drop`` allows.
    """
    gate = _Gate(run=trained, answers=answers, max_drop=max_drop)
    graph = halve(floats)
    model = graph.model()
    agreement, fallen = gate.judge(model)
    if fallen:
        raise gate.refuse("fp16", fallen, "")
    precision = Precision(name="fp16", against_fp32=agreement)
    return Chosen(graph=graph, model=model, precision=precision)


def in_int8(
    floats: Graph,
    answers: Probabilities,
    trained: Run,
    target: Target,
    max_drop: float,
    *,
    qdq: bool = False,
) -> Chosen:
    """Return the network with every product in int8, or as many as the gate allows.

    ``qdq`` chooses ONNX's own operators.

    Raises:
        DataError: too few calibration rows, or a class without any.
        GateRefused: it loses more than ``max_drop`` allows whatever is left in float.
    """
    _check_calibration(trained.calibration, trained.classes)
    ranges = calibrate(floats, trained.calibration.flows)
    gate = _Gate(run=trained, answers=answers, max_drop=max_drop)
    made = partial(quantize, trained.network, ranges, target, qdq=qdq)

    def tried(
        left_float: tuple[str, ...], costs: tuple[LayerCost, ...]
    ) -> tuple[Chosen, tuple[Fall, ...]]:
        graph = made(set(floats.layers) - set(left_float)) if left_float else made()
        model = graph.model()
        agreement, fallen = gate.judge(model)
        precision = Precision(
            name="int8", against_fp32=agreement, left_float=left_float, layer_costs=costs
        )
        return Chosen(graph=graph, model=model, precision=precision), fallen

    chosen, fallen = tried((), ())
    if not fallen:
        return chosen
    costs = layer_costs(made, floats, trained.held.flows)
    for left_float in _costliest(costs):
        chosen, remaining = tried(left_float, costs)
        if not remaining:
            return chosen
    worst = ", ".join(f"{cost.layer} ({cost.difference:.2g})" for cost in costs[:NAMED_LAYERS])
    more = f"the layers that move probabilities most are {worst}, and leaving them in float does "
    raise gate.refuse("int8", fallen, f"{more}not help enough; ")


def layer_costs(
    made: Callable[[set[str]], Graph], floats: Graph, flows: NDArray[np.float32]
) -> tuple[LayerCost, ...]:
    """Measure what each layer costs on at most COST_ROWS rows, costliest first.

    ``made`` makes the graph with some layers in int8; it is called with one layer at a time.
    """
    rows = flows[:: -(-len(flows) // COST_ROWS)]
    expected = run_onnx(floats.model(), rows)

    def cost(layer: str) -> LayerCost:
        moved = run_onnx(made({layer}).model(), rows) - expected
        return LayerCost(layer=layer, difference=float(np.abs(moved).sum(axis=1).mean() / 2))

    costs = [cost(layer) for layer in floats.layers]
    return tuple(sorted(costs, key=lambda found: (-found.difference, found.layer)))


def _costliest(costs: tuple[LayerCost, ...]) -> Iterable[tuple[str, ...]]:
    """Yield the costliest layer, two, four, ...: at least one layer stays in int8."""
    count = 1
    while count < len(costs):
        yield tuple(cost.layer for cost in costs[:count])
        count *= 2


def _check_calibration(rows: LabelledRows, classes: Collection[str]) -> None:
    counts = np.bincount(rows.labels, minlength=len(classes))
    missing = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if missing or len(rows.labels) < MIN_CALIBRATION_ROWS:
        raise DataError(
            f"int8 needs at least {MIN_CALIBRATION_ROWS} calibration rows and some of every class, "
            f"but the run has {len(rows.labels)}"
            + (f" and none of {', '.join(missing)}" if missing else "")
            + ": train on more rows, or export with --quantize none"
        )
