"""Score flows with one model; needs numpy and onnxruntime only.

    python THIS.py flows.csv    a CSV with the model's features, found by name, or a .npy matrix
    python THIS.py --check      replay the model's golden vectors on this machine

Prints row,verdict,score of every flow: the verdict is the first class, or what attack it looks
like where the score, 1 - P(first class), reaches the threshold. `idskit export --emit python` wrote
this file next to the model that it names.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# onnxruntime 1.29 and later connect to the network and write below the cache folder otherwise.
os.environ["ORT_DISABLE_TELEMETRY"] = os.environ.get("ORT_DISABLE_TELEMETRY") or "1"
import onnxruntime

# Of the model:
MODEL = "model.onnx"  # beside this file
SHA256 = ""
FEATURES: tuple[str, ...] = ()  # columns, in the model's order
CATEGORIES: dict[str, tuple[str, ...]] = {}  # of nominal columns: codes are places, others are -1
CLASSES: tuple[str, ...] = ()
THRESHOLD = 0.5
# End of the model.

BATCH = 256

Matrix = NDArray[np.float32]


def load(path: str | Path | None = None) -> onnxruntime.InferenceSession:
    """Open the model if it is the one that this script was written for."""
    path = Path(path or Path(__file__).with_name(MODEL))
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(f"{path} is not the model that this script was written for")
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def probabilities(session: onnxruntime.InferenceSession, flows: NDArray[Any]) -> Matrix:
    """Return probabilities (n, classes) of raw flows (n, features), which must be finite."""
    rows = np.asarray(flows, np.float32)
    if rows.ndim != 2 or rows.shape[1] != len(FEATURES) or not np.isfinite(rows).all():
        raise ValueError(f"(n, {len(FEATURES)}) finite numbers are needed, not {rows.shape}")
    parts = [np.empty((0, len(CLASSES)), np.float32)]
    for start in range(0, len(rows), BATCH):
        parts += session.run(["probabilities"], {"flows": rows[start : start + BATCH]})
    return np.concatenate(parts)


def verdicts(found: Matrix) -> list[tuple[str, float]]:
    """Class and score of each row of (n, classes) probabilities."""
    scores = 1 - found[:, 0]
    labels = np.where(scores >= np.float32(THRESHOLD), 1 + found[:, 1:].argmax(axis=1), 0)
    return [(CLASSES[label], float(score)) for label, score in zip(labels, scores, strict=True)]


def read_flows(path: Path) -> NDArray[np.float64]:
    """Return flows (n, features) of a CSV or .npy file."""
    if path.suffix == ".npy":
        return np.asarray(np.load(path), np.float64)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True, restval=""))
    missing = [name for name in FEATURES if rows and name not in rows[0]]
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} columns: {', '.join(missing[:5])}")
    flows = [[_number(name, row[name]) for name in FEATURES] for row in rows]
    return np.array(flows, np.float64).reshape(-1, len(FEATURES))


def _number(name: str, text: str) -> float:
    """Return a number, or the code of a category."""
    categories = CATEGORIES.get(name, ())
    if text.strip() in categories:
        return categories.index(text.strip())
    try:
        return float(text)
    except ValueError:
        if name in CATEGORIES and text.strip():
            return -1
        raise ValueError(f"column {name} holds {text!r} where a number is due") from None


def check(session: onnxruntime.InferenceSession) -> None:
    """Compare this machine's answers with those that the exporter saw."""
    text = session.get_modelmeta().custom_metadata_map["idskit.golden"]
    golden: dict[str, Any] = json.loads(text)
    flows, expected = (
        np.frombuffer(base64.b64decode(golden[name]), "<f4").reshape(-1, columns)
        for name, columns in (("flows", len(FEATURES)), ("probabilities", len(CLASSES)))
    )
    difference = float(np.abs(probabilities(session, flows) - expected).max())
    verdict = f"{len(flows)} golden vectors differ by at most {difference:.2g}"
    if not difference <= golden["tolerance"]:
        raise ValueError(f"{verdict}, more than the {golden['tolerance']:g} allowed")
    print(f"{verdict}, allowed {golden['tolerance']:g}")


def main(arguments: list[str]) -> None:
    """Run the command line."""
    if len(arguments) != 1:
        sys.exit(f"usage: {Path(__file__).name} FLOWS.csv|FLOWS.npy|--check")
    try:
        session = load()
        if arguments == ["--check"]:
            check(session)
            return
        found = verdicts(probabilities(session, read_flows(Path(arguments[0]))))
    except (OSError, ValueError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["row", "verdict", "score"])
    out.writerows([row, *verdict] for row, verdict in enumerate(found))


if __name__ == "__main__":
    main(sys.argv[1:])
