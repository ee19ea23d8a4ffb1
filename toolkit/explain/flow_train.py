"""Draw the train of an incident's flows, and its spectrogram with the band of its rhythm marked.

The spectrogram is that of the counts of flows: of each stretch of 16 counts (Hann window, one
stretch every 4 counts) the power at eight frequencies. A rhythm is a peak of the periodogram of all
counts that chance makes in one of a hundred trains (R. A. Fisher, "Tests of significance in
harmonic analysis", 1929): a timer has one, a flood or a scan at full speed has none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.explain.explanation_tables import measured
from idskit.incidents.incident import FlowTrain
from idskit.report.svg import NOTHING, WIDTH, Chart, rule, stroke_of, text_at

_LEFT, _RIGHT, _FOOT = 70, 24, 22
_BARS, _BAND = 70, 11  # heights: of the tallest bar, of one frequency
_STRETCH, _HOP = 16, 4  # counts
_LEVELS = 4  # of colour
_BY_CHANCE, _LEAST_TIMES = 0.01, 3  # probability of a rhythm that is none; times that it comes
_ORANGE, _BLUE = 1, 0  # colours


def flow_train(train: FlowTrain | None) -> Chart:
    """Draw flows by time, and below them the power by time and frequency.

    Nothing is drawn for less than two times; no spectrogram for less than one stretch.
    """
    if train is None or len(train.flows) < 2:
        return NOTHING
    count = len(train.flows)
    width = (WIDTH - _LEFT - _RIGHT) / count
    most = max(train.flows)
    parts = [rule(f"M{_LEFT} {_BARS + 8}H{WIDTH - _RIGHT}")]
    bars = [
        f"M{_LEFT + (at + 0.5) * width:.1f} {_BARS + 8}v-{max(1.5, _BARS * flows / most):.1f}"
        for at, flows in enumerate(train.flows)
        if flows
    ]
    parts.append(
        f'<path d="{"".join(bars)}" stroke="{stroke_of(_ORANGE)}" '
        f'stroke-width="{max(1.0, min(width - 1, 12)):.1f}"/>'
    )
    parts.append(text_at(_LEFT - 8, 18, f"{most:,}", anchor="end"))
    power = spectrogram(train)
    bottom = _BARS + 8
    if power.size and power.max() > 0:
        bottom += 8
        parts += _drawn(power, bottom)
        parts += _marked(train, len(power), bottom)
        bottom += _BAND * len(power)
    parts.append(text_at(_LEFT, bottom + 15, "0", anchor="start"))
    span = measured(count * train.step_us, "us")
    parts.append(text_at(WIDTH - _RIGHT, bottom + 15, span, anchor="end"))
    return Chart(body="".join(parts), height=bottom + _FOOT, label="Flows of the incident by time")


def spectrogram(train: FlowTrain) -> NDArray[np.float64]:
    """Return the power (8, stretches) of counts, the lowest frequency first; empty if too few."""
    counts = np.array(train.flows, np.float64)
    starts = range(0, len(counts) - _STRETCH + 1, _HOP)
    if not starts:
        return np.zeros((0, 0))
    stretches = np.array([counts[start : start + _STRETCH] for start in starts])
    stretches -= stretches.mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(stretches * np.hanning(_STRETCH + 1)[:-1], axis=1)) ** 2
    return np.asarray(spectrum[:, 1:].T)


def rhythm(train: FlowTrain) -> float | None:
    """Return the frequency of a rhythm, in cycles from one count to the next; None without one.

    A timer has harmonics that are as strong, so the lowest of the strong frequencies is its own.
    What comes less than three times is how an attack swells and ends, and no rhythm.
    """
    counts = np.array(train.flows, np.float64)
    power = np.abs(np.fft.rfft(counts - counts.mean()))[1:] ** 2
    whole, number = power.sum(), len(power)
    if number < _STRETCH // 2 or not whole:
        return None
    strongest = power.max() / whole
    if number * (1 - strongest) ** (number - 1) > _BY_CHANCE:
        return None
    own = 1 + int(np.flatnonzero(power >= power.max() / 2)[0])
    return own / len(counts) if own >= _LEAST_TIMES else None


def _drawn(power: NDArray[np.float64], top: float) -> list[str]:
    """Return the cells of a spectrogram as one path for each level of colour."""
    levels = np.ceil(_LEVELS * np.sqrt(power / power.max()) - 1e-9).astype(int)
    step = (WIDTH - _LEFT - _RIGHT) / power.shape[1]
    paths = []
    for level in range(1, _LEVELS + 1):
        cells = "".join(
            f"M{_LEFT + at * step:.1f} {top + _BAND * (len(power) - 0.5 - row):.1f}h{step:.1f}"
            for row, at in zip(*np.nonzero(levels == level), strict=True)
        )
        if cells:
            paths.append(
                f'<path d="{cells}" stroke="{stroke_of(_BLUE)}" stroke-width="{_BAND}" '
                f'stroke-opacity="{level / _LEVELS:g}"/>'
            )
    return paths


def _marked(train: FlowTrain, rows: int, top: float) -> list[str]:
    """Return the frame of the band that a rhythm is in, with its period."""
    found = rhythm(train)
    middle, below = (_LEFT + WIDTH - _RIGHT) / 2, top + _BAND * rows + 15
    if found is None:
        return [text_at(middle, below, "no rhythm stands out")]
    band = min(rows, max(1, round(_STRETCH * found))) - 1
    period = measured(float(f"{train.step_us / found:.2g}"), "us")
    return [
        f'<rect x="{_LEFT}" y="{top + _BAND * (rows - 1 - band)}" '
        f'width="{WIDTH - _LEFT - _RIGHT}" height="{_BAND}" '
        f'fill="none" stroke="{stroke_of(_ORANGE)}" stroke-width="2"/>',
        text_at(middle, below, f"rhythm: about every {period}"),
    ]
