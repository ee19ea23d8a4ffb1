"""HTTP/1.1 over one event loop: slow clients cost a buffer and no thread, and cannot pile up.

One request a connection, of at most HEAD bytes and BODY bytes, complete within CLIENT_S. Where
MOST connections are open, the one that has kept us waiting longest makes room for the next
(RFC 9112 for the syntax).
"""

from __future__ import annotations

import asyncio
import re
import ssl
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

HEAD, BODY = 8_192, 4_096  # bytes
CLIENT_S = 5.0  # to send a request, and again to take the answer
MOST = 256  # connections
_BACKLOG = 1_024
_TRACEBACKS = 10
_FORM = "application/x-www-form-urlencoded"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ONCE = ("host", "content-length", "origin", "authorization", "content-type")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client asks for."""

    method: str
    path: str  # decoded, without the query
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the client gets."""

    body: bytes = b""
    status: int = 200
    content_type: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class Refused(Exception):
    """A request that is not understood, with the status that says so."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def plain(status: int, sentence: str) -> Answer:
    """Return an answer of one sentence."""
    body = f"{sentence}\n".encode("utf-8", "backslashreplace")
    return Answer(status=status, body=body, content_type="text/plain; charset=utf-8")


class WebServer:
    """Connections, and the function that answers their requests."""

    def __init__(self, answer: Callable[[Request], Awaitable[Answer]]) -> None:
        self._answer = answer
        self._open = 0
        self._failures = 0
        self._awaited: dict[asyncio.Task[None], None] = {}  # those whose client we wait for
        self._tls: ssl.SSLContext | None = None

    async def listen(self, address: str, port: int, tls: ssl.SSLContext | None) -> asyncio.Server:
        """Open the port.

        Raises:
            OSError: it is in use, or not ours to open.
        """
        self._tls = tls
        return await asyncio.start_server(
            self._serve, address, port, limit=HEAD, backlog=_BACKLOG, reuse_address=True
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or not self._make_room():
            writer.transport.abort()
            return
        self._open += 1
        try:
            await self._converse(task, reader, writer)
        except (OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass  # gone, too slow, or it made room for another
        finally:
            self._open -= 1
            self._awaited.pop(task, None)
            writer.transport.abort()

    def _make_room(self) -> bool:
        """Return whether one more connection may be open; the longest waiting one is closed."""
        if self._open < MOST:
            return True
        oldest = next(iter(self._awaited), None)
        if oldest is None:
            return False
        del self._awaited[oldest]
        oldest.cancel()
        return True

    async def _converse(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._awaited[task] = None
        async with asyncio.timeout(CLIENT_S):
            # Here and not in start_server, so that unfinished handshakes are counted as well.
            if self._tls is not None:
                await writer.start_tls(self._tls)
            try:
                request = await read_request(reader)
            except Refused as refused:
                request = None
                answer = plain(refused.status, str(refused))
        self._awaited.pop(task, None)
        if request is not None:
            answer = await self._answered(request)
        self._awaited[task] = None
        async with asyncio.timeout(CLIENT_S):
            writer.write(written(answer, request is not None and request.method == "HEAD"))
            await writer.drain()
            await _end(reader, writer)

    async def _answered(self, request: Request) -> Answer:
        """Answer, even where that fails: a defect costs one page and a bounded number of lines."""
        try:
            return await self._answer(request)
        except Exception:
            self._failures += 1
            if self._failures <= _TRACEBACKS:
                traceback.print_exc()
            return plain(500, "The page could not be made. Please report this, with its messages.")


async def _end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close so that the client gets all of it, even where it is still sending."""
    if writer.can_write_eof():
        writer.write_eof()
        while await reader.read(HEAD):
            pass
    else:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read one request.

    Raises:
        Refused: it is no HTTP/1 request, or larger than what a page needs.
        IncompleteReadError: the client went away.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise Refused(431, f"The request's head has more than {HEAD:,} bytes.") from None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0") or words[1][:1] != "/":
        raise Refused(400, "This is no HTTP/1.1 request.")
    headers = _headers(lines)
    target = urlsplit(f"http://page{words[1]}")
    return Request(
        method=words[0],
        path=unquote(target.path, errors="replace"),
        query=_pairs(target.query),
        headers=headers,
        form=await _form(reader, headers) if words[0] == "POST" else {},
    )


def _headers(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not _NAME.fullmatch(name) or (name in found and name in _ONCE):
            raise Refused(400, "A header of the request is damaged, or given twice.")
        found[name] = value.strip(" \t")
    if "host" not in found:
        raise Refused(400, "The request does not say which host it is for.")
    return found


async def _form(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> dict[str, str]:
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
        raise Refused(411, "A form has to say its length.")
    if len(length) > 9 or int(length) > BODY:
        raise Refused(413, f"A form has at most {BODY:,} bytes.")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise Refused(415, f"A form is sent as {_FORM}.")
    return _pairs((await reader.readexactly(int(length))).decode("latin-1"))


def _pairs(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=20, errors="replace"))
    except ValueError:
        raise Refused(400, "The request has more fields than any page of ours asks for.") from None


def written(answer: Answer, without_body: bool) -> bytes:
    """Return an answer as bytes of HTTP/1.1."""
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in answer.headers),
    ]
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head if without_body else head + answer.body
