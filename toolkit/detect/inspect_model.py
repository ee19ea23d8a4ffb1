"""A model's card, for people and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from idskit.detect.detector import Detector
from idskit.detect.detector_options import ModelOptions
from idskit.errors import GateRefused
from idskit.modelfile.graph_facts import GraphFacts, graph_facts
from idskit.modelfile.model_file import ModelCard, read_model
from idskit.modelfile.model_path import model_path
from idskit.modelfile.signature import Signature
from idskit.report.section import facts_section, show_sections
from idskit.report.text import visible

HEAVIEST = 8  # products listed for people
MAX_SHOWN = 8192  # characters of a fact; the names of a schema are among them


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Golden vectors replayed on this machine."""

    vectors: int
    max_difference: float  # of a probability, from what the exporter saw
    tolerance: float

    @property
    def passed(self) -> bool:
        """Return whether this machine answers as the exporter's did."""
        return self.max_difference <= self.tolerance


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a model file says about itself."""

    path: str
    bytes: int
    sha256: str
    graph: GraphFacts
    card: ModelCard
    signed_by: str | None  # the public key that its signature was checked with
    signature: Signature | None  # what it says
    verification: Verification | None

    def to_json(self) -> str:
        """Return all of it as JSON, golden vectors counted and not listed."""
        checked = self.verification
        document: dict[str, Any] = {
            "path": self.path,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "signed_by": self.signed_by,
            "signed_name": self.signature and self.signature.name,
            "signed_version": self.signature and self.signature.version,
            "precision": self.graph.precision,
            "opset": self.graph.opset,
            "operators": self.graph.operators.total(),
            "nodes": dict(self.graph.operators.most_common()),
            "multiply_adds": self.graph.multiply_adds,
            "products": [asdict(product) for product in self.graph.products],
            "schema": json.loads(self.card.schema.to_json()),
            "schema_sha256": self.card.schema.sha256,
            "classes": list(self.card.classes),
            "threshold": self.card.threshold,
            "facts": dict(self.card.facts),
            "golden": {
                "vectors": len(self.card.golden.flows),
                "tolerance": self.card.golden.tolerance,
            },
            "verification": checked
            and {
                "vectors": checked.vectors,
                "max_difference": checked.max_difference,
                "tolerance": checked.tolerance,
                "passed": checked.passed,
            },
        }
        return json.dumps(document, indent=2)

    def show(self, console: Console) -> None:
        """Print for people."""
        lines = ((_cut(name), _cut(value)) for name, value in self._lines())
        show_sections([facts_section(visible(self.path), lines)], console)
        if self.verification is not None:
            console.print(_verdict(self.verification), highlight=False)

    def _lines(self) -> list[tuple[str, str]]:
        card, graph = self.card, self.graph
        return [
            ("file", f"{self.bytes:,} bytes, SHA-256 {self.sha256}"),
            *self._signature_lines(),
            ("graph", f"{graph.precision}, opset {graph.opset}"),
            ("nodes", f"{graph.operators.total()}: {_counts(graph.operators)}"),
            ("multiply-adds", f"{graph.multiply_adds:,} a flow: {_heaviest(graph)}"),
            ("schema", f"{card.schema.name}: {len(card.schema)} features a flow"),
            ("features", ", ".join(card.schema.names)),
            ("classes", ", ".join(card.classes) + f" ({card.classes[0]}: no alert)"),
            ("threshold", f"alert when 1 - P({card.classes[0]}) reaches {card.threshold:g}"),
            ("golden", f"{len(card.golden.flows)} vectors, tolerance {card.golden.tolerance:g}"),
            *_flat(card.facts),
        ]

    def _signature_lines(self) -> list[tuple[str, str]]:
        if self.signature is None:
            return []
        made = f"as {self.signature.name}, version {self.signature.version}"
        return [("signed", f"by the owner of {self.signed_by} {made}")]


def inspect(
    model: str | Path | None = None,
    options: ModelOptions = ModelOptions(),  # noqa: B008 - it is frozen
    *,
    verify: bool = False,
) -> Inspection:
    """Read a model's card.

    Args:
        model: the ONNX file; None for the model that idskit ships.
        options: who must have signed the file, and what it is verified on.
        verify: replay the golden vectors on this machine.

    Raises:
        ModelError: missing, damaged, foreign or unsafe file, not signed as asked, or nothing to
            verify.
        DeviceError: the device is not available.
        MissingExtra: a signature was asked for and cryptography is not installed.
    """
    public_key = options.public_key
    with model_path(model) as path:
        file = read_model(path, public_key=public_key, min_version=options.min_version)
    detector = Detector.from_file(file, device=options.device, threads=options.threads)
    return Inspection(
        path=str(file.path),
        bytes=file.size,
        sha256=file.sha256,
        graph=graph_facts(file.graph),
        card=detector.card,
        signed_by=None if public_key is None else str(public_key),
        signature=file.signature,
        verification=_verification(detector) if verify else None,
    )


def require_verified(inspection: Inspection) -> None:
    """Raise the gate's no where this machine answers otherwise than the exporter's.

    Raises:
        GateRefused: the golden vectors differ by more than their tolerance.
    """
    checked = inspection.verification
    if checked is not None and not checked.passed:
        raise GateRefused(
            f"{inspection.path} differs by {checked.max_difference:.2g} from its golden vectors on "
            f"this machine, more than the {checked.tolerance:g} allowed: export it for this "
            "machine (idskit export --target)"
        )


def _verification(detector: Detector) -> Verification:
    golden = detector.card.golden
    return Verification(
        vectors=len(golden.flows),
        max_difference=detector.verify(),
        tolerance=golden.tolerance,
    )


def _verdict(checked: Verification) -> str:
    words = "[green]verified[/green]" if checked.passed else "[red]not verified[/red]"
    return (
        f"{words}: {checked.vectors} golden vectors differ by at most "
        f"{checked.max_difference:.2g}, allowed {checked.tolerance:g}"
    )


def _counts(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


def _heaviest(graph: GraphFacts) -> str:
    """Return the products that cost most; JSON lists them all."""
    falling = sorted(graph.products, key=lambda product: -product.multiply_adds)
    shown = [
        f"{product.name} {product.multiply_adds / graph.multiply_adds:.0%}"
        for product in falling[:HEAVIEST]
    ]
    more = len(falling) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _cut(text: str) -> str:
    """Return a text of any length as people read it; JSON has all of it."""
    return visible(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} ...")


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return facts as (dotted name, value) lines."""
    lines: list[tuple[str, str]] = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            lines.append((prefix + name, text))
    return lines
