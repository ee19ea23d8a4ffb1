"""Explain an incident by what sequential tests counted, and by the score of its strongest flow.

evidence, strongest flow ──> columns that tests counted ──┬─> leading features
strongest flow, usual ─────> columns that raise the score ┘
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.errors import SchemaError
from idskit.explain.explain_flow import LEADING, Judge, explain_flow
from idskit.explain.usual import Usual, shipped_usual
from idskit.incidents.incident import SUSPECTED, Evidence, Explanation, FeatureShare, Incident
from idskit.incidents.sentence import sentence
from idskit.incidents.sequential.nats import OPENS
from idskit.schema import Schema


def explained(
    detector: Judge,
    incident: Incident,
    row: NDArray[Any] | None,
    schema: Schema | None = None,
    *,
    usual: Usual | None = None,
) -> Incident:
    """Return the incident with its explanation.

    It is the sentence alone, with an empty ``method``, where there is no flow that the model could
    judge: the row is None, or has values that are NaN or infinite.

    Args:
        detector: the model.
        incident: what is explained.
        row: (features,) of its strongest flow, as ``IncidentTracker.row_of`` returns it.
        schema: of the row; the model's own when None. It may have more columns than the model.
        usual: what is usual at this site; what idskit ships when None.

    Raises:
        SchemaError: the row is of another schema, or nothing is known of what is usual.
    """
    said = sentence(incident)
    if row is None:
        return replace(incident, explanation=Explanation(sentence=said))
    given = schema or detector.schema
    columns = detector.schema.columns_in(given)
    if columns is None:
        raise SchemaError(
            f"an explanation was asked for of a flow of schema {given.name}, but the "
            f"model reads {detector.schema.name}: open the flows with detector.schema"
        )
    (own,) = detector.schema.as_rows(np.asarray(row)[None][:, columns])
    if not np.isfinite(own).all():
        return replace(incident, explanation=Explanation(sentence=said))
    why = explain_flow(detector, own, usual, sentence=said)
    counted = counted_columns(incident, np.asarray(row, np.float32), given, usual)
    features = _leading(counted, why.features, incident)
    return replace(incident, explanation=replace(why, features=features))


def _leading(
    counted: list[FeatureShare], scored: tuple[FeatureShare, ...], incident: Incident
) -> tuple[FeatureShare, ...]:
    """Return the leading features: those of what gave more of the evidence come first.

    What a test counted has a place where it opens an incident alone, because the score says nothing
    of it. The other places are of columns that raise the score, where the score is evidence.
    """
    sources = [item.name for item in incident.evidence if item.nats]
    if counted and SUSPECTED not in sources:
        return tuple(counted[:LEADING])
    enough = [one for one in counted if _suffices(one)]
    known = {one.name for one in enough}
    rest = [one for one in scored if one.name not in known][: max(1, LEADING - len(enough))]
    enough = enough[: LEADING - len(rest)]
    return tuple([*rest, *enough] if sources[:1] == [SUSPECTED] else [*enough, *rest])


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


def _suffices(feature: FeatureShare) -> bool:
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
