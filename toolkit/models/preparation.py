"""Raw features to the signal that the front end sees: scaling and category codes, all fitted.

Everything here is fitted on training rows only and travels inside the exported graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from idskit.errors import DataError
from idskit.schema import Schema
from idskit.schemas.gateway_columns import SERIES, SERIES_KINDS

Scaling = Literal["log-standard", "standard", "minmax", "quantile"]
Encoding = Literal["onehot", "ordinal"]
Signal = Literal["features", "packets"]
SCALINGS: tuple[Scaling, ...] = ("log-standard", "standard", "minmax", "quantile")
ENCODINGS: tuple[Encoding, ...] = ("onehot", "ordinal")
SIGNALS: tuple[Signal, ...] = ("features", "packets")
OFFSET, CLIP = 1.0, 8.0
RAMPS = 16  # pieces of a column's quantile map

_Values = NDArray[np.float64]


class Preparation(nn.Module):
    """Map raw rows (n, features) float32 to a signal (n, length) float32.

    A number is optionally passed through sign(x) log(1 + |x|), centred, scaled and clipped; a
    category becomes an indicator of its code, all zero when the code was never seen. ``placement``
    puts both into the order of the schema's columns, so the whole is one elementwise map followed
    by one matrix, and the exporter merges that matrix with the front end's first one. A quantile
    map is several such numbers of one column, ramps from 0 to 1 side by side, that the matrix sums.

    Attributes:
        columns: of a raw row.
        length: of a signal.
        channels: time series of equal length that a signal consists of, one after the other.
        time_index: each value has its place within its channel, from 0 to 1, added to it.
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

    def __init__(
        self,
        *,
        columns: int,
        numbers: int,
        indicators: int,
        length: int,
        channels: int = 1,
        time_index: bool = False,
    ) -> None:
        super().__init__()
        self.columns, self.length = columns, length
        self.channels, self.time_index = channels, time_index
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
        values = ((numbers - self.center) * self.scale).clamp(self.low, self.high)
        if len(self.indicator_column):
            codes = flows[:, self.indicator_column]
            indicators = (codes == self.indicator_code).to(values.dtype)
            values = torch.cat([values, indicators], dim=1)
        signals = values @ self.placement
        return signals + self.times() if self.time_index else signals

    def times(self) -> Tensor:
        """Return the time index of a signal: (length,) from 0 to 1 in each channel."""
        places = self.length // self.channels
        return torch.linspace(0, 1, places, device=self.placement.device).repeat(self.channels)

    def signal_columns(self) -> Tensor:
        """Return which column of a raw row each place of the signal comes from: (length,) int64."""
        columns = torch.cat([self.number_column, self.indicator_column])
        return columns[self.placement.abs().argmax(dim=0)]


@dataclass(frozen=True, kw_only=True)
class _Numbers:
    """How columns of numbers are scaled: clip((x - center) * scale, low, high) * weight."""

    column: NDArray[np.int64]  # (numbers,) of the raw row, ascending; repeated for several ramps
    center: _Values  # (numbers,), as are the others
    scale: _Values
    low: _Values
    high: _Values
    weight: _Values


def channels_of(signal: Signal, schema: Schema) -> int:
    """Return how many time series the columns of ``schema`` are.

    Raises:
        DataError: ``signal`` is packets, and the schema's columns are something else.
    """
    if signal == "features":
        return 1
    if schema.features != SERIES:
        raise DataError(
            f"the signal packets was asked for, but the columns of schema {schema.name} are no "
            "series of packets: train on captures with --schema packets"
        )
    return len(SERIES_KINDS)


def fit_preparation(  # noqa: PLR0913 - one argument a setting
    flows: NDArray[np.float32],
    schema: Schema,
    *,
    scaling: Scaling = "log-standard",
    encoding: Encoding = "onehot",
    offset: float = OFFSET,
    clip: float = CLIP,
    max_zeros: float = 1.0,
    channels: int = 1,
    time_index: bool = False,
) -> Preparation:
    """Fit a preparation on training rows (n, features); constant number columns are dropped.

    Args:
        flows: raw training rows, finite, categories as codes.
        schema: names the nominal columns and their categories.
        scaling: ``log-standard`` (signed log1p, then zero mean and unit variance), ``standard``,
            ``minmax`` (to [0, 1], as in arXiv 2507.10622) or ``quantile`` (the share of training
            rows below, from 0 to 1, linear between ``RAMPS`` + 1 quantiles; a value that is several
            of them gets the mean of their shares).
        encoding: ``onehot`` gives every category its own place in the signal, ``ordinal`` one
            place holding code / (categories - 1), as a label encoder followed by MinMax does.
        offset: added to every standardised value. A power spectrum forgets the sign of its signal;
            on a constant, a low value and a high one differ.
        clip: limit of a standardised value, before the offset; minmax values, which have no sign,
            are clipped to [0, 1] and get no offset.
        max_zeros: number columns of which a larger share is zero are dropped too.
        channels: more than one: the columns are that many time series of equal length. All are
            kept, and zeros, which are no packet, stay zero: each series is divided by one number,
            the root mean square of what is not zero (``minmax``: by its greatest magnitude).
        time_index: add to each value its place within its series, from 0 to 1.

    Raises:
        DataError: no column is left, or time series were to be mapped to quantiles.
    """
    nominal = [i for i, feature in enumerate(schema.features) if feature.categories]
    numeric = [i for i in range(len(schema)) if i not in nominal]
    values = flows[:, numeric].astype(np.float64)
    if scaling == "log-standard":
        values = np.sign(values) * np.log1p(np.abs(values))
    if channels > 1:
        numbers = _scaled_series(values, scaling, channels, clip)
    else:
        kept = (np.ptp(values, axis=0) > 0) & ((values == 0).mean(axis=0) <= max_zeros)
        column = np.array(numeric, np.int64)[kept]
        fit = _ramps if scaling == "quantile" else _scaled(scaling, offset, clip)
        numbers = fit(values[:, kept], column)

    codes = [(i, code) for i in nominal for code in range(len(schema.features[i].categories))]
    rows: list[tuple[int, int, float]] = []  # (row of placement, sort key of the column, weight)
    pairs = zip(numbers.column.tolist(), numbers.weight.tolist(), strict=True)
    rows += [(row, column, weight) for row, (column, weight) in enumerate(pairs)]
    for row, (column, code) in enumerate(codes, start=len(numbers.column)):
        last = max(len(schema.features[column].categories) - 1, 1)
        rows.append((row, column, 1.0 if encoding == "onehot" else code / last))
    spread = set(nominal) if encoding == "onehot" else set()
    placement = _placement(rows, merged=set(range(len(schema))) - spread)
    if placement.shape[1] == 0:
        raise DataError(
            f"no column of schema {schema.name} varies over the {len(flows)} training rows and has "
            f"at most {100 * max_zeros:g} % zeros: nothing can be learned from them"
        )

    preparation = Preparation(
        columns=len(schema),
        numbers=len(numbers.column),
        indicators=len(codes),
        length=placement.shape[1],
        channels=channels,
        time_index=time_index,
    )
    fitted = {
        "logarithm": np.array(scaling == "log-standard"),
        "number_column": numbers.column,
        "center": numbers.center.astype(np.float32),
        "scale": numbers.scale.astype(np.float32),
        "low": numbers.low.astype(np.float32),
        "high": numbers.high.astype(np.float32),
        "indicator_column": np.array([column for column, _ in codes], np.int64),
        "indicator_code": np.array([code for _, code in codes], np.float32),
        "placement": placement,
    }
    preparation.load_state_dict({name: torch.from_numpy(a) for name, a in fitted.items()})
    return preparation


