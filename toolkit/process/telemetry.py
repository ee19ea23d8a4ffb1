"""onnxruntime's telemetry off, before anything of this package can import onnxruntime.

Version 1.29 and later look names up every few seconds and keep a device ID and a database below the
cache folder, on Linux too. Only the environment, before the first import, stops that
(``disable_telemetry_events`` does not). Whoever sets the variable himself has decided it.
"""

from __future__ import annotations

import os

VARIABLE = "ORT_DISABLE_TELEMETRY"
_YES = {"1", "true", "yes", "on"}  # what onnxruntime takes for it

if not os.environ.get(VARIABLE):
    os.environ[VARIABLE] = "1"  # child processes inherit it


def is_off() -> bool:
    """Return whether telemetry is off; False where the user lets onnxruntime connect."""
    return os.environ.get(VARIABLE, "").lower() in _YES
