"""Division of labelled rows into three parts: as published with its leaks, or honest.

``honest`` removes repeated rows before anything is divided, keeps what was recorded together on one
side where the data state it, and divides the rest by row. ``paper`` draws as many rows of each
class, small classes repeatedly, and divides those by row, as arXiv 2507.10622 does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from idskit.data.dataset import Part
from idskit.data.divide import draw_balanced, first_occurrence, stratified, stratified_units

TEST_FRACTION, VALIDATION_FRACTION = 0.3, 0.15  # the second: of what the first leaves
# The published arrays hold 8,000 balanced test rows (data/README.md, reference-arrays).
PAPER_ROWS, PAPER_TEST_FRACTION = 40_000, 0.2
PAPER_NOTES = (
    "leak, as published: the test rows are a random fifth of the rows, drawn from the same attack "
    "runs as the training rows, and repeated rows are on both sides",
    "leak, as published: classes were balanced by over- and under-sampling before the split, so "
    "copies of rows of small classes are on both sides",
    "as published: columns with NaN or infinity, and those of more than 50 % zeros, are left out",
    "not reproduced: scaling fitted on test rows, the label inside the PCA, and the time index, "
    "which in files sorted by class is the label",
)

Parts = tuple[Part, Part, Part]  # train, validation, test


def divide_paper(part: Part, seed: int) -> Parts:
    """Draw balanced rows and divide them at random."""
    rng = np.random.default_rng(seed)
    drawn = draw_balanced(part.labels, min(PAPER_ROWS, 2 * len(part)), rng)
    test = stratified(part.labels[drawn], PAPER_TEST_FRACTION, rng)
    rest = drawn[~test]
    held = stratified(part.labels[rest], VALIDATION_FRACTION, rng)
    return part.take(rest[~held]), part.take(rest[held]), part.take(drawn[test])


def divide_honest(
    part: Part, units: NDArray[np.int64], groups: Sequence[str], seed: int
) -> tuple[Parts, list[str]]:
    """Divide distinct rows, by unit where a group has three or more, else by row.

    Args:
        part: all rows.
        units: (n,) what was recorded together: a file, a minute; -1 where unknown.
        groups: names of ``part.groups``, which are divided each in proportion.
        seed: of every draw.

    Returns:
        The parts, and notes on what was removed and how it was divided.
    """
    rng = np.random.default_rng(seed)
    first = first_occurrence(part.rows)
    once = np.flatnonzero(first == np.arange(len(part)))
    conflicting = int((part.labels[first] != part.labels).sum())
    test, by_unit = stratified_units(part.groups[once], units[once], TEST_FRACTION, rng)
    rest = once[~test]
    held, _ = stratified_units(part.groups[rest], units[rest], VALIDATION_FRACTION, rng)
    notes = [
        f"removed {len(part) - len(once)} of {len(part)} rows that repeat another row before "
        f"dividing, {conflicting} of them under another class",
        _how(by_unit, np.unique(part.groups[once]), groups),
    ]
    return (part.take(rest[~held]), part.take(rest[held]), part.take(once[test])), notes


def _how(by_unit: list[int], present: NDArray[np.int64], groups: Sequence[str]) -> str:
    if not by_unit:
        return (
            "divided by row, in proportion within each group: the data do not state which rows "
            "were recorded together, so equal attack runs are on both sides"
        )
    names = ", ".join(groups[group] for group in by_unit)
    rest = len(present) - len(by_unit)
    return f"divided by file or minute: {names}; by row: {rest} other groups"
