"""Which request gets which page, with the headers that keep the page to itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from idskit.page.control_client import ControlClient, Part, ServiceAway
from idskit.page.incident_pages import (
    OLDER,
    SIZE,
    VERDICTS,
    incident_page,
    incidents_page,
    index_of,
    older_page,
    path_of,
    title_of,
)
from idskit.page.markup import Child, element, icon
from idskit.page.now_page import away_page, headline, now_page
from idskit.page.page_access import Access
from idskit.page.page_frame import ASSETS, View, asset, framed
from idskit.page.site_pages import devices_page, model_page, settings_page
from idskit.page.web_server import Answer, Request, plain

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
GUARDS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # Not no-referrer: browsers would send our own forms with the origin "null".
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
_MOST_IDENTIFIER = 200  # characters
_PAGES: dict[str, tuple[str, str, Callable[[View], Child]]] = {
    "/": ("Now", "now", now_page),
    "/incidents": ("Incidents", "incidents", incidents_page),
    "/devices": ("Devices", "devices", devices_page),
    "/model": ("Model and learning", "model", model_page),
    "/settings": ("Settings", "settings", settings_page),
}


class PageAnswers:
    """Answers to requests, from what the service says."""

    def __init__(self, socket: Path, access: Access) -> None:
        self._service = ControlClient(socket)
        self._access = access

    async def __call__(self, request: Request) -> Answer:
        """Answer a request, whatever is in it."""
        answer = await self._answer(request)
        kept = any(key == "Cache-Control" for key, _ in answer.headers)
        stored = () if kept else (("Cache-Control", "no-store"),)
        return Answer(
            body=answer.body,
            status=answer.status,
            content_type=answer.content_type,
            headers=(*GUARDS, *stored, *answer.headers),
        )

    async def _answer(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD", "POST"):
            refused = plain(405, "Pages are read with GET; verdicts are sent with POST.")
            return Answer(
                body=refused.body,
                status=405,
                content_type=refused.content_type,
                headers=(("Allow", "GET, HEAD, POST"),),
            )
        if refusal := self._access.refusal(request):
            return plain(403, refusal)
        if request.path[1:] in ASSETS and request.method != "POST":
            return _file(request.path[1:])
        if request.path == "/login":
            return self._login(request)
        if not self._access.is_signed_in(request):
            return _moved("/login")
        return await self._signed_in(request)

    async def _signed_in(self, request: Request) -> Answer:
        try:
            if request.method == "POST":
                return await self._post(request)
            return await self._get(request)
        except ServiceAway as away:
            body = framed("No answer · idskit", "", away_page(str(away)), refresh=True)
            return Answer(status=503, body=body)

    async def _get(self, request: Request) -> Answer:
        if request.path in _PAGES:
            title, current, make = _PAGES[request.path]
            view = await self._view(request)
            words = headline(view).words if current == "now" else title
            return _page(view, words, current, make(view))
        if request.path == OLDER:
            return await self._older(await self._view(request))
        return await self._with_incident(request, request.path, self._incident)

    async def _view(self, request: Request) -> View:
        page = request.query.get("page", "")
        return View(
            snapshot=await self._service.snapshot(),
            form_token=self._access.form_token(request),
            page=int(page) if page.isascii() and page.isdigit() and len(page) < 8 else 1,
            show=request.query.get("show", "all"),
            device=request.query.get("device", "")[:200],
        )

    async def _older(self, view: View) -> Answer:
        """Answer with incidents that the snapshot does not have, one page of them."""
        skip = len(index_of(view.snapshot).every) + (view.page - 1) * SIZE
        found = await self._service.older(skip, SIZE + 1)
        return _page(view, "Older incidents", "older", older_page(view, found))

    async def _with_incident(
        self,
        request: Request,
        path: str,
        answer: Callable[[Request, View, Part], Awaitable[Answer]],
    ) -> Answer:
        view = await self._view(request)
        start, _, identifier = path.partition("/incidents/")
        found = None if start else index_of(view.snapshot).by_id.get(identifier)
        if found is None and not start and 0 < len(identifier) <= _MOST_IDENTIFIER:
            found = await self._service.incident(identifier)
        if not identifier or found is None:
            return _unknown(view)
        return await answer(request, view, found)

    async def _incident(self, _request: Request, view: View, found: Part) -> Answer:
        return _page(view, title_of(found), "incidents", incident_page(found, view))

    async def _post(self, request: Request) -> Answer:
        if not self._access.is_own_form(request):
            return plain(
                403, "The form is of an earlier page. Go back, load the page again, and send it."
            )
        path = request.path.removesuffix("/verdict")
        if path == request.path:
            return plain(405, "Nothing here takes a form.")
        return await self._with_incident(request, path, self._verdict)

    async def _verdict(self, request: Request, view: View, found: Part) -> Answer:
        verdict = request.form.get("verdict", "")
        if verdict not in VERDICTS:
            return plain(400, f"A verdict is one of {', '.join(VERDICTS)}.")
        refused = await self._service.verdict(found.raw("incident_id"), verdict)
        if refused:
            body = element("p", icon("medium"), refused, class_="nothing")
            return _page(view, "Not accepted", "incidents", body, status=409)
        return _moved(path_of(found))

    def _login(self, request: Request) -> Answer:
        if request.method != "POST":
            return _login_page("")
        if not self._access.is_token(request.form.get("token", "").strip()):
            return _login_page("That is not the token.", status=403)
        return _moved("/", ("Set-Cookie", self._access.new_session()))


def _page(view: View, title: str, current: str, body: Child, status: int = 200) -> Answer:
    waiting = len(index_of(view.snapshot).alarming)
    start = f"({waiting}) " if waiting else ""
    host = view.snapshot.text("host", 40) or "idskit"
    made = framed(
        f"{start}{title} · {host}",
        current,
        body,
        snapshot=view.snapshot,
        waiting=waiting,
        refresh=current in ("now", "incidents", "devices") and status == 200,
    )
    return Answer(status=status, body=made)


def _unknown(view: View) -> Answer:
    body = (
        element("h1", "There is no such page"),
        element("p", "An incident that is no longer kept may still be in the EVE file."),
        element("p", element("a", "To the incidents", href="/incidents")),
    )
    return _page(view, "No such page", "", body, status=404)


def _login_page(sentence: str, status: int = 200) -> Answer:
    form = element(
        "form",
        element("h1", "Sign in"),
        element("p", "The token is in the file that token_file of the page's options names."),
        element("p", icon("medium"), sentence, class_="alarm") if sentence else None,
        element("label", "Token", for_="token"),
        element(
            "input", id="token", name="token", type="password", required=True,
            autocomplete="current-password",
        ),
        element("button", element("b", "Sign in")),
        method="post",
        action="/login",
        class_="login panel",
    )  # fmt: skip
    return Answer(status=status, body=framed("Sign in · idskit", "", form))


def _moved(path: str, *headers: tuple[str, str]) -> Answer:
    return Answer(status=303, content_type="text/plain", headers=(("Location", path), *headers))


def _file(file: str) -> Answer:
    kept = ("Cache-Control", "public, max-age=31536000, immutable")
    return Answer(body=asset(file), content_type=ASSETS[file], headers=(kept,))
