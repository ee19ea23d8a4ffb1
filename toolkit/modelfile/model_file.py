"""Read a model file: check everything that it says, and write what was checked again.

An idskit model is one ONNX file. Its metadata carries everything needed to use it; the graph
carries everything that was fitted. One parser reads it (``onnx_file``), everything that it says is
checked against limits, and onnxruntime gets a file that is written from what was checked: what this
module did not see is not in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.errors import ModelError, SchemaError
from idskit.files.regular_file import read_regular
from idskit.modelfile.graph_check import check_graph
from idskit.modelfile.onnx_file import FLOAT, OnnxFile, Port, read_onnx
from idskit.modelfile.signature import Signature, require_signature
from idskit.report.text import visible
from idskit.schema import Schema

MODEL_FORMAT = 1
MAX_MODEL_BYTES = 64 << 20
INPUT, OUTPUT = "flows", "probabilities"
# Limits of the metadata. The widest tolerance that export writes, that of int8, is 0.05.
MAX_TOLERANCE = 0.1
SLACK = 1e-3  # allowed error of probabilities
MAX_GOLDEN = 256
MAX_CLASSES, MAX_CLASS_LETTERS = 256, 100
MAX_FEATURES, MAX_CATEGORIES, MAX_NAME_LETTERS = 4096, 4096, 200
MAX_CARD_VALUES, MAX_CARD_DEPTH = 10_000, 12
# Keys of the metadata, and the most letters that each value may have.
_LETTERS = {
    "idskit.format": 10,
    "idskit.schema": 4 << 20,
    "idskit.schema_sha256": 64,
    "idskit.classes": 1 << 20,
    "idskit.threshold": 30,
    "idskit.card": 1 << 20,
    "idskit.golden": 8 << 20,
}


@dataclass(frozen=True, kw_only=True)
class GoldenVectors:
    """Inputs with the outputs that the exporter saw, and the tolerance on other machines."""

    flows: NDArray[np.float32]  # (n, features)
    probabilities: NDArray[np.float32]  # (n, classes)
    tolerance: float


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """The metadata of a model file.

    ``facts`` is for people and tools: data set, protocol, training settings and hashes, metrics,
    precision, target, and the export's verification report.
    """

    schema: Schema
    classes: tuple[str, ...]  # the first is the benign one
    threshold: float  # alert when 1 - P(benign) reaches it
    facts: Mapping[str, Any]
    golden: GoldenVectors

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata strings of the ONNX file; keys start with ``idskit.``."""
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
                f"{path} is of model format {visible(metadata['idskit.format'][:50])}, but this "
                f"version reads {MODEL_FORMAT}: export it again with this version"
            )
        if metadata.keys() != _LETTERS.keys():
            odd = ", ".join(f"{key!a:.50}" for key in sorted(metadata.keys() ^ _LETTERS.keys())[:3])
            raise ModelError(f"{path} lacks or adds the metadata {odd}: export it again")
        try:
            card = cls._read(metadata)
            problem = next(_problems(card), "")
        except (KeyError, ValueError, TypeError, RecursionError, SchemaError) as error:
            problem = visible(f"{type(error).__name__}: {error}"[:200])
        if problem:
            raise ModelError(f"{path} has damaged idskit metadata ({problem}): export it again")
        if metadata["idskit.schema_sha256"] != card.schema.sha256:
            raise ModelError(
                f"{path} names another schema hash than that of the schema it carries: the file "
                "was altered; export it again"
            )
        return card

    @classmethod
    def _read(cls, metadata: Mapping[str, str]) -> ModelCard:
        long = [key for key, most in _LETTERS.items() if len(metadata[key]) > most]
        if long:
            raise ValueError(f"{long[0]} has more than {_LETTERS[long[0]]:,} letters")
        schema = Schema.from_json(metadata["idskit.schema"])
        classes = json.loads(metadata["idskit.classes"])
        golden = json.loads(metadata["idskit.golden"])
        if not isinstance(classes, list):
            raise ValueError("its classes are no list")
        return cls(
            schema=schema,
            classes=tuple(classes),
            threshold=float(metadata["idskit.threshold"]),
            facts=_facts(metadata["idskit.card"]),
            golden=GoldenVectors(
                flows=_decode(golden["flows"], len(schema)),
                probabilities=_decode(golden["probabilities"], len(classes)),
                tolerance=float(golden["tolerance"]),
            ),
        )


def _facts(text: str) -> Any:
    """Return the facts of a card; numbers that JSON does not have are None."""

    def finite(number: str) -> float | None:
        return value if math.isfinite(value := float(number)) else None

    return json.loads(text, parse_float=finite, parse_constant=lambda _: None)


def _problems(card: ModelCard) -> Iterator[str]:
    """Yield what a card says that export would not write."""
    yield from _class_problems(card.classes)
    yield from _schema_problems(card.schema)
    if not 0 <= card.threshold <= 1:
        yield f"threshold {card.threshold:g} is not in [0, 1]"
    if not isinstance(card.facts, dict) or not _is_small(card.facts):
        yield "its card is no object of a few facts"
    golden = card.golden
    if not 0 < golden.tolerance <= MAX_TOLERANCE:
        yield f"its tolerance is {golden.tolerance:g}, not more than 0 and at most {MAX_TOLERANCE}"
    if len(golden.flows) != len(golden.probabilities) or len(golden.flows) > MAX_GOLDEN:
        yield f"it has {len(golden.flows)} golden inputs, {len(golden.probabilities)} outputs"
    if not np.isfinite(golden.flows).all() or not are_probabilities(golden.probabilities):
        yield "its golden vectors are no flows with their probabilities"


