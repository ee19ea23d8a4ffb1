"""The first thing that the program does, before imports that take time.

``signal`` itself would be one of these: it is a face, made of enumerations, of the built-in module
that is used here.
"""

import _signal  # type: ignore[import-not-found]
import sys

SIGNALS: tuple[int, ...] = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)


def end_quietly() -> None:
    """Let signals end the program at once, without a traceback; in other programs do nothing."""
    if _is_program():
        for number in answered():
            _signal.signal(number, _signal.SIG_DFL)


def answered() -> list[int]:
    """Return the signals that are answered: not SIGHUP where it is ignored (``nohup``)."""
    ignored = _signal.getsignal(_signal.SIGHUP) == _signal.SIG_IGN
    return [number for number in SIGNALS if number != _signal.SIGHUP or not ignored]


def _is_program() -> bool:
    """Return whether Python was started as ``idskit``, or with ``-m idskit...``."""
    script = (sys.argv or [""])[0]
    if script == "-m":  # so it stays until the module is found
        pairs = zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
        script = next((name for word, name in pairs if word[:1] == "-" and word[-1:] == "m"), "")
        script = script.partition(".")[0]
    return script.rpartition("/")[2] == "idskit"
