"""Check that a graph may run: its operators, and the memory and time that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from idskit.modelfile.onnx_file import FLOAT, Node, OnnxFile, Tensor
from idskit.modelfile.operators import CONTRIB, ML, OPERATORS, Operator
from idskit.modelfile.shape_rules import Result, Value, constant_value

ROWS = 256  # flows per inference
IR_VERSIONS = range(7, 11)  # onnxruntime 1.18 reads 10 at most
OPSETS = {"": range(17, 19), CONTRIB: range(1, 2), ML: range(3, 4)}
MAX_CONSTANT_BYTES = 64 << 20  # constants that a runtime computes once and keeps
MAX_LIVE_BYTES = 1 << 30  # values that are needed at the same time
MAX_BYTES = 4 << 30  # all values of an inference, as a bound on time
MAX_VALUE_BYTES = 256 << 20  # one value, or one buffer
MAX_MULTIPLY_ADDS = 1 << 27  # per flow


@dataclass(frozen=True)
class Step:
    """A node with its inputs and its result."""

    node: Node
    inputs: tuple[Value | None, ...]
    result: Result


def trace(graph: OnnxFile, rows: int) -> list[Step]:
    """Follow the shapes of ``rows`` flows through a graph.

    Raises:
        ValueError: an operator or attribute that export does not write, shapes that do not fit, or
            a value that takes too much memory.
    """
    values: dict[str, Value] = {n: constant_value(tensor) for n, tensor in graph.tensors.items()}
    for port in graph.inputs:
        sides = [rows, *port.shape[1:]]
        _need(all(isinstance(side, int) for side in sides), f"input {port.name!r:.50} has no shape")
        values[port.name] = Value(FLOAT, tuple(int(side) for side in sides))
    steps, kept, total, live = [], 0, 0, 0
    released = _released(graph.nodes)
    for index, node in enumerate(graph.nodes):
        step = _step(node, values)
        steps.append(step)
        for name, value in zip(node.outputs, step.result.values, strict=False):
            _need(name not in values, f"the value {name!r:.50} is made twice")
            empty = value.known is None and not value.elements
            _need(not empty, f"{_words(node)} makes nothing")
            _need(value.bytes <= MAX_VALUE_BYTES, f"{_words(node)} makes {value.bytes:,} bytes")
            kept += value.bytes if value.constant else 0
            total += value.bytes
            live += value.bytes
            if name:
                values[name] = value
        _need(kept <= MAX_CONSTANT_BYTES, f"{_words(node)} makes constants of {kept:,} bytes")
        _need(total <= MAX_BYTES, f"{rows} flows take {total:,} bytes")
        _need(live <= MAX_LIVE_BYTES, f"{rows} flows take {live:,} bytes at once")
        live -= sum(values[name].bytes for name in released[index])
    return steps


def _released(nodes: tuple[Node, ...]) -> list[list[str]]:
    """Return, for each node, the values that no later node reads and that can be freed."""
    last = {
        name: index for index, node in enumerate(nodes) for name in (*node.outputs, *node.inputs)
    }
    made = {name for node in nodes for name in node.outputs if name}
    released: list[list[str]] = [[] for _ in nodes]
    for name in made:
        released[last[name]].append(name)
    return released


def _step(node: Node, values: Mapping[str, Value]) -> Step:
    operator = OPERATORS.get((node.domain, node.kind))
    if operator is None:
        raise ValueError(f"{_words(node)} is of an operator that export does not write")
    _check_attributes(node, operator)
    inputs = tuple(_input(node, index, operator, values) for index in range(len(node.inputs)))
    least, most = operator.inputs
    _need(least <= len(inputs) <= most, f"{_words(node)} has {len(inputs)} inputs")
    try:
        with np.errstate(all="ignore"):
            result = operator.rule(node, inputs)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise ValueError(f"{_words(node)} cannot be: {error}") from error
    _need(0 < len(node.outputs) <= len(result.values), f"{_words(node)} has other outputs")
    _need(4 * result.scratch <= MAX_VALUE_BYTES, f"{_words(node)} takes a buffer too large")
    if all(value is None or value.constant for value in inputs):
        made = (Value(v.type, v.shape, v.known, constant=True) for v in result.values)
        result = Result(tuple(made), result.multiply_adds, result.weights, result.scratch)
    return Step(node, inputs, result)


def _input(node: Node, index: int, operator: Operator, values: Mapping[str, Value]) -> Value | None:
    name = node.inputs[index]
    if not name and index in operator.optional:
        return None
    _need(name in values, f"{_words(node)} reads {name!r:.50}, which is not made before it")
    return values[name]


def _check_attributes(node: Node, operator: Operator) -> None:
    for name, value in node.attributes.items():
        kind = operator.attributes.get(name, "")
        _need(
            isinstance(value, _TYPES.get(kind, ()))
            and (kind not in ("ints", "floats") or value.dtype.kind == _ARRAYS[kind]),
            f"{_words(node)} has the attribute {name!r:.50}, which export does not give it",
        )


_TYPES: dict[str, Any] = {
    "int": int,
    "float": float,
    "bytes": memoryview | bytes,
    "tensor": Tensor,
    "strings": list,
    "ints": np.ndarray,
    "floats": np.ndarray,
}
_ARRAYS = {"ints": "i", "floats": "f"}


def check_graph(graph: OnnxFile, classes: int) -> None:
    """Check that a graph maps any number of flows to rows of ``classes`` numbers.

    Raises:
        ValueError: it does not, it is of a version that export does not write, or it needs too
            much memory or time.
    """
    _check_versions(graph)
    steps = trace(graph, ROWS)
    work = sum(step.result.multiply_adds for step in steps)
    _need(work <= ROWS * MAX_MULTIPLY_ADDS, f"a flow takes {work // ROWS:,} multiply-adds")
    (output,) = graph.outputs
    for rows, found in ((ROWS, steps), (1, trace(graph, 1))):
        made = {n: v for s in found for n, v in zip(s.node.outputs, s.result.values, strict=False)}
        shape = made[output.name].shape if output.name in made else ()
        _need(shape == (rows, classes), f"it turns {rows} flows of {classes} classes into {shape}")


def _check_versions(graph: OnnxFile) -> None:
    _need(graph.ir_version in IR_VERSIONS, f"it is of ONNX's IR version {graph.ir_version}")
    _need("" in graph.opsets, "it names no operator set")
    for domain, version in graph.opsets.items():
        known = version in OPSETS.get(domain, ())
        _need(known, f"its operators are of version {version} of the domain {domain!r:.50}")


def _words(node: Node) -> str:
    return f"node {node.name or ''.join(node.outputs[:1])!r:.50} ({node.kind!r:.50})"


def _need(condition: bool, words: str) -> None:
    if not condition:
        raise ValueError(words)
