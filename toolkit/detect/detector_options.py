"""How a model file is loaded, and how its scores are judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from idskit.options import option

DEVICES = ("cpu", "cuda", "tensorrt")
MAX_THREADS = 256


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What a model runs on, and who must have signed it; loading refuses what cannot be had."""

    device: str = option(
        "cpu", "Device to run on, an error if it is missing: cpu, cuda or tensorrt", choices=DEVICES
    )
    threads: int | None = option(
        None,
        "Threads of one inference (default: all processors this process may use)",
        low=1,
        high=MAX_THREADS,
    )
    public_key: str | Path | None = option(
        None, "Require that the model is signed (MODEL.sig) with this ed25519 public key (PEM)"
    )
    min_version: int | None = option(
        None, "Lowest model version to accept from the signature", low=0
    )


@dataclass(frozen=True, kw_only=True)
class DetectorOptions(ModelOptions):
    """The same for a detector, with the score from which on it alerts."""

    threshold: float | None = option(
        None, "Score in [0, 1] from which on to alert (default: the model's own)", low=0, high=1
    )
