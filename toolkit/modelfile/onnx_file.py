"""Read an ONNX file strictly as nodes and constants, and write it again from what was read.

Only what ``idskit export`` writes can be represented (field numbers of onnx.proto3,
github.com/onnx/onnx). Subgraphs, functions, sparse tensors and tensors whose data is elsewhere
cannot, so a file that has one is refused, and ``to_bytes`` writes none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.modelfile.protobuf import Bytes, Field, Layout, parse, write

FLOAT, UINT8, INT8, INT32, INT64, BOOL, FLOAT16 = 1, 2, 3, 6, 7, 9, 10  # TensorProto.DataType
DTYPES: dict[int, np.dtype[Any]] = {
    FLOAT: np.dtype("<f4"),
    UINT8: np.dtype("u1"),
    INT8: np.dtype("i1"),
    INT32: np.dtype("<i4"),
    INT64: np.dtype("<i8"),
    BOOL: np.dtype("?"),
    FLOAT16: np.dtype("<f2"),
}
MAX_NODES, MAX_TENSORS, MAX_SIDES, MAX_STRINGS = 4096, 8192, 8, 1 << 20
MAX_NAME_LETTERS = 200


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A constant."""

    name: str
    type: int  # a key of DTYPES
    shape: tuple[int, ...]
    raw: Bytes

    @property
    def array(self) -> NDArray[Any]:
        """Return the values, which are not copied."""
        return np.frombuffer(self.raw, DTYPES[self.type]).reshape(self.shape)

    @classmethod
    def of(cls, name: str, array: NDArray[Any]) -> Tensor:
        """Return the constant of an array."""
        kind = next(number for number, dtype in DTYPES.items() if dtype == array.dtype)
        return cls(name=name, type=kind, shape=array.shape, raw=array.tobytes())


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node. An attribute is a number, bytes, a tensor, an array of numbers or a list of bytes."""

    name: str = ""
    kind: str
    domain: str = ""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def ints(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return an attribute that is a list of integers."""
        return tuple(int(number) for number in self.attributes.get(name, default))


@dataclass(frozen=True, kw_only=True)
class Port:
    """An input or an output of the graph; a side without a number has a name."""

    name: str
    type: int
    shape: tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """One graph and the metadata that goes with it."""

    ir_version: int
    opsets: Mapping[str, int]  # version of each operator domain
    producer: str = ""
    name: str = ""
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """Return the canonical file: the same content gives the same bytes."""
        return write(
            {
                "ir_version": self.ir_version,
                "producer_name": self.producer or None,
                "graph": {
                    "node": map(_node_fields, self.nodes),
                    "name": self.name,
                    "initializer": map(_tensor_fields, self.tensors.values()),
                    "input": map(_port_fields, self.inputs),
                    "output": map(_port_fields, self.outputs),
                },
                "opset": [{"domain": d, "version": v} for d, v in sorted(self.opsets.items())],
                "metadata": [{"key": k, "value": v} for k, v in sorted(self.metadata.items())],
            },
            _MODEL,
        )


def read_onnx(content: bytes) -> OnnxFile:
    """Read a file that contains only what ``idskit export`` writes.

    Raises:
        ValueError: it is no ONNX file, is cut short, or has more; the message says what.
    """
    try:
        found = parse(memoryview(content), _MODEL)
        graph = found["graph"]
        return OnnxFile(
            ir_version=found["ir_version"],
            producer=_name(found.get("producer_name", "")),
            opsets=_unique((_name(o.get("domain", "")), o["version"]) for o in found["opset"]),
            name=_name(graph.get("name", "")),
            nodes=tuple(map(_node, graph["node"])),
            tensors=_unique((t["name"], _tensor(t)) for t in graph["initializer"]),
            inputs=tuple(map(_port, graph["input"])),
            outputs=tuple(map(_port, graph["output"])),
            metadata=_unique((entry["key"], entry["value"]) for entry in found["metadata"]),
        )
    except KeyError as error:
        raise ValueError(f"it lacks the field {error.args[0]}") from error


_OPSET: Layout = {1: Field("domain", "text"), 2: Field("version", "int")}
_ENTRY: Layout = {1: Field("key", "text"), 2: Field("value", "text")}
_SIDE: Layout = {1: Field("value", "int"), 2: Field("name", "text")}
_SHAPE: Layout = {1: Field("side", "message", MAX_SIDES, _SIDE)}
_TENSOR_TYPE: Layout = {1: Field("type", "int"), 2: Field("shape", "message", layout=_SHAPE)}
_TYPE: Layout = {1: Field("tensor", "message", layout=_TENSOR_TYPE)}
_PORT: Layout = {1: Field("name", "text"), 2: Field("type", "message", layout=_TYPE)}
_TENSOR: Layout = {
    1: Field("dims", "ints"),
    2: Field("type", "int"),
    8: Field("name", "text"),
    9: Field("raw", "bytes"),
    13: Field("keeps tensor data in other files", "refused"),
    14: Field("keeps tensor data in other files", "refused"),
}
_ATTRIBUTE: Layout = {
    1: Field("name", "text"),
    2: Field("float", "float"),
    3: Field("int", "int"),
    4: Field("bytes", "bytes"),
    5: Field("tensor", "message", layout=_TENSOR),
    6: Field("has a graph within a node", "refused"),
    7: Field("floats", "floats"),
    8: Field("ints", "ints"),
    9: Field("strings", "bytes", MAX_STRINGS),
    11: Field("has a graph within a node", "refused"),
    20: Field("type", "int"),
}
_NODE: Layout = {
    1: Field("input", "text", 16),
    2: Field("output", "text", 8),
    3: Field("name", "text"),
    4: Field("kind", "text"),
    5: Field("attribute", "message", 32, _ATTRIBUTE),
    7: Field("domain", "text"),
}
_GRAPH: Layout = {
    1: Field("node", "message", MAX_NODES, _NODE),
    2: Field("name", "text"),
    5: Field("initializer", "message", MAX_TENSORS, _TENSOR),
    11: Field("input", "message", 4, _PORT),
    12: Field("output", "message", 4, _PORT),
    15: Field("has sparse constants", "refused"),
}
_MODEL: Layout = {
    1: Field("ir_version", "int"),
    2: Field("producer_name", "text"),
    3: Field("producer_version", "text"),
    7: Field("graph", "message", layout=_GRAPH),
    8: Field("opset", "message", 8, _OPSET),
    14: Field("metadata", "message", 16, _ENTRY),
    25: Field("has functions", "refused"),
}
# AttributeProto.AttributeType: which field holds the value.
_HOLDERS = {
    1: "float",
    2: "int",
    3: "bytes",
    4: "tensor",
    6: "floats",
    7: "ints",
    8: "strings",
}


