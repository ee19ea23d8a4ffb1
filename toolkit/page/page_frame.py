"""What is around every page: head, navigation, foot, and the parts that pages are made of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files

from idskit.page.control_client import Part
from idskit.page.markup import Child, Markup, clock, element, icon, name

REFRESH_S = 5
TABS = (
    ("now", "/", "Now"),
    ("incidents", "/incidents", "Incidents"),
    ("devices", "/devices", "Devices"),
    ("model", "/model", "Model"),
    ("settings", "/settings", "Settings"),
)
_NEWER, _OLDER = "\u2039 Newer", "Older \u203a"
ASSETS = {
    "page.css": "text/css; charset=utf-8",
    "refresh.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True, kw_only=True)
class View:
    """What a page is made from."""

    snapshot: Part
    form_token: str
    page: int = 1  # of a list, from 1
    show: str = "all"  # which incidents
    device: str = ""  # or those of which address

    @property
    def now(self) -> datetime | None:
        """Return the time of the snapshot, by the service's clock."""
        return self.snapshot.moment("now")


@cache
def asset(file: str) -> bytes:
    """Return a file of the page."""
    return (files("idskit.page") / "assets" / file).read_bytes()


def asset_path(file: str) -> str:
    """Return the address of a file, another one whenever its content changes."""
    return f"/{file}?v={hashlib.blake2b(asset(file), digest_size=4).hexdigest()}"


def framed(
    title: str,
    current: str,
    body: Child,
    *,
    snapshot: Part | None = None,
    waiting: int = 0,
    refresh: bool = False,
) -> bytes:
    """Return a whole page.

    Args:
        title: what the browser's tab says.
        current: the page that the navigation marks; empty for none.
        body: what is in it.
        snapshot: what it was made from; None where the service did not answer.
        waiting: number of incidents that navigation shows.
        refresh: whether it is asked for again every few seconds, with script or without.
    """
    shown = snapshot or Part(None)
    page = element(
        "html",
        _head(title, refresh),
        element(
            "body",
            element("a", "Skip to the content", href="#main", class_="skip"),
            _header(current, shown, waiting),
            element("p", "", id="away", class_="away", role="status", hidden=True),
            element("main", body, id="main"),
            _footer(shown),
            data_refresh=REFRESH_S if refresh else None,
        ),
        lang="en",
    )
    return f"<!doctype html>\n{page}\n".encode("utf-8", "backslashreplace")


def _head(title: str, refresh: bool) -> Markup:
    again = element("meta", http_equiv="refresh", content=3 * REFRESH_S)
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("link", rel="icon", href=asset_path("icon.svg"), type="image/svg+xml"),
        element("link", rel="stylesheet", href=asset_path("page.css")),
        element("noscript", again) if refresh else None,
        element("script", src=asset_path("refresh.js"), defer=True),
    )


def _header(current: str, snapshot: Part, waiting: int) -> Markup:
    host = snapshot.text("host", 40)
    brand = element(
        "a", icon("now", "logo"), element("b", "idskit"), name(host, "host") if host else None,
        href="/", class_="brand",
    )  # fmt: skip
    tabs = [
        element(
            "a",
            icon(key),
            element("span", words),
            element("b", waiting, class_="badge", aria_label=f"{waiting} open")
            if key == "incidents" and waiting
            else None,
            href=path,
            aria_current="page" if key == current else None,
        )
        for key, path, words in TABS
    ]
    return element("header", brand, element("nav", *tabs, id="nav", aria_label="Pages"))


def _footer(snapshot: Part) -> Markup:
    now, version = snapshot.moment("now"), snapshot.text("version", 20)
    return element(
        "footer",
        element("span", f"idskit {version}") if version else None,
        element("span", f"As of {clock(now)}") if now else None,
        id="foot",
    )


def panel(title: str, *children: Child, about: str = "", class_: str = "") -> Markup:
    """Return a part of a page with its heading."""
    return element(
        "section",
        element("h2", title),
        element("p", about, class_="about") if about else None,
        *children,
        class_=f"panel {class_}".rstrip(),
    )


def facts(*pairs: tuple[str, Child]) -> Markup:
    """Return a list of terms and what they are here."""
    rows = [element("div", element("dt", term), element("dd", value)) for term, value in pairs]
    return element("dl", *rows, class_="facts")


def pages_nav(path: str, page: int, size: int, total: int) -> Markup | None:
    """Return links to the pages of a list; None where one holds it all."""
    last = max(-(-total // size), 1)
    if last == 1:
        return None
    first, end = (page - 1) * size + 1, min(page * size, total)
    words = f"{first:,} to {end:,} of {total:,}"
    return steps_nav(path, page, words, has_older=page < last)


def steps_nav(path: str, page: int, words: str, *, has_older: bool) -> Markup:
    """Return links to the pages before and after one of a list."""
    sign = "&" if "?" in path else "?"
    earlier = element("a", _NEWER, href=f"{path}{sign}page={page - 1}", rel="prev")
    later = element("a", _OLDER, href=f"{path}{sign}page={page + 1}", rel="next")
    return element(
        "nav",
        earlier if page > 1 else element("span", _NEWER, class_="off"),
        element("span", words),
        later if has_older else element("span", _OLDER, class_="off"),
        class_="pages",
        aria_label="More of the list",
    )


def on_page(page: int, size: int, total: int) -> tuple[int, slice]:
    """Return the nearest page that a list has, and which of its items are on it."""
    page = min(max(page, 1), max(-(-total // size), 1))
    return page, slice((page - 1) * size, page * size)
