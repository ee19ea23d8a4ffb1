"""Measures of a detector from its probabilities, in numpy.

The attack score of a flow is 1 - P(benign); class 0 is the benign one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Rates at which a detector is compared (method.md, 5): few alerts is what a gateway needs.
FALSE_POSITIVE_RATES = (1e-2, 1e-3, 1e-4)
# What false positives cost the people who read alerts, at these loads of a gateway.
FLOWS_PER_SECOND = (100, 1_000)
SECONDS_PER_HOUR = 3600
# None among n benign rows bounds a rate by this over n, at 95 % confidence (J. A. Hanley,
# A. Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 1983).
RULE_OF_THREE = 3
CALIBRATION_BINS = 15  # C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017
THRESHOLD_MARGIN = 1e-3  # of the way from the highest score that must not alert to 1

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RocCurve:
    """Points from (0, 0) to (1, 1), one for each distinct score, threshold falling."""

    false_positive_rate: Floats
    true_positive_rate: Floats


def exact_interval(hits: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Bound the rate behind ``hits`` of ``of`` trials (C. Clopper, E. Pearson, Biometrika 1934)."""
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, of - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, of - hits)) if hits < of else 1.0
    return low, high


def attack_score(probabilities: NDArray[np.floating]) -> Floats:
    """1 - P(benign) of (n, classes) probabilities, in float64: (n,)."""
    return 1.0 - probabilities[:, 0].astype(np.float64)


def named_alerts(probabilities: NDArray[np.floating], threshold: float) -> NDArray[np.int64]:
    """Return the verdict on each row: benign below the threshold, else the likeliest attack.

    Args:
        probabilities: (n, classes), the benign class first.
        threshold: a row alerts whose attack score is at least that.
    """
    alert = attack_score(probabilities) >= threshold
    return np.where(alert, 1 + probabilities[:, 1:].argmax(axis=1), 0)


