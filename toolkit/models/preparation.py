"""Raw features to the signal that the front end sees: scaling and category codes, all fitted.

Everything here is fitted on training rows only and travels inside the exported graph.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from idskit.errors import DataError
from idskit.schema import Schema

Scaling = Literal["log-standard", "standard", "minmax"]
Encoding = Literal["onehot", "ordinal"]
SCALINGS: tuple[Scaling, ...] = ("log-standard", "standard", "minmax")
ENCODINGS: tuple[Encoding, ...] = ("onehot", "ordinal")
OFFSET = 1.0


class Preparation(nn.Module):
    """Map raw rows (n, features) float32 to a signal (n, length) float32.

    A number is optionally passed through sign(x) log(1 + |x|), centred, scaled and clipped; a
    category becomes an indicator of its code, all zero when the code was never seen. ``placement``
    puts both into the order of the schema's columns, so the whole is one elementwise map followed
    by one matrix, and the exporter merges that matrix with the front end's first one.
    """

    logarithm: Tensor  # () bool
    number_column: Tensor  # (numbers,) int64
    center: Tensor  # (numbers,) float32, as are scale, low and high
    scale: Tensor
    low: Tensor  # clip limits, after scaling
    high: Tensor
    indicator_column: Tensor  # (indicators,) int64
    indicator_code: Tensor  # (indicators,) float32
    placement: Tensor  # (numbers + indicators, length) float32

    def __init__(self, *, columns: int, numbers: int, indicators: int, length: int) -> None:
        super().__init__()
        self.columns, self.length = columns, length
        self.register_buffer("logarithm", torch.zeros((), dtype=torch.bool))
        self.register_buffer("number_column", torch.zeros(numbers, dtype=torch.int64))
        self.register_buffer("center", torch.zeros(numbers))
        self.register_buffer("scale", torch.ones(numbers))
        self.register_buffer("low", torch.zeros(numbers))
        self.register_buffer("high", torch.zeros(numbers))
        self.register_buffer("indicator_column", torch.zeros(indicators, dtype=torch.int64))
        self.register_buffer("indicator_code", torch.zeros(indicators))
        self.register_buffer("placement", torch.zeros(numbers + indicators, length))

    def forward(self, flows: Tensor) -> Tensor:
        """Prepare raw rows (n, columns) as signals (n, length)."""
        numbers = flows[:, self.number_column]
        if self.logarithm:
            numbers = numbers.sign() * numbers.abs().add(1).log()
        numbers = ((numbers - self.center) * self.scale).clamp(self.low, self.high)
        if not len(self.indicator_column):
            return numbers @ self.placement
        indicators = (flows[:, self.indicator_column] == self.indicator_code).to(numbers.dtype)
        return torch.cat([numbers, indicators], dim=1) @ self.placement

    def signal_columns(self) -> Tensor:
        """Which column of a raw row each place of the signal comes from: (length,) int64."""
        columns = torch.cat([self.number_column, self.indicator_column])
        return columns[self.placement.abs().argmax(dim=0)]


def fit_preparation(
    flows: NDArray[np.float32],
    schema: Schema,
    *,
    scaling: Scaling = "log-standard",
    encoding: Encoding = "onehot",
    offset: float = OFFSET,
    clip: float = 8.0,
    max_zeros: float = 1.0,
) -> Preparation:
    """Fit a preparation on training rows (n, features); constant number columns are dropped.

    Args:
        flows: raw training rows, finite, categories as codes.
        schema: names the nominal columns and their categories.
        scaling: ``log-standard`` (signed log1p, then zero mean and unit variance), ``standard``
            or ``minmax`` (to [0, 1], as in arXiv 2507.10622).
        encoding: ``onehot`` gives every category its own place in the signal, ``ordinal`` one
            place holding code / (categories - 1), as a label encoder followed by MinMax does.
        offset: added to every standardised value. A power spectrum forgets the sign of its signal;
            on a constant, a low value and a high one differ.
        clip: limit of a standardised value, before the offset; minmax values, which have no sign,
            are clipped to [0, 1] and get no offset.
        max_zeros: number columns of which a larger share is zero are dropped too.

    Raises:
        DataError: no column is left.
    """
    nominal = [i for i, feature in enumerate(schema.features) if feature.categories]
    numeric = [i for i in range(len(schema)) if i not in nominal]
    values = flows[:, numeric].astype(np.float64)
    if scaling == "log-standard":
        values = np.sign(values) * np.log1p(np.abs(values))
    kept = (np.ptp(values, axis=0) > 0) & ((values == 0).mean(axis=0) <= max_zeros)
    number_column = np.array(numeric, np.int64)[kept]
    values = values[:, kept]
    if scaling == "minmax":
        center, spread = values.min(axis=0), np.ptp(values, axis=0)
        low, high = 0.0, 1.0
    else:
        spread = values.std(axis=0)
        center = values.mean(axis=0) - offset * spread
        low, high = offset - clip, offset + clip

    codes = [(i, code) for i in nominal for code in range(len(schema.features[i].categories))]
    rows: list[tuple[int, int, float]] = []  # (row of placement, sort key of the column, weight)
    rows += [(row, int(column), 1.0) for row, column in enumerate(number_column)]
    for row, (column, code) in enumerate(codes, start=len(number_column)):
        last = max(len(schema.features[column].categories) - 1, 1)
        rows.append((row, column, 1.0 if encoding == "onehot" else code / last))
    placement = _placement(rows, merged=set(nominal) if encoding == "ordinal" else set())
    if placement.shape[1] == 0:
        raise DataError(
            f"no column of schema {schema.name} varies over the {len(flows)} training rows and has "
            f"at most {100 * max_zeros:g} % zeros: nothing can be learned from them"
        )

    preparation = Preparation(
        columns=len(schema),
        numbers=len(number_column),
        indicators=len(codes),
        length=placement.shape[1],
    )
    fitted = {
        "logarithm": np.array(scaling == "log-standard"),
        "number_column": number_column,
        "center": center.astype(np.float32),
        "scale": (1 / spread).astype(np.float32),
        "low": np.full(len(number_column), low, np.float32),
        "high": np.full(len(number_column), high, np.float32),
        "indicator_column": np.array([column for column, _ in codes], np.int64),
        "indicator_code": np.array([code for _, code in codes], np.float32),
        "placement": placement,
    }
    preparation.load_state_dict({name: torch.from_numpy(a) for name, a in fitted.items()})
    return preparation


def _placement(rows: list[tuple[int, int, float]], *, merged: set[int]) -> NDArray[np.float32]:
    """Matrix (rows, length) that orders prepared values by column; ``merged`` share one place."""
    placement = np.zeros((len(rows), len(rows)), np.float32)
    position, previous = -1, -1
    for row, column, weight in sorted(rows, key=lambda entry: (entry[1], entry[0])):
        if column != previous or column not in merged:
            position += 1
        placement[row, position] = weight
        previous = column
    return placement[:, : position + 1]
