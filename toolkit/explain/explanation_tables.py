"""What an explanation holds as tables of text, for a page and for a terminal."""

from __future__ import annotations

from idskit.incidents.incident import Evidence, Explanation, FeatureShare, Incident
from idskit.incidents.sequential.nats import OPENS
from idskit.report.section import Section
from idskit.report.text import visible
from idskit.schemas.column_words import in_words

_TIMES = ((86_400e6, "days"), (3600e6, "h"), (60e6, "min"), (1e6, "s"), (1e3, "ms"), (1.0, "us"))
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes"))


def measured(value: float, unit: str) -> str:
    """Return a value of a feature as people write it.

    Example:
        >>> measured(1_500_000, "us"), measured(0.83, "share"), measured(41, "count")
        ('1.5 s', '83 %', '41')
    """
    if not value and unit in ("us", "bytes", "bytes/s"):
        return "0"
    if unit == "share":
        return f"{100 * value:.3g} %"
    if unit == "us":
        return _scaled(value, _TIMES)
    if unit in ("bytes", "bytes/s"):
        return _scaled(value, _SIZES) + unit.removeprefix("bytes")
    plain = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"
    plain = plain.replace("-", "\N{MINUS SIGN}")
    return f"{plain} {unit}" if unit == "packets/s" else plain


def _scaled(value: float, scales: tuple[tuple[float, str], ...]) -> str:
    fitting = (pair for pair in scales if abs(value) >= pair[0])
    size, name = next(fitting, scales[-1])
    return f"{value / size:,.3g} {name}"


def groups_table(explanation: Explanation) -> Section:
    """Return the shares of groups, from the score of a usual flow to that of this one.

    It is for a terminal: on a page, ``share_bars`` draws them.
    """
    rows = [(visible(group.name), signed(group.share)) for group in explanation.groups]
    ends = (("a usual flow", signed(explanation.base)), ("this flow", signed(explanation.score)))
    return Section(
        title="What raises the score",
        columns=("group of features", "log-odds of an attack"),
        rows=(ends[0], *rows, ends[1]) if rows else (),
        caption=visible(explanation.method),
    )


def signed(share: float) -> str:
    """Return a share with its sign.

    Example:
        >>> signed(0.5)
        '+0.50'
    """
    return f"{share:+.2f}".replace("-", "\N{MINUS SIGN}")


def features_table(explanation: Explanation) -> Section:
    """Return the leading features: what they are here, and what is usual."""
    counted = any(feature.counted_by for feature in explanation.features)
    of_tests = (
        " Of what a test counts, it is all the evidence that the test gave." if counted else ""
    )
    return Section(
        title="Leading features",
        columns=("feature", "here", "usual", "99th percentile", "share"),
        rows=tuple(_feature_row(feature) for feature in explanation.features),
        caption=(
            "The share is by how much the score falls, in log-odds, when this feature and those "
            "above it are as usual, each with the columns that measure the same (2 more)."
            f"{of_tests} Of 100 benign flows, one lies above the 99th percentile."
        ),
    )


def _feature_row(feature: FeatureShare) -> tuple[str, ...]:
    words = in_words(feature.name)
    more = f", {len(feature.also)} more" if feature.also else ""
    name = f"{words}{more}" if words == feature.name else f"{words} ({feature.name}{more})"
    said = f"{feature.counted_by}: {name}" if feature.counted_by else name
    known = (feature.usual_p50, feature.usual_p99)
    usual = ("" if value is None else measured(value, feature.unit) for value in known)
    return visible(said), measured(feature.value, feature.unit), *usual, signed(feature.share)


def undoing(explanation: Explanation, alert: float) -> str:
    """Return which groups alone leave no alert where they are as usual, as a sentence.

    Args:
        explanation: of a flow that alerts; else nothing is said.
        alert: log-odds from which on there is an alert.
    """
    found = [
        group.name
        for group in explanation.groups
        if group.without is not None and group.without < alert
    ]
    if not found or explanation.score < alert:
        return ""
    if len(found) == 1:
        return f"Without {visible(found[0])} there would be no alert."
    return f"Each of these alone, if it were as usual, would leave no alert: {_listed(found)}."


def _listed(names: list[str]) -> str:
    return " and ".join((", ".join(map(visible, names[:-1])), visible(names[-1])))


def evidence_table(incident: Incident | None) -> Section:
    """Return the evidence of an incident: what opened it first, then what else is known of it.

    What is usual here has a column where that was learned; so has the evidence that each of several
    sources gives.
    """
    found = () if incident is None else incident.evidence
    learned = any(item.usual is not None for item in found)
    weighed = sum(bool(item.nats) for item in found) > 1
    return Section(
        title="Evidence",
        columns=("what", "found", *(["usual here"] * learned), *(["gives alone"] * weighed)),
        rows=tuple(
            (visible(item.name), *_found(item)[: 1 + learned], *([_nats(item)] * weighed))
            for item in found
        ),
        caption=f"{OPENS:g} nats of evidence open an incident." if weighed else "",
    )


def _nats(item: Evidence) -> str:
    return "" if item.nats is None else f"{item.nats:,.3g} nats"


def _found(item: Evidence) -> tuple[str, str]:
    """Return the value of evidence with its unit, and what is usual."""
    is_feature = item.unit in ("us", "bytes", "share")
    unit = item.unit if is_feature else ""
    value = measured(item.value, unit) + ("" if is_feature else f" {item.counted_in}")
    return visible(value), "" if item.usual is None else measured(item.usual, unit)
