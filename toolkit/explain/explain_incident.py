"""Explain an incident by its strongest flow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.errors import SchemaError
from idskit.explain.explain_flow import Judge, explain_flow
from idskit.explain.usual import Usual
from idskit.incidents.incident import Explanation, Incident
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
    return replace(incident, explanation=explain_flow(detector, own, usual, sentence=said))
