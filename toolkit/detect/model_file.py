"""The model file: what its metadata says, and what makes it safe to load.

An idskit model is one ONNX file. Its metadata carries everything needed to use it; the graph
carries everything that was fitted. The file is checked before onnxruntime sees it: a size limit,
and no tensor whose data lies in another file (CVE-2024-5187 and its kind start there).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.detect.protobuf import fields
from idskit.detect.signature import require_signature
from idskit.errors import ModelError, SchemaError
from idskit.schema import Schema

MODEL_FORMAT = 1
MAX_MODEL_BYTES = 64 << 20
INPUT, OUTPUT = "flows", "probabilities"


@dataclass(frozen=True, kw_only=True)
class GoldenVectors:
    """Inputs with the outputs that the exporter saw, and how far another machine may differ."""

    flows: NDArray[np.float32]  # (n, features)
    probabilities: NDArray[np.float32]  # (n, classes)
    tolerance: float


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What travels inside a model file beside its graph.

    ``facts`` is for people and tools: data set, protocol, training settings and hashes, metrics,
    precision, target, and the export's verification report.
    """

    schema: Schema
    classes: tuple[str, ...]  # the first is the benign one
    threshold: float  # alert when 1 - P(benign) reaches it
    facts: Mapping[str, Any]
    golden: GoldenVectors

    def to_metadata(self) -> dict[str, str]:
        """Metadata strings of the ONNX file; keys start with ``idskit.``."""
        golden = {
            "flows": _encode(self.golden.flows),
            "probabilities": _encode(self.golden.probabilities),
            "tolerance": self.golden.tolerance,
        }
        return {
            "idskit.format": str(MODEL_FORMAT),
            "idskit.schema": self.schema.to_json(),
            "idskit.schema_sha256": self.schema.sha256,
            "idskit.classes": json.dumps(list(self.classes)),
            "idskit.threshold": repr(self.threshold),
            "idskit.card": json.dumps(dict(self.facts), sort_keys=True),
            "idskit.golden": json.dumps(golden, sort_keys=True),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], path: Path) -> ModelCard:
        """Read what ``to_metadata`` wrote; ``path`` is for the error messages.

        Raises:
            ModelError: no idskit metadata, of another format, or inconsistent.
        """
        if "idskit.format" not in metadata:
            raise ModelError(
                f"{path} is an ONNX model without idskit metadata (schema, classes, threshold): "
                "use a file that `idskit export` wrote"
            )
        if metadata["idskit.format"] != str(MODEL_FORMAT):
            raise ModelError(
                f"{path} is of model format {metadata['idskit.format']}, this version reads "
                f"{MODEL_FORMAT}: export it again with this version"
            )
        try:
            schema = Schema.from_json(metadata["idskit.schema"])
            classes = tuple(map(str, json.loads(metadata["idskit.classes"])))
            golden = json.loads(metadata["idskit.golden"])
            card = cls(
                schema=schema,
                classes=classes,
                threshold=float(metadata["idskit.threshold"]),
                facts=json.loads(metadata["idskit.card"]),
                golden=GoldenVectors(
                    flows=_decode(golden["flows"], len(schema)),
                    probabilities=_decode(golden["probabilities"], len(classes)),
                    tolerance=float(golden["tolerance"]),
                ),
            )
        except (KeyError, ValueError, TypeError, SchemaError, binascii.Error) as error:
            raise ModelError(
                f"{path} has damaged idskit metadata ({error}): export it again"
            ) from (error)
        if metadata.get("idskit.schema_sha256") != schema.sha256:
            raise ModelError(
                f"{path} names another schema hash than that of the schema it carries: the file "
                "was altered; export it again"
            )
        if len(classes) < 2 or not 0 <= card.threshold <= 1:
            raise ModelError(
                f"{path} has {len(classes)} classes and threshold {card.threshold}: at least two "
                "classes and a threshold in [0, 1] are needed; export it again"
            )
        return card


def read_model(path: Path, *, public_key: str | Path | None = None) -> bytes:
    """Read a model file's bytes, refusing what is unsafe.

    Args:
        path: the ONNX file, read once: what was checked is what the caller loads.
        public_key: PEM file of the ed25519 key that must have signed it; nobody must when None.

    Raises:
        ModelError: missing, too large, not signed as asked, not ONNX, or referring to data outside
            the file.
        MissingExtra: a signature was asked for and cryptography is not installed.
    """
    content = _content(path)
    if public_key is not None:
        require_signature(path, content, Path(public_key))
    try:
        external = any(_external_tensors(memoryview(content)))
    except (IndexError, ValueError) as error:
        raise ModelError(
            f"{path} was given as a model, but it is not an ONNX file or is cut short: "
            "use a file that `idskit export` wrote"
        ) from error
    if external:
        raise ModelError(
            f"{path} keeps tensor data in other files, which idskit never loads: "
            "use a file that `idskit export` wrote"
        )
    return content


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise ModelError(
                f"{path} has {size} bytes, more than the {MAX_MODEL_BYTES} that a model may have: "
                "this is not an idskit model"
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"model {path} cannot be read: {error.strerror}; check the path"
        ) from error


def _encode(array: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()


def _decode(text: str, columns: int) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").reshape(-1, columns)


# Field numbers of onnx.proto3 (github.com/onnx/onnx): which fields lead to a TensorProto.
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION = range(7)
_CHILDREN = {
    _MODEL: {7: _GRAPH, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _TENSOR: {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # in TensorProto
_MAX_DEPTH = 16


def _external_tensors(message: memoryview, kind: int = _MODEL, depth: int = 0) -> Iterator[bool]:
    """Walk the protobuf and yield True for each tensor stored outside the file.

    Raises:
        ValueError, IndexError: the bytes are not such a message.
    """
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if not message:
        return
    for field, value in fields(message):
        if kind == _TENSOR and (
            field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value == 1)
        ):
            yield True
        child = _CHILDREN[kind].get(field)
        if child is not None and isinstance(value, memoryview):
            yield from _external_tensors(value, child, depth + 1)
