"""Why there is an incident: a sentence, shares of groups of features, and the leading features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class GroupShare:
    """What a group of features adds to a score: its exact Shapley value in log-odds."""

    name: str
    share: float


@dataclass(frozen=True, kw_only=True)
class FeatureShare:
    """A leading feature: its value, what is usual here, and what replacing it takes away."""

    name: str
    value: float
    unit: str
    usual_p50: float | None  # None where nothing was learned here
    usual_p99: float | None
    share: float  # in log-odds


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why one flow, or one incident, has its score."""

    sentence: str
    method: str = ""  # how shares were computed; empty where there are none
    base: float = 0.0  # log-odds of what is usual; base and all shares add up to ``score``
    score: float = 0.0
    groups: tuple[GroupShare, ...] = ()
    features: tuple[FeatureShare, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain types."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Explanation:
        """Read what ``to_json`` wrote.

        Raises:
            KeyError, TypeError: it is damaged.
        """
        groups = tuple(GroupShare(**item) for item in found["groups"])
        features = tuple(FeatureShare(**item) for item in found["features"])
        return cls(**{**found, "groups": groups, "features": features})
