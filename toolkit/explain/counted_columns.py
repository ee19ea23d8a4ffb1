"""What sequential tests counted, as features: an incident rests on it as it does on scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idskit.explain.usual import Usual, shipped_usual
from idskit.incidents.incident import Evidence, FeatureShare, Incident
from idskit.incidents.sequential_tests import OPENS
from idskit.schema import Schema


def counted_columns(
    incident: Incident, row: NDArray[np.float32], schema: Schema, usual: Usual | None = None
) -> list[FeatureShare]:
    """Return a feature for each test behind an incident, those that gave most evidence first.

    The share is all that the test gave, because it counts nothing once its columns are as usual.

    Args:
        incident: whose evidence names what tests counted.
        row: (features,) of its strongest flow.
        schema: of the row.
        usual: of the first columns of the row; the rest is as idskit ships it.
    """
    levels = _levels(row, schema, usual)
    found = (_feature(item, schema, levels) for item in incident.evidence if item.columns)
    return [feature for feature in found if feature is not None]


def suffices(feature: FeatureShare) -> bool:
    """Return whether what a test counted opens an incident alone."""
    return feature.share >= OPENS


def _levels(
    row: NDArray[np.float32], schema: Schema, usual: Usual | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the median and the 99th percentile of each column."""
    shipped = shipped_usual(schema, row)
    p50, p99 = shipped.p50.copy(), shipped.p99.copy()
    if usual is not None:
        p50[: len(usual.p50)], p99[: len(usual.p99)] = usual.p50, usual.p99
    return p50, p99


def _feature(
    item: Evidence, schema: Schema, levels: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> FeatureShare | None:
    """Return the first column that is not as usual, with the others; None if all are."""
    places = {name: at for at, name in enumerate(schema.names)}
    unusual = [
        (name, value)
        for name, value in item.columns
        if name in places and value != levels[0][places[name]]
    ]
    if not unusual:
        return None
    (name, value), *others = unusual
    at = places[name]
    return FeatureShare(
        name=name,
        value=value,
        unit=schema.features[at].unit,
        usual_p50=float(levels[0][at]),
        usual_p99=float(levels[1][at]),
        share=item.nats or 0.0,
        counted_by=item.name,
        also=tuple(other for other, _ in others),
    )
