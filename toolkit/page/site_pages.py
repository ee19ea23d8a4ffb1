"""What was learned here and how it is set: devices, the model, and settings, all read-only."""

from __future__ import annotations

from itertools import groupby

from idskit.page.control_client import Part, clipped
from idskit.page.incident_pages import path_to
from idskit.page.markup import (
    DASH,
    Child,
    Markup,
    at,
    clock,
    element,
    figure,
    icon,
    many,
    name,
    since,
    span,
)
from idskit.page.now_page import budget_panel
from idskit.page.page_frame import View, facts, on_page, pages_nav, panel

SIZE = 40  # devices on a page
_LEARNING = {
    "learning": "It learns what is normal here; until then it goes by what it was trained on.",
    "learned": "It knows what is normal here.",
    "frozen": "It keeps what it has learned, and learns no more.",
    "off": "It does not learn here.",
}


def devices_page(view: View) -> Child:
    """Return the devices, those with new behaviour first."""
    found = view.snapshot.parts("devices")
    found.sort(key=lambda one: not one.texts("new", 1))
    page, part = on_page(view.page, SIZE, len(found))
    fresh = sum(1 for one in found if one.texts("new", 1))
    about = f"{many(fresh, 'device does', 'devices do')} something new." if fresh else ""
    nothing = element("p", "No device has been seen yet.", class_="nothing")
    return (
        element("h1", many(len(found), "device").capitalize() if found else "Devices"),
        element("p", about, class_="about") if about else None,
        element("ul", *(_device(one, view) for one in found[part]), class_="devices")
        if found
        else nothing,
        pages_nav("/devices", page, SIZE, len(found)),
    )


def _device(one: Part, view: View) -> Markup:
    address, named = one.text("address", 45), one.text("name", 40)
    news = one.texts("new", 6, 200)
    incidents = one.count("incidents")
    services = [element("span", name(s), class_="chip") for s in one.texts("services", 8, 24)]
    return element(
        "li",
        element(
            "h2",
            name(named or address or "unknown"),
            element(
                "a", many(incidents, "incident"), href=path_to(one.raw("address")), class_="chip"
            )
            if incidents
            else None,
        ),
        element(
            "p",
            name(address, "address") if named else None,
            name(one.text("mac", 20), "address"),
            element("span", "seen ", since(one.moment("last_seen"), view.now), class_="seen"),
            class_="ids",
        ),
        element(
            "ul", *(element("li", icon("medium"), f"New: {text}") for text in news), class_="news"
        )
        if news
        else None,
        element("p", "usual", *services, class_="chips small") if services else None,
        element(
            "p",
            element("span", many(one.count("flows"), "flow")),
            element("span", many(one.count("peers"), "peer")),
            _known(one, view),
            class_="small dotted",
        ),
        class_="panel fresh" if news else "panel",
    )


def _known(one: Part, view: View) -> Markup | None:
    first = one.moment("first_seen")
    if first is None or view.now is None:
        return None
    return element("span", f"known for {span(view.now - first)}", title=clock(first))


def model_page(view: View) -> Child:
    """Return what decides, and what it has learned here."""
    model = view.snapshot.part("model")
    budget, health = view.snapshot.part("budget"), view.snapshot.part("health")
    if not model:
        return (
            element("h1", "Model and learning"),
            element("p", "No model is loaded.", class_="nothing"),
        )
    return (
        element("h1", "Model and learning"),
        element(
            "div",
            element("div", _model(model)),
            element("div", _learning(model.part("learning"), health, view), budget_panel(budget)),
            class_="two even",
        ),
    )  # fmt: skip


def _model(model: Part) -> Markup:
    classes = [element("span", name(one), class_="chip") for one in model.texts("classes", 40, 40)]
    return panel(
        "Model",
        facts(
            ("Name", name(model.text("name"))),
            ("Version", model.text("version", 30) or DASH),
            ("Threshold", figure(model.number("threshold"))),
            ("Classes", classes or DASH),
            ("SHA-256", name(model.text("sha256", 64), "code")),
        ),
    )


def _learning(learning: Part, health: Part, view: View) -> Markup:
    if not learning:
        return panel("Learning", about="Nothing is learned here yet.")
    state, since_when = learning.text("state", 20), learning.moment("since")
    hours = learning.number("hours")
    reasons = health.texts("reasons", 4, 200) if health.raw("state") == "learning" else []
    elapsed = span(view.now - since_when) if since_when and view.now else DASH
    return panel(
        "Learning",
        facts(
            ("State", state or "unknown"),
            ("Hours learned", figure(hours, "h")),
            ("Since", element("span", at(since_when), f" ({elapsed})") if since_when else DASH),
        ),
        *(element("p", one, class_="small") for one in reasons),
        about=_LEARNING.get(state, ""),
    )


def settings_page(view: View) -> Child:
    """Return every setting with its default, section by section; what was changed is marked."""
    found = view.snapshot.parts("settings", 200)
    if not found:
        nothing = element("p", "The service named none.", class_="nothing")
        return (element("h1", "Settings"), nothing)
    changed = sum(_value(one, "value") != _value(one, "default") for one in found)
    about = (
        f"{many(changed, 'setting differs', 'settings differ')} from the default. "
        "Change them in the service's configuration file, then reload it."
    )
    return (
        element("h1", "Settings"),
        element("p", about, class_="about"),
        *(
            panel(section, element("ul", *map(_setting, group), class_="settings"))
            for section, group in groupby(found, _section)
        ),
    )


def _section(one: Part) -> str:
    section, dot, _ = one.text("field", 60).partition(".")
    return f"[{section}]" if dot else "General"


def _setting(one: Part) -> Markup:
    value, default = _value(one, "value"), _value(one, "default")
    section, _, key = one.text("field", 60).partition(".")
    return element(
        "li",
        element("code", name(key or section), class_="field"),
        element(
            "p",
            element("b", name(value)),
            element("span", f"default {default}", class_="small")
            if value != default
            else element("span", "default", class_="small"),
            class_="value",
        ),
        element("p", one.text("help", 300), class_="about"),
        class_="changed" if value != default else "",
    )


def _value(one: Part, key: str) -> str:
    value = one.value(key)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return clipped(", ".join(clipped(item, 80) for item in value[:20]), 200) or "none"
    return clipped(value, 200) or "none"
