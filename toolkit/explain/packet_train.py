"""Draw the first packets of a flow: up what was sent, down what came back, in order of time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from idskit.explain.explanation_tables import measured
from idskit.report.svg import NOTHING, WIDTH, Chart, Key, rule, stroke_of, text_at
from idskit.schema import Schema

_HEIGHT, _FOOT = 120, 22
_LEFT, _RIGHT = 70, 24
_FORWARD, _BACKWARD = 0, 1  # colours


def packet_train(schema: Schema, row: NDArray[np.float32]) -> Chart:
    """Draw the packets that a row of features holds; nothing for a row without their series.

    Packets with longer gaps are further apart, by the logarithm: a train of packets has gaps from
    microseconds to minutes.
    """
    sizes, directions, gaps = (_series(schema, row, kind) for kind in ("size", "direction", "iat"))
    known = [number for number, size in enumerate(sizes) if size > 0]
    if not known or not directions or not gaps:
        return NOTHING
    steps = np.cumsum([1 + math.log10(1 + max(gaps[number], 0)) for number in known])
    places = _LEFT + (steps - steps[0]) / (steps[-1] - steps[0] or 1) * (WIDTH - _LEFT - _RIGHT)
    most, middle = max(sizes), _HEIGHT / 2
    parts = [rule(f"M{_LEFT} {middle}H{WIDTH - _RIGHT}")]
    for at, number in zip(places.tolist(), known, strict=True):
        forward = directions[number] > 0
        reach = middle - math.copysign(max(sizes[number] / most * (middle - 8), 2), forward - 0.5)
        color = stroke_of(_FORWARD if forward else _BACKWARD)
        parts.append(
            f'<path d="M{at:.1f} {middle}V{reach:.1f}" stroke="{color}" stroke-width="4"/>'
        )
    parts.append(text_at(_LEFT - 8, 16, measured(most, "bytes"), anchor="end"))
    whole = sum(gaps[number] for number in known[1:]) / 1e6
    about = (
        f"first {len(known)} packets, {whole:,.3g} s; distances grow with the logarithm of the gap"
    )
    parts.append(text_at((_LEFT + WIDTH - _RIGHT) / 2, _HEIGHT + 14, about))
    return Chart(
        body="".join(parts),
        height=_HEIGHT + _FOOT,
        label="First packets",
        keys=(Key(name="sent", color=_FORWARD), Key(name="came back", color=_BACKWARD)),
    )


def _series(schema: Schema, row: NDArray[np.float32], kind: str) -> Sequence[float]:
    """Return one of the three series of a row, in the order of the packets; empty without it."""
    places = [at for at, name in enumerate(schema.names) if name.startswith(f"{kind}_")]
    return [float(row[at]) for at in places if schema.names[at].split("_")[1].isdigit()]
