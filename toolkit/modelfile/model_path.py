"""Find a model file: the one that was named, or the one that idskit ships."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib.resources import as_file, files
from pathlib import Path

SHIPPED = "shipped/ids.int8.onnx"


def model_path(model: str | Path | None = None) -> AbstractContextManager[Path]:
    """Return the path of ``model``, or of the shipped model if None, valid within the context."""
    if model is None:
        return as_file(files("idskit") / SHIPPED)
    return nullcontext(Path(model))
