"""The list of incidents, and one incident with everything that is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from itertools import takewhile
from urllib.parse import quote

from idskit.page.control_client import Part, clipped
from idskit.page.drawings import columns, share_bar, usual_strip
from idskit.page.markup import (
    DASH,
    Child,
    Markup,
    at,
    element,
    figure,
    icon,
    many,
    name,
    since,
    span,
)
from idskit.page.page_frame import View, facts, on_page, pages_nav, panel, steps_nav

_HOUR = timedelta(hours=1)
SIZE = 25  # incidents on a page
OLDER = "/older"  # path of those that are not in the snapshot
SHOWS = {"all": "All", "open": "Open", "unjudged": "Without a verdict"}
VERDICTS = {
    "attack": ("Attack", "Somebody did this on purpose."),
    "expected": ("Expected here", "It is what was found, and it is meant to be."),
    "wrong": ("Wrong", "It is not what was found."),
}
_SEVERITIES = {1: ("high", "High"), 2: ("medium", "Medium")}
# What each family is called, and what people do about it.
_FAMILIES = {
    "scan": ("Scan", "Somebody looks for open doors. Close what nobody needs from there."),
    "guessing": (
        "Password guessing",
        "Look for a login that succeeded, lock the account, and block the source.",
    ),
    "flood": ("Flood", "Limit the rate; where the line is full, ask the provider to filter."),
    "amplification": (
        "Amplification",
        "Close the service that reflects, or ask the provider to filter.",
    ),
    "web": ("Attack on a web application", "Update the application, and read its log."),
    "tunnel": ("Tunnel", "Cut the channel, and find out what has left the network."),
    "malware": ("Malware", "Take the device off the network, and clean it."),
    "lateral": (
        "Lateral movement",
        "Isolate the device that attacks: it has probably been taken over.",
    ),
    "spoofing": (
        "False addresses",
        "Find the device by its MAC address, and take it off the network.",
    ),
    "blind": (
        "The sensor is blind",
        "Look at the interface and its cable: nothing is seen until it is back.",
    ),
    "unknown": ("Unusual behaviour", "Ask whose device it is, and whether this is meant to be."),
}


def is_open(incident: Part) -> bool:
    """Return whether it goes on."""
    return not incident.has("ended")


def is_alarming(incident: Part) -> bool:
    """Return whether it goes on and nobody has said that it may."""
    return is_open(incident) and incident.raw("verdict") not in ("expected", "wrong")


@dataclass(frozen=True, kw_only=True)
class IncidentIndex:
    """The incidents of a snapshot: those that need somebody, then open ones, then the others."""

    every: tuple[Part, ...]
    by_id: dict[str, Part]
    hours: tuple[list[int], list[int]]  # begun in each of the last 24, and those of high severity

    @property
    def alarming(self) -> tuple[Part, ...]:
        """Return those that need somebody."""
        return tuple(takewhile(is_alarming, self.every))

    @property
    def open(self) -> tuple[Part, ...]:
        """Return those that go on."""
        return tuple(takewhile(is_open, self.every))

    @cached_property
    def unjudged(self) -> tuple[Part, ...]:
        """Return those that nobody has said anything of."""
        return tuple(one for one in self.every if not one.has("verdict"))


@lru_cache(maxsize=2)
def index_of(snapshot: Part) -> IncidentIndex:
    """Return the incidents of a snapshot, sorted once for all pages that show it."""
    found = snapshot.parts("incidents")
    return IncidentIndex(
        every=tuple(sorted(found, key=lambda one: (not is_alarming(one), not is_open(one)))),
        by_id={one.raw("incident_id"): one for one in found},
        hours=_hours(found, snapshot.moment("now")),
    )


def _hours(incidents: list[Part], now: datetime | None) -> tuple[list[int], list[int]]:
    counts, high = [0] * 24, [0] * 24
    for one in incidents:
        started = one.moment("started")
        hour = -1 if started is None or now is None else 23 - (now - started) // _HOUR
        if 0 <= hour <= 23:
            counts[hour] += 1
            high[hour] += one.count("severity") == 1
    return counts, high


def path_of(incident: Part) -> str:
    """Return the address of an incident's own page."""
    return f"/incidents/{quote(incident.raw('incident_id')[:200], safe='', errors='replace')}"


