"""How the program answers SIGINT, SIGTERM and SIGHUP, from its first moment to its last.

    starting, reading a file     the signal ends it at once, without a word    start.end_quietly
    writing a whole file         the unfinished file is removed first          unwinding
    reading what has no end      flows are finished; a second signal ends it   finish_on_signals
    nobody reads the output      an end after PATIENCE_S of that               writing
    compiling                    the signal ends it at once                    Guard

SIGHUP is answered like SIGTERM, unless the process was given it as ignored (``nohup``).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from idskit.process.start import SIGNALS, answered

PATIENCE_S = 3.0  # how long the end waits for a reader of the output

_unfinished: set[Path] = set()  # files to remove when the process ends before they are whole


class Ended(BaseException):
    """A signal that ends the process, on its way through what must be cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class OutputBlocked(OSError):
    """Nobody reads what is written, and the process was asked to end."""

    def __init__(self) -> None:
        super().__init__(f"its reader took nothing for {PATIENCE_S:g} s after the signal to end")


@contextmanager
def unwinding(unfinished: Path) -> Iterator[None]:
    """Remove a file that is being written before a signal ends the process."""
    numbers = [number for number in answered() if signal.getsignal(number) is signal.SIG_DFL]
    numbers = numbers if _is_main_thread() else []

    def unwind(number: int, _frame: FrameType | None) -> None:
        _set(numbers, signal.SIG_DFL)
        raise Ended(number)

    _unfinished.add(unfinished)
    _set(numbers, unwind)
    try:
        yield
    except Ended as end:
        _remove_unfinished()
        os.kill(os.getpid(), end.number)
        raise
    finally:
        _set(numbers, signal.SIG_DFL)
        _unfinished.discard(unfinished)


class _Finish:
    """An end in good order: whether it was asked for, and how long writing may take then."""

    def __init__(self) -> None:
        self.number = 0  # of the signal that asked for it
        self.is_writing = False

    @property
    def is_asked(self) -> bool:
        return self.number > 0

    def ask(self, number: int) -> None:
        """Bound the writing that goes on now, and all that follows."""
        self.number = number
        if self.is_writing:
            self.limit()

    def limit(self) -> None:
        """Let what is being written fail after PATIENCE_S."""
        signal.signal(signal.SIGALRM, self._give_up)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)

    def _give_up(self, _number: int, _frame: FrameType | None) -> None:
        if self.is_writing:
            raise OutputBlocked


_finish = _Finish()  # of the innermost finish_on_signals


@contextmanager
def finish_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Let the first signal call ``stop``; the second one does what it did before.

    Only the main thread can have this; in others nothing changes.
    """
    global _finish  # noqa: PLW0603 - signals belong to the whole process
    if not _is_main_thread():
        yield
        return
    finish = _finish = _Finish()

    def handle(number: int, _frame: FrameType | None) -> None:
        restore()
        finish.ask(number)
        stop()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, handle) for number in answered()}
    try:
        yield
    finally:
        restore()
        _finish = _Finish()


@contextmanager
def writing() -> Iterator[None]:
    """Write what others read; when an end in good order is asked for, do not wait for them long.

    Only the main thread can have this, as signals are handled there; in others nothing changes.

    Raises:
        OutputBlocked: inside, after PATIENCE_S.
    """
    if not _is_main_thread():
        yield
        return
    finish = _finish
    finish.is_writing = True
    if finish.is_asked:
        finish.limit()
    try:
        yield
    finally:
        finish.is_writing = False
        if finish.is_asked:
            signal.setitimer(signal.ITIMER_REAL, 0)


class Guard:
    """Between ``begin`` and ``end``, which may be nested, signals end the process at once.

    Python's own handlers wait until C code returns, and compilers take seconds. Where an end in
    good order was asked for before ``begin``, PATIENCE_S are left for it.
    """

    def __init__(self) -> None:
        self._depth, self._wake = 0, -1

    def begin(self) -> None:
        """Begin to watch."""
        self._depth += 1
        if self._depth == 1 and _is_main_thread():
            if self._wake < 0:
                self._wake = self._start()
            signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
            if _finish.is_asked:
                self._end_later(_finish.number)

    def end(self) -> None:
        """Leave signals to their handlers again."""
        self._depth -= 1
        if self._depth == 0 and _is_main_thread():
            signal.set_wakeup_fd(-1)

    def _start(self) -> int:
        """Start the thread that watches: what Python tells of signals is written to."""
        told, wake = os.pipe()
        os.set_blocking(wake, False)
        threading.Thread(target=self._watch, args=(told,), daemon=True).start()
        return wake

    def _watch(self, told: int) -> None:
        while number := os.read(told, 1)[0]:
            if number in SIGNALS:
                self._end(number)

    def _end_later(self, number: int) -> None:
        timer = threading.Timer(PATIENCE_S, self._end, (number,))
        timer.daemon = True
        timer.start()

    def _end(self, number: int) -> None:
        if self._depth:
            _remove_unfinished()
            os._exit(128 + number)  # as shells report a signal


def _remove_unfinished() -> None:
    for path in list(_unfinished):
        with suppress(OSError):
            path.unlink()


def _set(numbers: list[int], handler: Callable[[int, FrameType | None], None] | int) -> None:
    for number in numbers:
        signal.signal(number, handler)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
