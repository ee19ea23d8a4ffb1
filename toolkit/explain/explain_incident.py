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
from idskit.explain.counted_columns import counted_columns, suffices
from idskit.explain.explain_flow import LEADING, Judge, explain_flow
from idskit.explain.usual import Usual
from idskit.incidents.incident import SUSPECTED, Explanation, FeatureShare, Incident
from idskit.incidents.sentence import sentence
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
    enough = [one for one in counted if suffices(one)]
    known = {one.name for one in enough}
    rest = [one for one in scored if one.name not in known][: max(1, LEADING - len(enough))]
    enough = enough[: LEADING - len(rest)]
    return tuple([*rest, *enough] if sources[:1] == [SUSPECTED] else [*enough, *rest])