def _scaled(scaling: Scaling, offset: float, clip: float) -> Callable[..., _Numbers]:
    """Fits centre and spread of values (n, numbers), one number a column."""

    def fit(values: _Values, column: NDArray[np.int64]) -> _Numbers:
        if scaling == "minmax":
            center, spread, limits = values.min(axis=0), np.ptp(values, axis=0), (0.0, 1.0)
        else:
            spread = values.std(axis=0)
            center = values.mean(axis=0) - offset * spread
            limits = (offset - clip, offset + clip)
        return _numbers(column, center, 1 / spread, limits)

    return fit


def _scaled_series(values: _Values, scaling: Scaling, channels: int, clip: float) -> _Numbers:
    """Return one scale for each of ``channels`` series in values (n, columns); no centre."""
    if scaling == "quantile":
        raise DataError(
            "scaling quantile was asked for, but series of packets keep their zeros, which are no "
            "packet: choose log-standard, standard or minmax"
        )
    size = np.abs(values).reshape(len(values), channels, -1)
    squares, packets = (size**2).sum(axis=(0, 2)), (size > 0).sum(axis=(0, 2))
    spread = size.max(axis=(0, 2)) if scaling == "minmax" else np.sqrt(squares / packets.clip(1))
    scale = np.repeat(1 / np.where(spread > 0, spread, 1), values.shape[1] // channels)
    limit = 1.0 if scaling == "minmax" else clip
    return _numbers(np.arange(len(scale)), np.zeros(len(scale)), scale, (-limit, limit))


def _numbers(
    column: NDArray[np.int64], center: _Values, scale: _Values, limits: tuple[float, float]
) -> _Numbers:
    low, high = (np.full(len(column), limit) for limit in limits)
    weight = np.ones(len(column))
    return _Numbers(column=column, center=center, scale=scale, low=low, high=high, weight=weight)


def _ramps(values: _Values, column: NDArray[np.int64]) -> _Numbers:
    """Return the quantile map of each column of values (n, numbers), as ramps."""
    maps = [_quantile_map(each) for each in values.T]
    counts = [len(shares) - 1 for _, shares in maps]
    width = np.concatenate([np.diff(knots) for knots, _ in maps])
    return _Numbers(
        column=np.repeat(column, counts),
        center=np.concatenate([knots[:-1] for knots, _ in maps]),
        scale=np.minimum(1 / width, np.finfo(np.float32).max),
        low=np.zeros(len(width)),
        high=np.ones(len(width)),
        weight=np.concatenate([np.diff(shares) for _, shares in maps]),
    )


def _quantile_map(values: _Values) -> tuple[_Values, _Values]:
    """Distinct quantiles of (n,) values as float32 has them, and the share of rows at each."""
    levels = np.linspace(0, 1, RAMPS + 1)
    quantiles = np.quantile(values, levels).astype(np.float32).astype(np.float64)
    knots, group = np.unique(quantiles, return_inverse=True)
    shares = np.bincount(group, levels) / np.bincount(group)
    shares[0], shares[-1] = 0.0, 1.0
    return knots, shares


def _placement(rows: list[tuple[int, int, float]], *, merged: set[int]) -> NDArray[np.float32]:
    """Return the matrix (rows, length) that orders values by column; ``merged`` share a place."""
    placement = np.zeros((len(rows), len(rows)), np.float32)
    position, previous = -1, -1
    for row, column, weight in sorted(rows, key=lambda entry: (entry[1], entry[0])):
        if column != previous or column not in merged:
            position += 1
        placement[row, position] = weight
        previous = column
    return placement[:, : position + 1]
