"""Hostile model files, each with a word of the sentence that refuses it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOATS = TensorProto.FLOAT


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def constant(name: str, values: Any, kind: Any = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, kind), name)


def graphs() -> Iterator[tuple[str, list[Any], list[Any], str]]:
    """Name of a file, nodes and constants that are added to a good graph, and a word."""
    yield from single_nodes()
    yield from windows()
    yield from many_nodes()
    yield from trees()


def single_nodes() -> Iterator[tuple[str, list[Any], list[Any], str]]:
    """One node that must not run."""

    def one(
        name: str, kind: str, inputs: list[str], values: dict[str, Any], word: str, **more: Any
    ):
        constants = [
            constant(n, v, np.float32 if isinstance(v, float) else np.int64)
            for n, v in values.items()
        ]
        return name, [helper.make_node(kind, inputs, ["made"], **more)], constants, word

    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
    )
    yield one("loop", "Loop", ["n", ""], {"n": 2**62}, "graph within a node", body=body)
    branch = helper.make_graph([helper.make_node("Constant", [], ["c"], value_int=1)], "b", [], [])
    yield one("if", "If", ["n"], {"n": 1}, "graph within", then_branch=branch, else_branch=branch)
    yield one("sequence", "SequenceEmpty", [], {}, "does not write")
    yield one("foreign", "Anything", ["logits"], {}, "does not write", domain="evil.org")
    yield one("random", "RandomNormal", [], {}, "does not write", shape=[9, 9])
    yield one("python", "PyOp", ["logits"], {}, "does not write", domain="ai.onnx.contrib")
    filler = numpy_helper.from_array(np.ones(1, np.float32))
    for name, shape in (("fold", [1 << 40]), ("fold_sides", [1 << 15] * 3)):
        yield one(name, "ConstantOfShape", ["s"], {"s": shape}, "makes", value=filler)
    yield one("expand", "Expand", ["logits", "s"], {"s": [1 << 30, 3]}, "does not write")
    yield one("tile", "Tile", ["logits", "s"], {"s": [1 << 30, 1]}, "does not write")
    yield one("pad", "Pad", ["logits", "s"], {"s": [0, 1 << 30, 0, 0]}, "makes")
    yield one("gather", "Gather", ["logits", "s"], {"s": [99]}, "an index is too large", axis=1)
    yield one("no_such_axis", "Softmax", ["logits"], {}, "no axis 7", axis=7)
    yield one("int_div", "Div", ["a", "b"], {"a": 1, "b": 0}, "divided by zero")
    yield one("int_min_div", "Div", ["a", "b"], {"a": -(2**63), "b": -1}, "is too large")
    yield one("int_mod", "Mod", ["a", "b"], {"a": [1, 2], "b": [1, 0]}, "divided by zero")
    yield one("reshape", "Reshape", ["logits", "s"], {"s": [-1, -1]}, "must be positive")
    yield one("reshape_0", "Reshape", ["logits", "s"], {"s": [0, 0, 0]}, "no such side")
    yield one("empty", "Slice", ["logits", "a", "a", "x"], {"a": [0], "x": [1]}, "makes nothing")
    yield one("axis_far", "Squeeze", ["logits", "s"], {"s": [1 << 40]}, "no axis")
    yield one("cast_text", "Cast", ["logits"], {}, "type 8 is not known", to=TensorProto.STRING)
    yield one("mode", "Pad", ["logits", "s"], {"s": [0] * 4}, "do not fit", mode="wrap")
    yield one("attribute", "Abs", ["logits"], {}, "does not give it", alpha=1.0)
    yield one("other_type", "Softmax", ["logits"], {}, "does not give it", axis=1.0)
    yield one("before", "Abs", ["later"], {}, "not made before")
    yield one("twice", "Abs", ["logits"], {"made": 1}, "made twice")
    yield one("inputs", "Abs", ["logits", "logits"], {}, "has 2 inputs")


def windows() -> Iterator[tuple[str, list[Any], list[Any], str]]:
    """Kernels over an image that divide by zero or reach too far."""
    image = (
        constant("image", [-1, 1, 3, 1]),
        helper.make_node("Reshape", ["logits", "image"], ["i"]),
    )
    weights = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")
    window = helper.make_node("MaxPool", ["i"], ["made"], kernel_shape=[1, 1], strides=[0, 1])
    yield "stride_0", [image[1], window], [image[0]], "not positive"
    window = helper.make_node("MaxPool", ["i"], ["made"], kernel_shape=[0, 0])
    yield "kernel_0", [image[1], window], [image[0]], "not positive"
    window = helper.make_node("Conv", ["i", "w"], ["made"])
    yield "no_kernel", [image[1], window], [image[0], weights], "kernel_shape"
    window = helper.make_node("Conv", ["i", "w"], ["made"], kernel_shape=[1, 1], group=0)
    yield "group_0", [image[1], window], [image[0], weights], "kernel_shape"
    window = helper.make_node("Conv", ["i", "w"], ["made"], kernel_shape=[1, 1], pads=[1 << 30] * 4)
    yield "pads", [image[1], window], [image[0], weights], "larger than the image"


def many_nodes() -> Iterator[tuple[str, list[Any], list[Any], str]]:
    """Nodes of which each is harmless."""
    nodes = [helper.make_node("MatMul", ["logits", "up"], ["x0"])]
    nodes += [helper.make_node("MatMul", [f"x{i}", "square"], [f"x{i + 1}"]) for i in range(600)]
    matrices = [
        numpy_helper.from_array(np.ones((3, 1024), np.float32), "up"),
        numpy_helper.from_array(np.ones((1024, 1024), np.float32), "square"),
    ]
    yield "work", nodes, matrices, "multiply-adds"
    doubled = [helper.make_node("Concat", ["logits"] * 16, ["y0"], axis=1)]
    doubled += [helper.make_node("Concat", [f"y{i}"] * 16, [f"y{i + 1}"], axis=1) for i in range(8)]
    yield "doubling", doubled, [], "makes"
    many = [helper.make_node("Abs", ["logits"], [f"z{i}"]) for i in range(5000)]
    yield "nodes", many, [], "more than 4,096"


def trees() -> Iterator[tuple[str, list[Any], list[Any], str]]:
    """A tree of one split and two leaves, spoiled."""
    good = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 1],
        "target_weights": [1.0, 2.0],
        "n_targets": 3,
        "aggregate_function": "SUM",
    }
    for name, change, word in (
        ("cycle", {"nodes_falsenodeids": [0, 0, 0]}, "no tree"),
        ("two_parents", {"nodes_falsenodeids": [1, 0, 0]}, "no tree"),
        ("far_child", {"nodes_truenodeids": [1 << 40, 0, 0]}, "no tree"),
        ("feature", {"nodes_featureids": [99, 0, 0]}, "a column that is not there"),
        ("negative_feature", {"nodes_featureids": [-1, 0, 0]}, "a column that is not there"),
        ("target", {"target_ids": [0, 9]}, "a class that is not there"),
        ("target_of_a_split", {"target_nodeids": [0, 2]}, "of no leaf"),
        ("lengths", {"nodes_values": [0.5, 0.0]}, "lists differ"),
        ("mode", {"nodes_modes": ["BRANCH_EQ", "LEAF", "LEAF"]}, "no leaf and no split"),
        ("order", {"nodes_nodeids": [0, 2, 1]}, "nodes are missing"),
    ):
        node = helper.make_node(
            "TreeEnsembleRegressor", ["flows"], ["made"], domain="ai.onnx.ml", **(good | change)
        )
        yield f"tree_{name}", [node], [], word


METADATA: dict[str, tuple[str, str | None, str]] = {
    "card_list": ("idskit.card", "[1]", "no object"),
    "card_deep": ("idskit.card", '{"a":' * 5000 + "1" + "}" * 5000, "damaged"),
    "card_level": ("idskit.card", '{"a":' * 20 + "1" + "}" * 20, "no object of a few"),
    "card_wide": ("idskit.card", json.dumps({str(i): i for i in range(20_000)}), "few facts"),
    "card_long": ("idskit.card", json.dumps({"a": "b" * (1 << 20)}), "more than"),
    "card_number": ("idskit.card", '{"a": ' + "9" * 5000 + "}", "damaged"),
    "class_surrogate": ("idskit.classes", '["a", "\\ud800", "c"]', "cannot be printed"),
    "class_escape": ("idskit.classes", '["a", "\\u001b[2J", "c"]', "cannot be printed"),
    "class_line": ("idskit.classes", '["a", "b\\nforged", "c"]', "cannot be printed"),
    "class_bidi": ("idskit.classes", '["a", "\\u202eb", "c"]', "cannot be printed"),
    "class_number": ("idskit.classes", '["a", 1, "c"]', "not a name"),
    "class_list": ("idskit.classes", '["a", ["b"], "c"]', "not a name"),
    "class_twice": ("idskit.classes", '["a", "b", "b"]', "given twice"),
    "class_long": ("idskit.classes", json.dumps(["a", "b" * 101, "c"]), "not a name"),
    "class_empty": ("idskit.classes", '["a", "", "c"]', "not a name"),
    "class_text": ("idskit.classes", '"abc"', "no list"),
    "class_object": ("idskit.classes", '{"a":1,"b":2,"c":3}', "no list"),
    "classes": ("idskit.classes", json.dumps([str(i) for i in range(300)]), "damaged"),
    "threshold_nan": ("idskit.threshold", "nan", "not in [0, 1]"),
    "threshold_inf": ("idskit.threshold", "-inf", "not in [0, 1]"),
    "format": ("idskit.format", "1\x1b[2J", "model format 1\\x1b[2J"),
    "extra_key": ("idskit.\nforged", "1", "lacks or adds"),
}


def spoiled_golden(golden: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    for name, tolerance in {
        "inf": float("inf"),
        "nan": float("nan"),
        "zero": 0,
        "negative": -1,
        "wide": 0.2,
        "huge": 1e308,
    }.items():
        yield f"tolerance_{name}", golden | {"tolerance": tolerance}, "tolerance"
    yield "golden_missing", {k: v for k, v in golden.items() if k != "flows"}, "KeyError"
    yield "golden_many", golden | {"flows": "AAAAAAAAAAAAAAAA" * 400}, "golden"
    yield "golden_list", golden | {"flows": []}, "damaged"
    nans = "AADAfwAAwH8AAMB/" * 3  # nine NaN
    yield "golden_nan", golden | {"flows": nans}, "no flows with their probabilities"
    yield "golden_odds", golden | {"probabilities": nans}, "no flows with their probabilities"


def bytes_of(path: Path) -> Iterator[tuple[str, bytes, str]]:
    """Files that differ from ``path`` as bytes: two parsers may see two models in them."""
    whole = path.read_bytes()
    model = onnx.load(path)
    tensor = model.graph.initializer[0].SerializeToString()
    entry = onnx.StringStringEntryProto(key="location", value="rel.bin").SerializeToString()
    for name, number in {"tag": 13 << 3 | 2, "long_tag": (13 << 3 | 2) | 1 << 32}.items():
        hidden = tensor + varint(number) + varint(len(entry)) + entry
        word = "field 536870925" if number >> 32 else "other files"
        yield f"external_{name}", whole.replace(_part(5, tensor), _part(5, hidden)), word
    long_tag = b"\xea\x80\x80\x80\x00" + varint(len(entry)) + entry
    spoiled = whole.replace(_part(5, tensor), _part(5, tensor + long_tag))
    yield "external_long_zero", spoiled, "longer than it needs"
    yield "graph_twice", whole + _part(7, model.graph.SerializeToString()), "twice or out of order"
    yield "function", whole + varint(25 << 3 | 2) + b"\x00", "has functions"
    yield "group", whole + b"\x7b\x7c", "wire type 3"
    yield "field_0", whole + b"\x00\x00", "field 0"
    yield "unknown", whole + varint(99 << 3) + b"\x01", "field 99"
    yield "long_length", b"\x08\x88\x00" + whole[2:], "longer than it needs"
    yield "past_the_end", whole + b"\x72\xff\xff\xff\xff\x0f", "cut short"
    yield "many_small", whole + b"\x72\x00" * (1 << 20), "more than 16 values"


def _part(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def write_hostile(make_model: Callable[..., Path], folder: Path) -> dict[str, str]:
    """Write hostile files to a folder; the word that the sentence about each must hold."""
    base = onnx.load(make_model())
    strings = {p.key: p.value for p in base.metadata_props}
    words = {}

    def keep(name: str, content: bytes, word: str) -> None:
        (folder / f"{name}.onnx").write_bytes(content)
        words[name] = word

    for name, nodes, constants, word in graphs():
        model = onnx.ModelProto()
        model.CopyFrom(base)
        product, softmax = model.graph.node
        del model.graph.node[:]
        model.graph.node.extend([product, *nodes, softmax])
        model.graph.initializer.extend(constants)
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
        keep(name, model.SerializeToString(), word)
    for name, (key, value, word) in METADATA.items():
        keep(name, make_model(metadata={key: value}).read_bytes(), word)
    for name, golden, word in spoiled_golden(json.loads(strings["idskit.golden"])):
        changed = {"idskit.golden": json.dumps(golden)}
        keep(name, make_model(metadata=changed).read_bytes(), word)
    for name, weight in {"nan": np.nan, "inf": np.inf}.items():
        path = make_model(weights=np.full((3, 3), weight), golden=np.empty((0, 3)))
        keep(f"out_{name}", path.read_bytes(), "no probabilities of 3 classes")
    for name, content, word in bytes_of(make_model()):
        keep(name, content, word)
    for name, change, word in (
        ("ir", {"ir_version": 99}, "IR version 99"),
        ("opset", {"opset": 99}, "version 99"),
    ):
        model = onnx.load(make_model(opset=change.get("opset", 17)))
        model.ir_version = change.get("ir_version", 8)
        keep(name, model.SerializeToString(), word)
    return words
