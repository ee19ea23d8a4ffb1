"""The page for the wall: is all well, what does the network do, does the sensor see it."""

from __future__ import annotations

from dataclasses import dataclass

from idskit.page.control_client import Part, clipped
from idskit.page.drawings import LEVELS, burn_bar, heat_row, sparkline
from idskit.page.incident_pages import (
    day_strip,
    has_ends,
    incident_list,
    index_of,
    target_of,
    title_of,
)
from idskit.page.markup import DASH, Child, Markup, element, figure, icon, many, name, span
from idskit.page.page_frame import View, panel

_FIRST = 5  # open incidents on this page; the list has all
_HOSTS = 16
_LOSS = 0.001  # share of packets whose loss stands out
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, kw_only=True)
class Headline:
    """How things are, in a few words, with the shape and the colours that go with them."""

    words: str
    about: str
    shape: str
    tone: str  # calm, alarm or dim


def headline(view: View) -> Headline:
    """Say how things are: what hides everything else comes first."""
    health, waiting = view.snapshot.part("health"), index_of(view.snapshot).alarming
    state = health.raw("state")
    reasons = " ".join(health.texts("reasons", 4, 200))
    if state == "blind":
        return Headline(words="The sensor is blind", about=reasons, shape="blind", tone="alarm")
    if waiting:
        worst = "high" if any(one.count("severity") == 1 for one in waiting) else "medium"
        about = _latest(view, waiting) + (f" {reasons}" if state == "overloaded" else "")
        return Headline(
            words=many(len(waiting), "open incident"), about=about, shape=worst, tone="alarm"
        )
    if state == "overloaded":
        return Headline(words="Too much traffic", about=reasons, shape="overloaded", tone="alarm")
    return _quiet(view, state, reasons)


def _quiet(view: View, state: str, reasons: str) -> Headline:
    """Say how things are where no incident needs anybody."""
    if state == "learning":
        about = f"No incident is open. {reasons}"
        return Headline(words="Learning what is normal", about=about, shape="learning", tone="dim")
    if state != "fine":
        about = "The service did not say how it is."
        return Headline(words="State unknown", about=about, shape="away", tone="dim")
    if reasons:
        about = f"{reasons} {_calm(view)}"
        return Headline(words="Something is amiss", about=about, shape="medium", tone="dim")
    return Headline(words="All is well", about=_calm(view), shape="well", tone="calm")


def _latest(view: View, waiting: tuple[Part, ...]) -> str:
    moments = [one.moment("updated") for one in waiting]
    newest = max((moment for moment in moments if moment is not None), default=None)
    first, others = min(waiting, key=lambda one: one.count("severity")), len(waiting) - 1
    ends = f": {first.text('attacker') or 'unknown'} against {target_of(first)}"
    what = title_of(first) + (ends if has_ends(first) else "")
    more = f", and {many(others, 'other')}" if others else ""
    if newest is None or view.now is None:
        return f"{what}{more}."
    return f"{what}{more}. The latest packet was {span(view.now - newest)} ago."


def _calm(view: View) -> str:
    """Say what there was while nobody looked."""
    index = index_of(view.snapshot)
    day, allowed = sum(index.hours[0]), len(index.open)
    ended = f"{many(day, 'incident')} in the last 24 hours, none needs you now."
    words = ended if day else "No incident in the last 24 hours."
    return words + (f" {many(allowed, 'open one')} may go on, as you said." if allowed else "")


def now_page(view: View) -> Child:
    """Return the page."""
    snapshot, waiting = view.snapshot, index_of(view.snapshot).alarming
    more = len(waiting) - _FIRST
    return element(
        "div",
        _hero(headline(view), snapshot, view),
        incident_list(waiting[:_FIRST], view) if waiting else None,
        element("p", element("a", f"{more:,} more \u203a", href="/incidents?show=open"))
        if more > 0
        else None,
        _rates(snapshot.part("rates")),
        _traffic(snapshot.part("traffic")),
        element(
            "div",
            _interfaces(snapshot.part("health")),
            budget_panel(snapshot.part("budget")),
            _sinks(snapshot),
            _counters(snapshot.part("counters")),
            class_="parts",
        ),
        class_="now",
    )


