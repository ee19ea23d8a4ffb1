"""A client of the page that may say anything, and a parser that allows only what pages have."""

from __future__ import annotations

import http.client
import re
import ssl
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urlencode, urlsplit

FORM = "application/x-www-form-urlencoded"
WAIT_S = 90.0  # more than the page waits for the service


@dataclass(frozen=True, kw_only=True)
class Got:
    """An answer."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: str


def ask(
    url: str,
    path: str = "/",
    *,
    method: str = "GET",
    form: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Got:
    """Send one request; a form is sent as a browser would."""
    parts = urlsplit(url)
    assert parts.hostname
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    more = {"context": tls} if tls else {}
    link = kind(parts.hostname, parts.port, timeout=WAIT_S, **more)  # type: ignore[arg-type]
    sent = dict(headers or {})
    body = None
    if form is not None:
        method, body = "POST", urlencode(form)
        sent = {"Content-Type": FORM, "Origin": f"{parts.scheme}://{parts.netloc}"} | sent
    try:
        link.request(method, path, body=body, headers={k: v for k, v in sent.items() if v})
        found = link.getresponse()
        lowered = {name.lower(): value for name, value in found.getheaders()}
        return Got(status=found.status, headers=lowered, body=found.read().decode())
    finally:
        link.close()


_VOID = {"br", "input", "link", "meta"}
_ELEMENTS = _VOID | {
    "html", "head", "title", "noscript", "script", "body", "a", "header", "nav", "main", "footer",
    "section", "div", "p", "span", "b", "i", "ul", "ol", "li", "dl", "dt", "dd", "h1", "h2", "h3",
    "bdi", "time", "code", "details", "summary", "figure", "figcaption", "form", "button", "label",
    "svg", "path", "rect", "circle",
}  # fmt: skip
_ATTRIBUTES = {
    "lang", "charset", "name", "content", "http-equiv", "rel", "href", "type", "src", "defer",
    "class", "id", "role", "hidden", "title", "for", "datetime", "aria-label", "aria-current",
    "aria-hidden", "aria-pressed", "method", "action", "value", "required", "autocomplete",
    "data-refresh", "viewbox", "preserveaspectratio", "d", "x", "y", "width", "height", "rx", "cx",
    "cy", "r", "stroke-dasharray",
}  # fmt: skip
_LINK = re.compile(r"/(?!/)[!-~]*|#main")


class Checked(HTMLParser):
    """A page of which every element, attribute and link is one that our pages may have."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.fields: dict[str, str] = {}
        self._open: list[str] = []
        assert page.startswith("<!doctype html>\n")
        self.feed(page)
        self.close()
        assert self._open == []
        assert len(set(self.ids)) == len(self.ids)

    @property
    def text(self) -> str:
        """What people read."""
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert tag in _ELEMENTS, tag
        assert set(found) <= _ATTRIBUTES, (tag, found)
        assert len(found) == len(attrs)
        if tag == "script":
            assert re.fullmatch(r"/refresh\.js\?v=[0-9a-f]{8}", found["src"] or "")
        for key in ("href", "action", "src"):
            if key in found:
                assert _LINK.fullmatch(found[key] or ""), found[key]
                self.links.append(found[key] or "")
        if tag == "input":
            self.fields[found["name"] or ""] = found.get("value") or ""
        self.ids += [found["id"] or ""] if "id" in found else []
        self._open += [] if tag in _VOID else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            raise AssertionError("script within the page")
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("comment in a page")

    def handle_pi(self, data: str) -> None:
        raise AssertionError("processing instruction in a page")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError("declaration in a page")
