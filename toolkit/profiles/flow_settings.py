"""What a profile makes of the options of an input: the settings of its flow table."""

from __future__ import annotations

from collections.abc import Sequence

from idskit.errors import IdskitError
from idskit.flow_input import FlowInput
from idskit.flows.flow_records import Settings
from idskit.profiles.registry import Profile


def settings_for(
    profile: Profile, given: FlowInput, verdict_at_s: Sequence[float] = ()
) -> Settings:
    """Return the settings of a flow table; ``verdict_at_s`` holds where the input states none.

    Raises:
        IdskitError: the input has an option that flows of the profile do not have.
    """
    ages_s = verdict_at_s if given.verdict_at_s is None else given.verdict_at_s
    if given.verdict_at_s and not profile.IDLE_US:
        raise IdskitError(
            f"verdict_at_s is {_listed(ages_s)}, but rows of {profile.SCHEMA.name} are complete "
            "only at their end: omit it, or choose the schema gateway"
        )
    return Settings(
        memory_bytes=given.memory_mb << 20,
        idle_us=_idle_us(profile, given.idle_timeout_s),
        verdict_at_us=_microseconds(ages_s) if profile.IDLE_US else (),
        key=given.hash_key,
    )


def _listed(seconds: Sequence[float]) -> str:
    return ", ".join(f"{each:g}" for each in seconds)


def _microseconds(seconds: Sequence[float]) -> tuple[int, ...]:
    return tuple(round(each * 1_000_000) for each in seconds)


def _idle_us(profile: Profile, idle_timeout_s: float | None) -> int:
    if idle_timeout_s is None:
        return profile.IDLE_US
    if not profile.IDLE_US:
        raise IdskitError(
            f"idle_timeout_s is {idle_timeout_s:g}, but flows of {profile.SCHEMA.name} never idle "
            "out: omit it, or choose the schema gateway"
        )
    return int(idle_timeout_s * 1_000_000)