def _hero(found: Headline, snapshot: Part, view: View) -> Markup:
    started = snapshot.moment("started")
    watching = (
        element("span", "watching for ", span(view.now - started))
        if started and view.now and view.now >= started
        else None
    )
    devices = len(snapshot.parts("devices"))
    return element(
        "section",
        icon(found.shape, "icon large"),
        element(
            "div",
            element("h1", found.words),
            element("p", found.about),
            element(
                "p",
                element("span", many(devices, "device")) if devices else None,
                watching,
                class_="small dotted",
            ),
        ),
        day_strip(index_of(snapshot)),
        class_=f"hero {found.tone}",
    )


def _rates(rates: Part) -> Markup:
    tiles = [
        _tile("Packets", rates.numbers("packets_per_s"), "/s"),
        _tile("Flows", rates.numbers("flows_per_s"), "/s"),
        _tile("Traffic", rates.numbers("bytes_per_s"), "B/s"),
    ]
    return element("section", *tiles, class_="three tiles", aria_label="Rates of the last minute")


def _tile(title: str, values: list[float], unit: str) -> Markup:
    number, letter = _scaled(values[-1]) if values else (DASH, "")
    peak = _measured(max(values, default=0.0), unit)
    return element(
        "div",
        element("h2", title),
        element("p", element("b", number), element("span", f" {letter}{unit}"), class_="big"),
        sparkline(values, f"{title} of the last {len(values)} s, at most {peak}"),
        element("p", f"at most {peak} in the last minute", class_="small")
        if values
        else element("p", "nothing measured yet", class_="small"),
        class_="panel tile",
    )


def _scaled(value: float) -> tuple[str, str]:
    """Return a number with three digits, and the letter of its thousands."""
    size, letter = next(((s, c) for s, c in _PREFIXES if value >= s), (1.0, ""))
    value /= size
    digits = f"{value:.0f}" if value >= 99.95 or value == int(value) else f"{value:.1f}"
    return digits, letter


def _measured(value: float, unit: str = "") -> str:
    number, letter = _scaled(value)
    return f"{number} {letter}{unit}".rstrip()


def _traffic(traffic: Part) -> Markup:
    """Return hosts by seconds: what the networks over host windows look at."""
    hosts = traffic.parts("hosts", _HOSTS)
    rows = [(one, one.numbers("packets")) for one in hosts]
    peak = max((value for _, values in rows for value in values), default=0.0)
    if not rows:
        nothing = element("p", "No host has sent anything in the last minute.", class_="nothing")
        return panel("The last minute, host by host", nothing)
    scale = [element("i", class_=f"heat{level}") for level in range(1, LEVELS + 1)]
    legend = element(
        "p",
        "1",
        element("span", *scale),
        f"{peak:,.0f} packets/s",
        class_="legend",
        aria_hidden="true",
    )
    return panel(
        "The last minute, host by host",
        legend,
        element("ul", *(_host(one, values, peak) for one, values in rows), class_="hosts"),
        element(
            "p",
            *(element("span", words) for words in ("60 s ago", "30 s", "now")),
            class_="axis",
            aria_hidden="true",
        ),
        class_="traffic",
    )


def _host(one: Part, values: list[float], peak: float) -> Markup:
    address, named = one.text("address", 45), one.text("name", 40)
    total = sum(values)
    label = f"{many(total, 'packet')} in the last minute"
    return element(
        "li",
        element(
            "span",
            name(named or address, "who"),
            name(address, "address") if named else None,
            class_="host",
            title=f"{named} {address}".strip(),
        ),
        heat_row([0.0] * (60 - len(values)) + values, peak, label),
        element("span", _measured(total), class_="n", title=label),
    )


def _interfaces(health: Part) -> Markup:
    found = health.parts("interfaces", 12)
    rows = [_interface(one) for one in found]
    reasons = element("ul", *(element("li", one) for one in health.texts("reasons", 4, 200)))
    state = health.text("state", 20) or "unknown"
    return panel(
        "Sensor",
        element("ul", *rows, class_="interfaces")
        if rows
        else element("p", "No interface is watched.", class_="nothing"),
        reasons if health.texts("reasons", 4) else None,
        about=f"It is {state}.",
    )


