"""The fp32 twin of an int8 file: the same graph with its quantised matrices computed in fp32.

A gateway has only the int8 file, and still wants to know whether int8 paid. onnxruntime makes the
twin out of the file itself, when told to fold the weights back and to drop quantisation between
layers. The twin is as fast as the fp32 export; its answers mean nothing, for what the quantiser
cut off (ReLU among it) is missing.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import onnxruntime

from idskit.bench.backends import Candidate, Rows
from idskit.detect.model_file import INPUT, OUTPUT
from idskit.detect.session import require_provider, session_options

_AS_FP32 = ("session.disable_quant_qdq", "session.enable_quant_qdq_cleanup")


def fp32_twin(candidate: Candidate, path: Path) -> Candidate:
    """What ``candidate``, opened from the int8 file ``path``, would be at fp32."""
    execution = candidate.execution
    options = session_options(execution.threads)
    for entry in _AS_FP32:
        options.add_session_config_entry(entry, "1")
    provider = require_provider(execution.provider_asked)
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=[provider])
    loaded = time.perf_counter()

    def infer(rows: Rows) -> object:
        return session.run([OUTPUT], {INPUT: rows})[0]

    infer(candidate.sample[:1])
    return replace(
        candidate,
        model=replace(candidate.model, name=f"{candidate.model.name} at fp32", precision="fp32"),
        infer=infer,
        detector=None,
        accuracy=None,
        init_ms=(loaded - start) * 1e3,
        first_ms=(time.perf_counter() - loaded) * 1e3,
    )
