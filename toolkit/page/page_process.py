"""The page's own process: how the service starts it, and which rights it gives up first.

service                                  page
start_page: python -m ... page_process  ---> reads its options from standard input
                                         reads token and key, opens the port, drops rights
PageProcess.url                    <---  says its address, or the error, on standard output
holds the pipe to standard input         ends when that pipe is closed, however the service ended
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import json
import os
import resource
import select
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from idskit.errors import IdskitError
from idskit.files.output import reason
from idskit.page.page_access import Access
from idskit.page.page_answers import PageAnswers
from idskit.page.page_frame import ASSETS, asset
from idskit.page.page_options import PageOptions, Protection, protection_of
from idskit.page.web_server import WebServer

START_S = 60.0  # a small gateway under load takes that long to start Python
_ENVIRONMENT = ("LANG", "LC_ALL", "TZ")  # nothing else: it may hold secrets of the service
_LIMITS = {
    resource.RLIMIT_NOFILE: 512,  # twice the connections
    resource.RLIMIT_NPROC: 0,  # no child, no thread
    resource.RLIMIT_FSIZE: 0,  # no byte into any file
    resource.RLIMIT_CORE: 0,  # the token would be in it
    resource.RLIMIT_DATA: 512 << 20,
}
# prctl(2), capset(2), landlock(7)
_DUMPABLE, _NO_NEW_PRIVS, _AMBIENT, _CLEAR_ALL = 4, 38, 47, 4
_CAPABILITIES_3 = 0x20080522
_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # system calls, the same on all architectures
_WRITES = {1: 0x1FF2, 2: 0x3FF2, 3: 0x7FF2, 5: 0xFFF2}  # every right to change files, by version
_TCP, _SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals of others


@dataclass(frozen=True, kw_only=True)
class PageProcess:
    """A page that runs; it ends with ``close``, or with the process that started it."""

    url: str
    landlock: int  # version of the kernel's Landlock that confines it; 0 where there is none
    process: subprocess.Popen[bytes]

    def close(self) -> None:
        """End it."""
        self.process.kill()
        _release(self.process)


def start_page(options: PageOptions, socket: Path) -> PageProcess:
    """Start the page in a process of its own, and wait until it listens.

    Args:
        options: where it listens and what protects it.
        socket: the control socket of the service.

    Raises:
        IdskitError: it cannot be served; the sentence is the page's own.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "idskit.page.page_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        cwd="/",
        start_new_session=True,  # a Ctrl-C is for the service, which then ends the page
    )
    found: dict[str, Any] = {}
    try:
        found = _first_word(process, {"options": _plain(options), "socket": str(socket.absolute())})
    finally:
        if "url" not in found:
            process.kill()
            _release(process)
    if "url" not in found:
        raise IdskitError(str(found.get("error", "the page did not start: see its messages")))
    return PageProcess(url=found["url"], landlock=found["landlock"], process=process)


def _first_word(process: subprocess.Popen[bytes], asked: dict[str, Any]) -> dict[str, Any]:
    if process.stdin is None or process.stdout is None:
        return {}
    try:
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return {}
    if not select.select([process.stdout], [], [], START_S)[0]:
        return {"error": f"the page did not start within {START_S:g} s: see its messages"}
    found: dict[str, Any] = json.loads(process.stdout.readline() or b"{}")
    return found