def device_of(incident: Part) -> str:
    """Return the address of the device of this network, as it came."""
    return incident.part("device").raw("address")


def path_to(device: str) -> str:
    """Return the address of the list of a device's incidents."""
    return f"/incidents?device={quote(device[:200], safe='', errors='replace')}"


def title_of(incident: Part) -> str:
    """Return what an incident is called."""
    family = incident.text("label", 40) or "unknown"
    known = _FAMILIES.get(family)
    return known[0] if known else family[:1].upper() + family[1:]


def severity_mark(incident: Part) -> Markup:
    """Return the severity as a shape and a word."""
    shape, word = _SEVERITIES.get(incident.count("severity"), ("medium", "Low"))
    return element("span", icon(shape), word, class_=f"severity {shape}")


def _sentence(incident: Part, class_: str) -> Markup | None:
    """Return why there is an incident, in a sentence; None if nobody said."""
    said = incident.part("explanation").text("sentence", 400)
    return element("p", said, class_=class_) if said else None


def _end(incident: Part, side: str) -> Markup:
    """Return who an attacker or a target is, with the number of others like it."""
    address, others = incident.text(side) or "unknown", incident.count(f"{side}s") - 1
    device = incident.part("device")
    named = device.text("name", 40) if device.text("address") == address else ""
    more = element("span", f"and {others:,} more", class_="more") if others > 0 else None
    if named:
        return element("span", name(named, "who"), name(address, "address"), more, class_="end")
    return element("span", name(address, "who"), more, class_="end")


def has_ends(incident: Part) -> bool:
    """Return whether it has an attacker or a target: a blind sensor has neither."""
    return incident.has("attacker") or incident.has("target")


def target_of(incident: Part) -> str:
    """Return the name of the attacked device, or its address."""
    address, device = incident.text("target"), incident.part("device")
    named = device.text("name", 40) if device.text("address") == address else ""
    return named or address or "unknown"


def _route(incident: Part) -> Markup | None:
    if not has_ends(incident):
        return None
    return element(
        "p", _end(incident, "attacker"), element("i", "→", class_="to", aria_label="attacks"),
        _end(incident, "target"), class_="route",
    )  # fmt: skip


def _state(incident: Part, view: View) -> Markup:
    verdict = VERDICTS.get(incident.raw("verdict"))
    return element(
        "span",
        element("span", "open", class_="chip open") if is_open(incident) else None,
        element("span", verdict[0].lower(), class_="chip") if verdict else None,
        since(incident.moment("started"), view.now),
        class_="when",
    )


def incident_row(incident: Part, view: View) -> Markup:
    """Return one line of the list."""
    kind = "row alarming" if is_alarming(incident) else "row"
    return element(
        "li",
        severity_mark(incident),
        element(
            "div",
            element("h3", element("a", title_of(incident), href=path_of(incident))),
            _route(incident),
            _sentence(incident, "why"),
        ),
        element(
            "div",
            _state(incident, view),
            element("span", _size(incident), class_="flows"),
            class_="side",
        ),
        class_=kind,
    )


def incident_list(incidents: Sequence[Part], view: View) -> Markup:
    """Return lines of a list."""
    return element("ul", *(incident_row(one, view) for one in incidents), class_="incidents")


def incidents_page(view: View) -> Child:
    """Return the list, 25 at a time."""
    index = index_of(view.snapshot)
    shown = {"all": index.every, "open": index.open, "unjudged": index.unjudged}
    if view.device:
        shown["device"] = tuple(one for one in index.every if device_of(one) == view.device)
    show = "device" if view.device else view.show if view.show in shown else "all"
    chosen = shown[show]
    page, part = on_page(view.page, SIZE, len(chosen))
    path = path_to(view.device) if view.device else f"/incidents?show={show}"
    return (
        element("h1", "Incidents"),
        day_strip(index),
        _choices(show, view.device, {key: len(found) for key, found in shown.items()}),
        incident_list(chosen[part], view) if chosen else _nothing(show),
        pages_nav(path, page, SIZE, len(chosen)),
        _to_older(view) if show == "all" and page * SIZE >= len(chosen) else None,
    )


def _to_older(view: View) -> Markup | None:
    if view.snapshot.value("older") is not True:
        return None
    return element("p", element("a", "Older incidents \u203a", href=OLDER), class_="back")


