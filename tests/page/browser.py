"""Chromium over the pipe of its DevTools protocol: pages, their console, their network."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WAIT_S = 200.0  # on a machine that does ten other things
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions",
    "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip


def program() -> str | None:
    """The path of a Chromium; None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


class Tab:
    """One tab, with the events that it has sent."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self.session = browser, session
        for domain in ("Page", "Runtime", "Log", "Network", "Security"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol."""
        return self._browser.call(method, params, self.session)

    def events(self, *methods: str) -> list[dict[str, Any]]:
        """What has happened so far."""
        self.evaluate("0")  # whatever was sent before its answer has arrived
        found = self._browser.events
        return [
            e["params"] for e in found if e["method"] in methods and e["session"] == self.session
        ]

    def console(self) -> list[str]:
        """Everything that the browser had to say of the page, violations of its policy included."""
        found = self.events("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(one) for one in found]

    def open(self, url: str) -> None:
        """Load a page, until all of it is there."""
        before = len(self.events("Page.loadEventFired"))
        self.call("Page.navigate", url=url)
        self.wait(lambda: len(self.events("Page.loadEventFired")) > before)

    def wait(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        end = time.monotonic() + WAIT_S
        while not is_so():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screen(self, width: int, height: int, *, dark: bool) -> None:
        """Be a screen of that many pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])


class Browser:
    """A running Chromium."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._numbers = itertools.count(1)
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    def tab(self) -> Tab:
        """Open a tab."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        asked = {"targetId": target, "flatten": True}
        return Tab(self, self.call("Target.attachToTarget", asked)["sessionId"])

    def call(self, method: str, params: dict[str, Any], session: str | None = None) -> Any:
        """Call a method, and keep the events that come before its answer."""
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": params}
        asked |= {"sessionId": session} if session else {}
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        while True:
            found = json.loads(self._message())
            if found.get("id") == number:
                assert "error" not in found, found
                return found["result"]
            if "method" in found:
                self.events.append({
                    "method": found["method"], "params": found["params"],
                    "session": found.get("sessionId"),
                })  # fmt: skip

    def _message(self) -> bytes:
        while b"\0" not in self._rest:
            assert select.select([self._read], [], [], WAIT_S)[0], "the browser does not answer"
            more = os.read(self._read, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return message


@contextlib.contextmanager
def running(path: str, profile: Path) -> Iterator[Browser]:
    """Run a browser whose files are in a folder of the test's."""
    asked, answered = os.pipe(), os.pipe()
    # Away from 3 and 4, which are what the browser reads and writes.
    inner = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (asked[0], answered[1])]
    os.close(asked[0])
    os.close(answered[1])
    script = f'exec "$0" "$@" 3<&{inner[0]} 4>&{inner[1]}'
    words = ["bash", "-c", script, path, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(
        words, pass_fds=inner, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        for end in inner:
            os.close(end)
        browser = Browser(answered[0], asked[1])
        try:
            yield browser
        finally:
            browser.call("Browser.close", {})
            os.close(asked[1])
            process.wait(WAIT_S)
            os.close(answered[0])