def _interface(one: Part) -> Markup:
    up = one.value("up") is True
    packets, dropped = one.count("packets"), one.count("dropped")
    share = dropped / max(packets + dropped, 1)
    part = f" ({share:.2%})" if share >= 0.0001 else ""
    lost = f"{dropped:,} dropped{part}" if dropped else "none dropped"
    return element(
        "li",
        icon("up" if up else "down", "icon calm" if up else "icon alarm"),
        element("b", name(one.text("name", 20))),
        element("span", "up" if up else "down", class_="" if up else "alarm"),
        element("span", f"{_measured(packets)} packet{'' if packets == 1 else 's'}", class_="n"),
        element("span", lost, class_="n alarm" if share > _LOSS else "n small"),
    )


def _sinks(snapshot: Part) -> Markup | None:
    """Return where incidents go, and whether they arrive; None where they go nowhere else."""
    found = snapshot.parts("sinks", 16)
    rows = [_sink(one) for one in found]
    return panel("Where incidents go", element("ul", *rows, class_="interfaces")) if rows else None


def _sink(one: Part) -> Markup:
    away = one.text("away", 120)
    lost = one.count("dropped") + one.count("failed") + one.count("damaged")
    notes = [f"{one.count('waiting'):,} waiting"] if one.count("waiting") else []
    notes += [f"{lost:,} lost"] if lost else []
    return element(
        "li",
        icon("down" if away else "up", "icon alarm" if away else "icon calm"),
        element("b", name(one.text("name", 40))),
        element("span", f"{one.count('written'):,} written", class_="n"),
        element("span", away, class_="alarm wide") if away else None,
        element("span", ", ".join(notes), class_="n alarm" if lost else "n small")
        if notes
        else None,
    )


def budget_panel(budget: Part) -> Markup:
    """Return how fast the budget of false alarms burns."""
    per_day, threshold = budget.number("per_day"), budget.number("threshold")
    rows = [
        _burn(words, burn)
        for words, key in (("last hour", "burn_1h"), ("last 24 h", "burn_24h"))
        if (burn := budget.number(key)) is not None
    ]
    about = f"At most {figure(per_day)} a day may be false. Burn: 1 is exactly that."
    return panel(
        "False alarms",
        element("ul", *rows, class_="shares") if rows else None,
        element("p", f"An incident takes {figure(threshold)} nats of evidence.", class_="small")
        if threshold is not None
        else None,
        about="No budget is learned yet." if per_day is None else about,
    )


def _burn(words: str, ratio: float) -> Markup:
    label = f"{figure(ratio)} times the budget"
    return element(
        "li",
        element("span", words),
        burn_bar(ratio, f"{words}: {label}"),
        element("span", f"{figure(ratio)}\u00d7", class_="n alarm" if ratio > 1 else "n"),
    )


def _counters(counters: Part) -> Markup:
    rows = [
        element(
            "div", element("dt", _noun(key), title=key), element("dd", figure(counters.number(key)))
        )
        for key in counters.names()[:48]
    ]
    first, rest = rows[:4], rows[4:]
    return panel(
        "Counters",
        element("dl", *first, class_="facts")
        if first
        else element("p", "Nothing is counted yet.", class_="nothing"),
        element(
            "details",
            element("summary", f"{len(rest)} more"),
            element("dl", *rest, class_="facts"),
            id="counters",
        )
        if rest
        else None,
    )


def _noun(counter: str) -> str:
    """Return a counter's name in words: its full one is that of Prometheus."""
    words = counter.removeprefix("idskit_").removesuffix("_total").replace("_", " ")
    return clipped(words, 60)


def away_page(sentence: str) -> Child:
    """Return the page that says that the service does not answer."""
    found = Headline(
        words="The service does not answer", about=sentence, shape="away", tone="alarm"
    )
    advice = "Nothing is watched while it is away. Look at: systemctl status idskit"
    return element(
        "section",
        icon(found.shape, "icon large"),
        element("div", element("h1", found.words), element("p", found.about), element("p", advice)),
        class_="hero alarm",
    )