def older_page(view: View, found: Sequence[Part]) -> Child:
    """Return incidents that the snapshot does not have; one more than SIZE says that others are."""
    shown = found[:SIZE]
    nothing = element("p", icon("well"), "No older incident is kept.", class_="nothing")
    return (
        element("p", element("a", "\u2039 The latest incidents", href="/incidents"), class_="back"),
        element("h1", "Older incidents"),
        incident_list(shown, view) if shown else nothing,
        steps_nav(OLDER, view.page, f"page {view.page:,}", has_older=len(found) > SIZE),
    )


def _choices(current: str, device: str, counts: dict[str, int]) -> Markup:
    choices = [(key, words, f"/incidents?show={key}") for key, words in SHOWS.items()]
    if device:
        choices.append(("device", clipped(device, 45), path_to(device)))
    links = [
        element(
            "a", name(words), " ", element("b", f"{counts[key]:,}"), href=path,
            aria_current="true" if key == current else None,
        )
        for key, words, path in choices
    ]  # fmt: skip
    return element("nav", *links, class_="choices", aria_label="Which incidents")


def _nothing(show: str) -> Markup:
    words = {
        "open": "No incident is open.",
        "unjudged": "Every incident has your verdict.",
    }.get(show, "There has been no incident.")
    return element("p", icon("well"), words, class_="nothing")


def day_strip(index: IncidentIndex) -> Markup | None:
    """Return the last 24 hours: how many incidents began in each."""
    counts, high = index.hours
    if not sum(counts):
        return None
    label = f"{many(sum(counts), 'incident')} in 24 hours, {sum(high):,} high"
    return element(
        "figure",
        element("figcaption", label),
        columns(counts, high, label),
        element("p", *(element("span", w) for w in ("24 h ago", "12 h ago", "now")), class_="axis"),
        class_="day",
    )


def incident_page(incident: Part, view: View) -> Child:
    """Return everything that is known of one incident."""
    why = incident.part("explanation")
    advice = _FAMILIES.get(incident.raw("label"))
    return (
        element("p", element("a", "\u2039 All incidents", href="/incidents"), class_="back"),
        element(
            "div",
            element(
                "div", severity_mark(incident), _state(incident, view), class_="marks"
            ),
            element("h1", title_of(incident)),
            _sentence(incident, "sentence"),
            _ends(incident),
            element("p", element("b", "What to do: "), advice[1]) if advice else None,
            _verdicts(incident, view),
            class_="lead alarming" if is_alarming(incident) else "lead",
        ),
        element(
            "div",
            element("div", _why(why), _features(why), _evidence(incident)),
            element("div", _course(incident), _more(incident)),
            class_="two",
        ),
    )  # fmt: skip


def _size(incident: Part) -> str:
    """Return of how much an incident is: flows, or messages where these are of none (ARP)."""
    if incident.count("flows"):
        return many(incident.count("flows"), "flow")
    counted = next((one for one in incident.parts("evidence", 1)), None)
    is_of_messages = counted is not None and counted.text("unit") == "messages"
    return many(counted.count("value"), "message") if counted and is_of_messages else ""


def _ends(incident: Part) -> Markup | None:
    """Return who does what to whom; None where nobody does."""
    if not has_ends(incident):
        return None
    services = incident.texts("services", 3, 24)
    return element(
        "div",
        element("p", element("span", "Attacker", class_="small"), _end(incident, "attacker")),
        element(
            "p",
            element("span", _size(incident), class_="small"),
            element("i", class_="arrow"),
            name(", ".join(services), "small"),
        ),
        element("p", element("span", "Target", class_="small"), _end(incident, "target")),
        class_="ends",
    )


def _verdicts(incident: Part, view: View) -> Markup:
    """Return three buttons of one form, which needs no script."""
    current = incident.raw("verdict")
    buttons = [
        element(
            "button", element("b", words), element("span", about), name="verdict", value=key,
            aria_pressed="true" if key == current else "false",
        )
        for key, (words, about) in VERDICTS.items()
    ]  # fmt: skip
    hidden = element("input", type="hidden", name="form_token", value=view.form_token)
    return element(
        "form", hidden, *buttons, method="post", action=f"{path_of(incident)}/verdict",
        class_="verdicts", aria_label="Your verdict",
    )  # fmt: skip


