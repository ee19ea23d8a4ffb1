"""What onnxruntime profiles of one inference: the provider that ran each node, and its shapes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from idskit.detect.session import session_options
from idskit.modelfile.model_file import INPUT

CPU = "CPUExecutionProvider"
Node = Mapping[str, Any]


def node_shapes(content: bytes, sample: NDArray[np.float32]) -> list[Node]:
    """Return operator, types and shapes of every node of a graph as it is written.

    Args:
        content: an ONNX file.
        sample: (n, features) float32, of which the first row is run.
    """
    options = session_options(1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # packed weights have no shape in the profile
    options.add_session_config_entry("session.disable_prepacking", "1")
    return [n for n in _profile(content, sample, options, CPU) if "output_type_shape" in n]


def placement(content: bytes, provider: str, sample: NDArray[np.float32]) -> dict[str, int]:
    """Count the nodes that each execution provider ran, the most first.

    A provider that lacks a kernel leaves the node to the CPU and reports nothing.
    """
    nodes = _profile(content, sample, session_options(1), provider)
    return dict(Counter(node["provider"] for node in nodes if "provider" in node).most_common())


def placement_text(nodes: Mapping[str, int]) -> str:
    """Name the provider in use, with its share of the nodes if the CPU ran some of them."""
    total = sum(nodes.values())
    if len(nodes) == 1:
        return next(iter(nodes))
    return ", ".join(f"{name} ({count} of {total} nodes)" for name, count in nodes.items())


def _profile(
    content: bytes, sample: NDArray[np.float32], options: Any, provider: str
) -> list[Node]:
    options.enable_profiling = True
    with TemporaryDirectory(prefix="idskit-bench-") as folder:
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = onnxruntime.InferenceSession(content, options, providers=[provider])
        session.run(None, {INPUT: sample[:1]})
        events = json.loads(Path(session.end_profiling()).read_text())
    return [event.get("args", {}) for event in events]
