"""Files of others are read whole within a limit, and only regular ones."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from idskit.errors import ModelError
from idskit.files.output import reason


def read_regular(path: Path, most: int, what: str) -> bytes:
    """Read a regular file of at most ``most`` bytes; a pipe or a device is never waited for.

    Args:
        path: the file.
        most: compared with what is read, not with what the system says of its size.
        what: it is, for the error messages.

    Raises:
        ModelError: missing, unreadable, too large, or no regular file.
    """
    try:
        content = _read(path, most, what)
    except OSError as error:
        raise ModelError(
            f"{what} {path} cannot be read: {reason(error)}; check the path"
        ) from error
    if len(content) > most:
        raise ModelError(
            f"{what} {path} has more than the {most:,} bytes that it may have: name another file"
        )
    return content


def _read(path: Path, most: int, what: str) -> bytes:
    """At most one byte more than ``most``, so that the caller sees where there are more."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "")
        if not stat.S_ISREG(mode):
            raise ModelError(f"{what} {path} is a pipe or a device, not a file: name a file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most + 1)
    finally:
        os.close(descriptor)