def _why(why: Part) -> Markup | None:
    """Return what each group of features adds to the score."""
    groups = [(one.text("name"), one.number("share") or 0.0) for one in why.parts("groups", 16)]
    if not groups:
        return None
    groups.sort(key=lambda pair: -abs(pair[1]))
    low, high = (end(0.0, *(share for _, share in groups)) for end in (min, max))
    rows = [
        element(
            "li",
            name(group),
            share_bar(share, low, high, f"{group}: {share:+.2f}"),
            element("span", f"{share:+.2f}", class_="n"),
        )
        for group, share in groups
    ]
    base, score = why.number("base"), why.number("score")
    sums = f"Together they take the score from {figure(base)}, usual here, to {figure(score)}"
    about = f"{sums} (log-odds)." if base is not None and score is not None else ""
    return panel("Why", element("ul", *rows, class_="shares"), about=about)


def _features(why: Part) -> Markup | None:
    """Return the leading features next to what is usual here."""
    found = why.parts("features", 12)
    if not found:
        return None
    rows = [_feature(one) for one in found]
    about = (
        "The dot is this incident. The band ends at the 99th percentile of what is usual here, "
        "its tick is the median."
    )
    return panel("What was measured", element("ul", *rows, class_="features"), about=about)


def _feature(one: Part) -> Markup:
    value, unit = one.number("value"), one.text("unit", 24)
    unit = "" if unit == "count" else unit  # the name says of what
    median, upper = one.number("usual_p50"), one.number("usual_p99")
    usual = f"usual {figure(median)}, 99th percentile {figure(upper)}"
    known = value is not None and median is not None and upper is not None
    return element(
        "li",
        name(one.text("name"), "what"),
        element("b", figure(value, unit), class_="n"),
        usual_strip(value or 0.0, median or 0.0, upper or 0.0, usual) if known else None,
        element("span", usual if known else "nothing learned here yet", class_="usual"),
    )


def _evidence(incident: Part) -> Markup | None:
    rows = [
        element(
            "li",
            name(one.text("name"), "what"),
            element("b", figure(one.number("value"), one.text("unit", 24)), class_="n"),
            element("span", f"usual here {figure(one.number('usual'))}", class_="usual")
            if one.has("usual")
            else None,
        )
        for one in incident.parts("evidence", 24)
    ]
    return panel("Evidence", element("ul", *rows, class_="features")) if rows else None


def _course(incident: Part) -> Markup:
    """Return what happened when."""
    started, updated, ended = (incident.moment(key) for key in ("started", "updated", "ended"))
    elapsed = timedelta() if started is None or updated is None else updated - started
    lasted = f" after {span(elapsed)}" if elapsed >= timedelta(seconds=1) else ""
    steps: list[tuple[str, Child]] = [("First packet", at(started))]
    steps.append((f"Latest packet{lasted}", at(updated)))
    if ended is not None:
        steps.append(("Closed after silence", at(ended)))
    rows = [
        element("li", element("b", words), moment, class_="last" if is_open(incident) and i else "")
        for i, (words, moment) in enumerate(steps)
    ]
    state = "It goes on." if is_open(incident) else ""
    return panel("Timeline", element("ol", *rows, class_="course"), about=state)


def _more(incident: Part) -> Markup:
    confidence = incident.number("confidence")
    flow_ids = incident.texts("flow_ids", 20, 24)
    return panel(
        "Facts",
        facts(
            *_of_flows(incident),
            ("Confidence", DASH if confidence is None else f"{confidence:.1%}"),
            ("ATT&CK technique", incident.text("technique", 20) or DASH),
            ("Identifier", name(incident.text("incident_id"), "code")),
        ),
        element(
            "details",
            element("summary", f"First {many(len(flow_ids), 'flow identifier')}"),
            element("p", ", ".join(flow_ids), class_="code"),
            id="flow-ids",
        )
        if flow_ids
        else None,
    )


def _of_flows(incident: Part) -> Iterator[tuple[str, Child]]:
    """Yield the facts that only incidents of flows have."""
    services = incident.texts("services", 12, 24)
    if incident.count("flows"):
        yield "Flows", f"{incident.count('flows'):,}"
    if services:
        yield "Services", [element("span", name(one), class_="chip") for one in services]
