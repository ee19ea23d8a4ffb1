"""Output files appear under their final name only when they are complete."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from idskit.errors import IdskitError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then give it its final name.

    Raises:
        IdskitError: the place cannot be written to (missing folder, no permission, full disk).
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        os.replace(partial, path)  # noqa: PTH105 - atomic: replaces an older file in one step
    except OSError as error:
        raise IdskitError(
            f"{path} cannot be written: {error.strerror or error}; nothing was left there, choose "
            "another place"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