def _release(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait()


def _plain(options: PageOptions) -> dict[str, Any]:
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return {
        name: str(Path(value).absolute()) if isinstance(value, Path) else value
        for name, value in values.items()
    }


def run_child() -> int:
    """Be the process that ``start_page`` started; return its exit status."""
    asked = json.loads(_line(sys.stdin.fileno()))
    try:
        serve(_options(asked["options"]), Path(asked["socket"]), lifeline=sys.stdin.fileno())
    except IdskitError as error:
        _say({"error": str(error)})
        return error.exit_code
    return 0


def _line(descriptor: int) -> bytes:
    """Read one line and nothing after it."""
    found = b""
    while not found.endswith(b"\n") and (one := os.read(descriptor, 1)):
        found += one
    return found


def _options(found: dict[str, Any]) -> PageOptions:
    paths = ("token_file", "tls_certificate", "tls_key")
    given: dict[str, Any] = {name: Path(found[name]) for name in paths if found[name] is not None}
    return PageOptions(**found | given)


def _say(word: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(word) + "\n")
    sys.stdout.flush()


def serve(options: PageOptions, socket: Path, lifeline: int | None = None) -> None:
    """Serve the page until the process ends; it gives up its rights once the port is open.

    Args:
        options: where it listens and what protects it.
        socket: the control socket of the service.
        lifeline: a pipe at whose end the page ends; None to serve for ever.

    Raises:
        IdskitError: an option cannot be used, or the port cannot be opened.
    """
    protection = protection_of(options)
    _load_assets()
    asyncio.run(_serve(options, protection, socket, lifeline))


def _load_assets() -> None:
    """Read the files of the page now: later it needs no file, and an incomplete one is said."""
    try:
        for file in ASSETS:
            asset(file)
    except OSError as error:
        raise IdskitError(
            f"{error.filename} of the page cannot be read: {reason(error)}; install idskit again"
        ) from error


async def _serve(
    options: PageOptions, protection: Protection, socket: Path, lifeline: int | None
) -> None:
    access = Access(
        token=protection.token,
        host_names=protection.host_names,
        is_tls=protection.tls is not None,
    )
    web = WebServer(PageAnswers(socket, access))
    try:
        server = await web.listen(options.listen, options.port, protection.tls)
    except OSError as error:
        raise IdskitError(
            f"the page cannot listen on {options.listen} port {options.port}: {reason(error)}; "
            "choose another with listen and port"
        ) from error
    landlock = drop_rights()
    _say({"url": _url(options.listen, server, protection), "landlock": landlock})
    if lifeline is None:
        await server.serve_forever()
    else:
        await _closed(lifeline)
        os._exit(0)  # whoever is connected: nobody is left to answer for


async def _closed(pipe: int) -> None:
    ended = asyncio.Event()

    def read() -> None:
        if not os.read(pipe, 4_096):
            asyncio.get_running_loop().remove_reader(pipe)
            ended.set()

    asyncio.get_running_loop().add_reader(pipe, read)
    await ended.wait()


def _url(listen: str, server: asyncio.Server, protection: Protection) -> str:
    port = server.sockets[0].getsockname()[1]
    host = f"[{listen}]" if ":" in listen else listen
    return f"{'http' if protection.tls is None else 'https'}://{host}:{port}/"


def drop_rights() -> int:
    """Give up every right that serving a page does not need, for good.

    What remains: the open port, the right to connect to Unix sockets, and to read files that the
    user may read. Nothing can be written, started, bound, or connected to over TCP.

    Returns:
        The version of Landlock that holds it to the last sentence; 0 where the kernel has none,
        and limits and capabilities alone hold it.

    Raises:
        IdskitError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _check(libc.prctl(_DUMPABLE, 0, 0, 0, 0), "dumpable")
    _check(libc.prctl(_AMBIENT, _CLEAR_ALL, 0, 0, 0), "ambient capabilities")
    header = struct.pack("Ii", _CAPABILITIES_3, 0)
    _check(libc.capset(header, bytes(24)), "capabilities")
    version = _landlock(libc.syscall)
    for limit, most in _LIMITS.items():
        hard = resource.getrlimit(limit)[1]
        new = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (new, new))
    return version


def _check(returned: int, what: str) -> int:
    if returned < 0:
        found = os.strerror(ctypes.get_errno())
        raise IdskitError(f"the page cannot give up its rights ({what}: {found}): report this")
    return returned


def _landlock(system_call: Callable[..., int]) -> int:
    """Forbid to change files, and to bind or connect TCP sockets; return the kernel's version."""
    version = system_call(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    # A container's filter of system calls may answer EPERM.
    if version < 0 and ctypes.get_errno() in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
        return 0
    _check(version, "landlock")
    writes = max(rights for since, rights in _WRITES.items() if since <= version)
    sizes = 3 if version >= 6 else 2 if version >= 4 else 1
    attributes = struct.pack("=3Q", writes, _TCP, _SCOPES)[: 8 * sizes]
    ruleset = _check(
        system_call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0), "landlock"
    )
    _check(system_call(_RESTRICT_SELF, ruleset, 0), "landlock")
    os.close(ruleset)
    return version


if __name__ == "__main__":  # the child process of ``start_page``
    sys.exit(run_child())
