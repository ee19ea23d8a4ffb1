"""Prove the export: torch against fp32, fp32 against int8, on rows that training never saw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from idskit.metrics import area_under, attack_score, confusion_matrix, f1_scores, roc_curve
from idskit.modelfile.model_file import INPUT, OUTPUT, GoldenVectors
from idskit.models.network import Network
from idskit.models.saved_run import LabelledRows

BATCH = 512
GOLDEN_ROWS = 16
# How far another machine's answer may be from the golden one. Float graphs differ by the order of
# sums; in int8 such a difference can move a value across a rounding step, and in fp16, of 11 bits,
# every sum rounds.
TOLERANCE = {"fp32": 1e-4, "int8": 5e-2, "fp16": 1e-2}
# Held rows below which a class is not singled out: one row alone would move its F1 by points.
MIN_CLASS_ROWS = 20


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How the exported model answers on held rows, compared with the model that it replaces."""

    rows: int
    max_difference: float  # of any probability
    macro_f1_before: float
    macro_f1_after: float
    same_class: float  # share of rows with the same most probable class
    same_verdict: float  # share of rows on the same side of the threshold
    roc_auc_before: float | None  # None where the held rows are all benign or all attacks
    roc_auc_after: float | None
    true_positive_rate_before: float | None  # at the threshold
    true_positive_rate_after: float | None
    worst_class: str  # whose F1 fell most, of those with MIN_CLASS_ROWS rows or more
    worst_class_f1_before: float
    worst_class_f1_drop: float

    @property
    def drop_points(self) -> float:
        """Return the macro-F1 lost, in points of a hundred."""
        return 100 * (self.macro_f1_before - self.macro_f1_after)


def run_torch(network: Network, flows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities (n, classes) of raw rows (n, features) in torch."""
    with torch.inference_mode():
        parts = [network(torch.from_numpy(part)).numpy() for part in _batches(flows)]
    return np.concatenate(parts)


def run_onnx(model: onnx.ModelProto, flows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities (n, classes) of raw rows (n, features) in onnxruntime on the CPU."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.concatenate([session.run([OUTPUT], {INPUT: part})[0] for part in _batches(flows)])


def _batches(flows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, max(len(flows), 1), BATCH):
        yield flows[start : start + BATCH]


def compare(
    held: LabelledRows,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    classes: tuple[str, ...],
    threshold: float,
) -> Agreement:
    """Compare two answers (n, classes) for the same held rows."""
    class_f1 = [
        np.nan_to_num(f1_scores(confusion_matrix(held.labels, p.argmax(axis=1), len(classes))))
        for p in (before, after)
    ]
    counts = np.bincount(held.labels, minlength=len(classes))
    present = counts > 0
    judged = counts >= min(MIN_CLASS_ROWS, counts.max())
    drops = np.where(judged, class_f1[0] - class_f1[1], -np.inf)
    attack, scores = held.labels > 0, [attack_score(p) for p in (before, after)]
    verdicts = [score >= threshold for score in scores]
    areas = [_roc_auc(attack, score) for score in scores]
    rates = [float(verdict[attack].mean()) if attack.any() else None for verdict in verdicts]
    worst = int(drops.argmax())
    return Agreement(
        rows=len(held.labels),
        max_difference=float(np.abs(before - after).max()),
        macro_f1_before=float(class_f1[0][present].mean()),
        macro_f1_after=float(class_f1[1][present].mean()),
        same_class=float((before.argmax(axis=1) == after.argmax(axis=1)).mean()),
        same_verdict=float((verdicts[0] == verdicts[1]).mean()),
        roc_auc_before=areas[0],
        roc_auc_after=areas[1],
        true_positive_rate_before=rates[0],
        true_positive_rate_after=rates[1],
        worst_class=classes[worst],
        worst_class_f1_before=float(class_f1[0][worst]),
        worst_class_f1_drop=float(drops[worst]),
    )


def _roc_auc(attack: NDArray[np.bool_], score: NDArray[np.float64]) -> float | None:
    both = attack.any() and not attack.all()
    return area_under(roc_curve(attack, score)) if both else None


def golden_vectors(model: onnx.ModelProto, held: LabelledRows, precision: str) -> GoldenVectors:
    """Choose a few held rows of every class, with the model's answers, to replay elsewhere."""
    shares = [np.flatnonzero(held.labels == label) for label in np.unique(held.labels)]
    each = max(GOLDEN_ROWS // len(shares), 1)
    chosen = np.concatenate([share[:each] for share in shares])
    flows = held.flows[chosen]
    return GoldenVectors(
        flows=flows, probabilities=run_onnx(model, flows), tolerance=TOLERANCE[precision]
    )