def accuracy(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the share of rows predicted right."""
    return float((labels == predicted).mean())


def confusion_matrix(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Return counts (classes, classes): row the true class, column the predicted one."""
    counts = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return counts.astype(np.int64).reshape(classes, classes)


def f1_scores(confusion: NDArray[np.int64]) -> Floats:
    """Return the F1 of each class (classes,); NaN for a class neither present nor predicted."""
    right = np.diag(confusion).astype(np.float64)
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    scores: Floats = np.divide(2 * right, total, out=np.full(len(right), np.nan), where=total > 0)
    return scores


def roc_curve(attack: NDArray[np.bool_], score: Floats) -> RocCurve:
    """ROC of ``score`` (n,) for the rows that are ``attack``; rows of equal score move together."""
    order = np.argsort(-score, kind="stable")
    last_of_score = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    hits = np.cumsum(attack[order])[last_of_score]
    alarms = last_of_score + 1 - hits
    return RocCurve(
        false_positive_rate=np.append(0, alarms) / max((~attack).sum(), 1),
        true_positive_rate=np.append(0, hits) / max(attack.sum(), 1),
    )


def area_under(curve: RocCurve) -> float:
    """Area under a ROC curve."""
    return float(np.trapezoid(curve.true_positive_rate, curve.false_positive_rate))


def detection_rate(curve: RocCurve, false_positive_rate: float) -> float:
    """Greatest true-positive rate whose false-positive rate is at most the one given."""
    allowed = curve.false_positive_rate <= false_positive_rate
    return float(curve.true_positive_rate[allowed].max())


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Rows by the confidence of the predicted class, in bins of equal width that hold any."""

    rows: NDArray[np.int64]  # (bins,)
    confidence: Floats  # (bins,) mean
    accuracy: Floats  # (bins,) share of the rows predicted right

    @property
    def error(self) -> float:
        """Expected calibration error: the rows' mean gap between confidence and accuracy."""
        gap = np.abs(self.accuracy - self.confidence) * self.rows
        return float(gap.sum() / self.rows.sum())


def reliability(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating], bins: int = CALIBRATION_BINS
) -> Reliability:
    """Return how often predictions of a confidence are right."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    rows = np.bincount(index, minlength=bins)
    used = rows > 0
    return Reliability(
        rows=rows[used],
        confidence=np.bincount(index, confidence, bins)[used] / rows[used],
        accuracy=np.bincount(index, right, bins)[used] / rows[used],
    )


def calibration_error(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating], bins: int = CALIBRATION_BINS
) -> float:
    """Expected calibration error of the predicted class over equal-width confidence bins."""
    return reliability(labels, probabilities, bins).error


def false_alerts_per_hour(false_positive_rate: float) -> dict[str, float]:
    """Return alerts an hour of benign flows alone, by flows a second."""
    return {
        f"{flows}": false_positive_rate * flows * SECONDS_PER_HOUR for flows in FLOWS_PER_SECOND
    }


def choose_threshold(
    benign_score: Floats,
    false_positive_rate: float,
    weights: NDArray[np.floating] | None = None,
) -> float:
    """Lowest threshold that at most ``false_positive_rate`` of benign rows reach, at most 1.

    Rows count by ``weights``, or all the same. A row alerts when its score is at least the
    threshold. With fewer than 1 / false_positive_rate rows none may. The threshold lies a little
    above the highest score that must not alert, so the last bits of a probability, which differ
    between batch sizes and machines, do not decide.
    """
    weights = np.ones(len(benign_score)) if weights is None else weights.astype(np.float64)
    order = np.argsort(-benign_score, kind="stable")
    falling, alerting = benign_score[order], np.cumsum(weights[order])
    too_many = np.flatnonzero(alerting > false_positive_rate * weights.sum())
    if not len(too_many):
        return 0.0
    highest = float(falling[too_many[0]])
    above = falling[falling > highest]
    margin = THRESHOLD_MARGIN * (1 - highest)
    return highest + (min(margin, float(above[-1] - highest) / 2) if len(above) else margin)


def summary(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    classes: tuple[str, ...],
    threshold: float,
) -> dict[str, object]:
    """Return every measure of (n,) labels and (n, classes) probabilities, ready for JSON.

    Keys: rows, benign_rows, accuracy and macro_f1 (most probable class), f1 by class, confusion
    (row true, column predicted), threshold, at_threshold (accuracy, macro_f1, false_positive_rate,
    true_positive_rate and false_alerts_per_hour, by flows a second, of alert or none;
    named_accuracy and named_macro_f1, of alerts that name a class, see ``named_alerts``), roc_auc,
    tpr_at_fpr, least_false_positive_rate (what no false positive among the benign rows would bound
    the rate by: 3 / n, a rate below it cannot be told from none), calibration_error and reliability
    (rows, confidence and accuracy by bin of confidence). A measure that the rows cannot give, such
    as the AUC of benign rows only, is null.
    """
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, len(classes))
    attack, score = labels > 0, attack_score(probabilities)
    f1, by_confidence = f1_scores(confusion), reliability(labels, probabilities)
    benign = int((~attack).sum())
    return {
        "rows": len(labels),
        "benign_rows": benign,
        "accuracy": accuracy(labels, predicted),
        "macro_f1": float(np.nanmean(f1)),
        "f1": {name: _number(value) for name, value in zip(classes, f1, strict=True)},
        "confusion": confusion.tolist(),
        "calibration_error": by_confidence.error,
        "reliability": {name: of.tolist() for name, of in vars(by_confidence).items()},
        "least_false_positive_rate": min(RULE_OF_THREE / benign, 1.0) if benign else None,
        "threshold": threshold,
        "at_threshold": _at_threshold(labels, named_alerts(probabilities, threshold), len(classes)),
        **_ranking(attack, score),
    }


def _at_threshold(
    labels: NDArray[np.int64], named: NDArray[np.int64], classes: int
) -> dict[str, object]:
    attack, alert = labels > 0, named > 0
    confusion = confusion_matrix(attack.astype(np.int64), alert.astype(np.int64), 2)
    present = confusion.sum(axis=1)
    rates = [float(c[1] / n) if n else None for c, n in zip(confusion, present, strict=True)]
    return {
        "accuracy": float((attack == alert).mean()),
        "macro_f1": float(np.nanmean(f1_scores(confusion))),
        "false_positive_rate": rates[0],
        "true_positive_rate": rates[1],
        "named_accuracy": accuracy(labels, named),
        "named_macro_f1": float(np.nanmean(f1_scores(confusion_matrix(labels, named, classes)))),
        "false_alerts_per_hour": None if rates[0] is None else false_alerts_per_hour(rates[0]),
    }


def _ranking(attack: NDArray[np.bool_], score: Floats) -> dict[str, object]:
    if attack.all() or not attack.any():
        return {"roc_auc": None, "tpr_at_fpr": {f"{r:g}": None for r in FALSE_POSITIVE_RATES}}
    curve = roc_curve(attack, score)
    return {
        "roc_auc": area_under(curve),
        "tpr_at_fpr": {f"{r:g}": detection_rate(curve, r) for r in FALSE_POSITIVE_RATES},
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
