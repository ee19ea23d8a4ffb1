"""The gate: what a smaller precision may lose on held rows.

``--max-drop`` is in points of a hundred; it holds for macro-F1, and by these multiples for what
rests on fewer rows or moves more for the same harm.
"""

from __future__ import annotations

from dataclasses import dataclass

from idskit.export.verify import Agreement

TRUE_POSITIVE_MULTIPLE = 4
VERDICT_MULTIPLE = 4
CLASS_MULTIPLE = 10


@dataclass(frozen=True, kw_only=True)
class Fall:
    """A measure that lost more than is allowed; all in points."""

    measure: str
    before: float
    after: float
    allowed: float

    def __str__(self) -> str:
        lost = self.before - self.after
        return (
            f"{self.measure} {self.before:.2f} to {self.after:.2f} ({lost:.2f} points, "
            f"{self.allowed:g} allowed)"
        )


def falls(agreement: Agreement, max_drop: float) -> tuple[Fall, ...]:
    """Return what fell by more than ``max_drop`` points of macro-F1 and its like allow.

    A measure that is no number has fallen too.
    """
    seen = agreement
    rates = seen.true_positive_rate_before, seen.true_positive_rate_after
    worst_after = seen.worst_class_f1_before - seen.worst_class_f1_drop
    measures = [
        ("macro-F1", seen.macro_f1_before, seen.macro_f1_after, 1),
        ("ROC AUC", seen.roc_auc_before, seen.roc_auc_after, 1),
        ("attacks found at the threshold", *rates, TRUE_POSITIVE_MULTIPLE),
        ("rows with the same verdict", 1.0, seen.same_verdict, VERDICT_MULTIPLE),
        (
            f"F1 of class {seen.worst_class!r}",
            seen.worst_class_f1_before,
            worst_after,
            CLASS_MULTIPLE,
        ),
    ]
    return tuple(
        Fall(measure=name, before=100 * before, after=100 * after, allowed=multiple * max_drop)
        for name, before, after, multiple in measures
        if before is not None
        and after is not None
        and not 100 * (before - after) <= multiple * max_drop
    )