def _node(found: Mapping[str, Any]) -> Node:
    return Node(
        name=_name(found.get("name", "")),
        kind=_name(found["kind"]),
        domain=_name(found.get("domain", "")),
        inputs=tuple(map(_name, found["input"])),
        outputs=tuple(map(_name, found["output"])),
        attributes=_unique(map(_attribute, found["attribute"])),
    )


def _attribute(found: Mapping[str, Any]) -> tuple[str, Any]:
    """Return name and value; there is one value, of the type that the attribute names."""
    name, holder = _name(found["name"]), _HOLDERS.get(found["type"], "")
    given = {key for key, value in found.items() if key in _HOLDERS.values() and len_of(value)}
    if given - {holder} or holder not in found:
        raise ValueError(f"attribute {name!r} does not have one value of type {found['type']}")
    value = found[holder]
    return name, _tensor({"name": "", **value}) if holder == "tensor" else value


def len_of(value: Any) -> int:
    """Return the length of a list; 1 for any other value."""
    return len(value) if isinstance(value, list) else 1


def _tensor(found: Mapping[str, Any]) -> Tensor:
    name, kind, raw = _name(found["name"]), found["type"], found["raw"]
    shape = tuple(int(side) for side in found.get("dims", ())[: MAX_SIDES + 1])
    if kind not in DTYPES:
        raise ValueError(f"constant {name!r} is of type {kind}, which export does not write")
    if len(shape) > MAX_SIDES or any(side < 1 for side in shape):
        raise ValueError(f"constant {name!r} has an impossible shape")
    if math.prod(shape) * DTYPES[kind].itemsize != len(raw):
        raise ValueError(f"constant {name!r} has {len(raw)} bytes, not those of its shape")
    return Tensor(name=name, type=kind, shape=shape, raw=raw)


def _port(found: Mapping[str, Any]) -> Port:
    kind = found["type"]["tensor"]
    sides = kind["shape"]["side"]
    shape = tuple(
        side["value"] if "value" in side else _name(side.get("name", "")) for side in sides
    )
    return Port(name=_name(found["name"]), type=kind["type"], shape=shape)


def _name(text: str) -> str:
    """Return a name that can be printed; runtimes print names in their errors."""
    if len(text) > MAX_NAME_LETTERS or not text.isprintable():
        raise ValueError(f"the name {text[:50]!a} is too long or cannot be printed")
    return text


def _unique(pairs: Any) -> dict[Any, Any]:
    """Return the pairs as a mapping; refuse a key that comes twice."""
    made: dict[Any, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the name {str(key)[:50]!r} is given twice")
        made[key] = value
    return made


def _node_fields(node: Node) -> dict[str, Any]:
    attributes = sorted(node.attributes.items())
    return {
        "input": node.inputs,
        "output": node.outputs,
        "name": node.name or None,
        "kind": node.kind,
        "attribute": [_attribute_fields(name, value) for name, value in attributes],
        "domain": node.domain or None,
    }


def _attribute_fields(name: str, value: Any) -> dict[str, Any]:
    kind = _type_of(value)
    held = _tensor_fields(value) if isinstance(value, Tensor) else value
    return {"name": name, _HOLDERS[kind]: held, "type": kind, "strings": ()} | (
        {"strings": value} if _HOLDERS[kind] == "strings" else {}
    )


def _type_of(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return 6 if value.dtype.kind == "f" else 7
    kinds = {float: 1, int: 2, bytes: 3, memoryview: 3, Tensor: 4, list: 8}
    return kinds[type(value)]


def _tensor_fields(tensor: Tensor) -> dict[str, Any]:
    return {
        "dims": np.array(tensor.shape, np.int64) if tensor.shape else None,
        "type": tensor.type,
        "name": tensor.name or None,
        "raw": tensor.raw,
    }


def _port_fields(port: Port) -> dict[str, Any]:
    sides = [{"value": s} if isinstance(s, int) else {"name": s} for s in port.shape]
    return {
        "name": port.name,
        "type": {"tensor": {"type": port.type, "shape": {"side": sides}}},
    }