def _class_problems(classes: tuple[Any, ...]) -> Iterator[str]:
    if not 2 <= len(classes) <= MAX_CLASSES:
        yield f"it has {len(classes)} classes"
    for name in classes:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_CLASS_LETTERS:
            yield f"a class is {str(name)[:20]!r}, not a name"
        elif not name.isprintable():
            yield f"the class {name!a} cannot be printed"
    if len(set(classes)) < len(classes):
        yield "a class is given twice"


def _schema_problems(schema: Schema) -> Iterator[str]:
    features = schema.features
    if not 0 < len(features) <= MAX_FEATURES or len(set(schema.names)) < len(features):
        yield f"its schema has {len(features)} features, or one of them twice"
    if any(len(feature.categories) > MAX_CATEGORIES for feature in features):
        yield "a feature has too many categories"
    texts = [schema.name, *(t for f in features for t in (f.name, f.unit, *f.categories))]
    if any(len(text) > MAX_NAME_LETTERS or not _is_text(text) for text in texts):
        yield "a name in its schema is too long or no text"


def _is_text(text: str) -> bool:
    """Return whether there are no halves of UTF-16 pairs, which no file or terminal takes."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_small(facts: Mapping[str, Any]) -> bool:
    """Return whether JSON is neither too deep nor has too many values."""
    level: list[Any] = [facts]
    total = 0
    for _ in range(MAX_CARD_DEPTH):
        total += len(level)
        lists = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, _LISTS)]
        level = [value for values in lists for value in values]
        if not level or total > MAX_CARD_VALUES:
            return total <= MAX_CARD_VALUES
    return False


_LISTS = dict, list


def are_probabilities(values: NDArray[np.float32]) -> bool:
    """Return whether each row of (n, classes) is a distribution, up to int8 rounding."""
    if not len(values):
        return True
    low, high = float(values.min()), float(values.max())
    within = low >= -SLACK and high <= 1 + SLACK  # False for NaN
    return within and bool((np.abs(values.sum(axis=1) - 1) <= SLACK).all())


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A model file that was read and checked."""

    path: Path
    sha256: str  # of the file
    size: int
    graph: OnnxFile
    card: ModelCard
    signature: Signature | None  # the signature, if one was asked for and verified

    @cached_property
    def canonical(self) -> bytes:
        """Return the ONNX file that is loaded: written from what was checked, without metadata."""
        return replace(self.graph, metadata={}).to_bytes()


def read_model(
    path: Path, *, public_key: str | Path | None = None, min_version: int | None = None
) -> ModelFile:
    """Read a model file; refuse what is unsafe.

    Args:
        path: the ONNX file, read once: what was checked is what is loaded.
        public_key: PEM file of the ed25519 key that must have signed it; nobody must when None.
        min_version: lowest version that the signature may name.

    Raises:
        ModelError: missing, too large, not signed as asked, or not a file that export writes.
        MissingExtra: a signature was asked for and cryptography is not installed.
    """
    content = read_regular(path, MAX_MODEL_BYTES, "model")
    signature = require_signature(path, content, public_key, min_version)
    return check_model(content, path, signature)


def check_model(content: bytes, path: Path, signature: Signature | None = None) -> ModelFile:
    """Check the bytes of a model file; ``path`` is for the error messages.

    Raises:
        ModelError: they are not a file that export writes.
    """
    try:
        graph = read_onnx(content)
    except ValueError as error:
        raise ModelError(
            f"{path} was given as a model, but it is not an ONNX file that `idskit export` wrote, "
            f"or is damaged ({error}): use a file that it wrote"
        ) from error
    card = ModelCard.from_metadata(graph.metadata, path)
    _check_ports(graph, card, path)
    try:
        check_graph(graph, len(card.classes))
    except ValueError as error:
        raise ModelError(
            f"{path} has a graph that `idskit export` does not write ({error}): use a file that it "
            "wrote"
        ) from error
    return ModelFile(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        graph=graph,
        card=card,
        signature=signature,
    )


def _check_ports(graph: OnnxFile, card: ModelCard, path: Path) -> None:
    """Compare the graph's input and output with the card."""
    expected_in, expected_out = (INPUT, len(card.schema)), (OUTPUT, len(card.classes))
    if not _are(graph.inputs, *expected_in) or not _are(graph.outputs, *expected_out):
        raise ModelError(
            f"{path} maps {_words(graph.inputs)} to {_words(graph.outputs)}, but its card says "
            f"{INPUT} (flows, {len(card.schema)}) to {OUTPUT} (flows, {len(card.classes)}): "
            "export it again"
        )


def _are(ports: tuple[Port, ...], name: str, columns: int) -> bool:
    """Return whether there is exactly one port, with any number of rows."""
    found = [(p.name, p.type, len(p.shape), p.shape[1:]) for p in ports]
    free = all(not isinstance(port.shape[0], int) for port in ports if port.shape)
    return free and found == [(name, FLOAT, 2, (columns,))]


def _words(ports: tuple[Port, ...]) -> str:
    return " and ".join(f"{port.name!r:.50} {list(port.shape)!s:.50}" for port in ports[:3])


def _encode(array: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()


def _decode(text: str, columns: int) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").reshape(-1, columns)
