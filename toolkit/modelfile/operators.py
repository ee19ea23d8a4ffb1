"""The operators that ``idskit export`` writes, with the attributes that it gives them.

An operator that is not listed here is not in a model that idskit loads: there are no loops, no
branches, nothing that reads files or makes random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from idskit.modelfile import shape_rules as rules
from idskit.modelfile.onnx_file import BOOL

CONTRIB, ML = "com.microsoft", "ai.onnx.ml"


@dataclass(frozen=True)
class Operator:
    """A shape rule, the number of inputs, and the types of the attributes that are allowed."""

    rule: rules.Rule
    inputs: tuple[int, int]  # least and most
    attributes: Mapping[str, str]
    optional: tuple[int, ...] = ()  # indices of inputs that may be absent


def _operator(rule: rules.Rule, least: int, most: int = 0, /, **attributes: str) -> Operator:
    return Operator(rule, (least, most or least), attributes)


_FUNCTIONS: dict[str, rules.Function | None] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": rules.divide,
    "Mod": rules.modulo,
    "Max": np.maximum,
    "Min": np.minimum,
    "Pow": None,
}


_IMAGE = {"kernel_shape": "ints", "strides": "ints", "pads": "ints"}
_TREES = dict.fromkeys(("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids"), "ints")
# Operators by domain and name, with all the attributes that export gives them.
OPERATORS: dict[tuple[str, str], Operator] = {
    **{
        ("", kind): _operator(rules.same_rule, 1)
        for kind in ("Abs", "Cos", "Erf", "Log", "Relu", "Sigmoid", "Sign")
    },
    **{
        ("", kind): _operator(rules.elementwise(function), 2)
        for kind, function in _FUNCTIONS.items()
    },
    ("", "Equal"): _operator(rules.elementwise(np.equal, BOOL), 2),
    ("", "Where"): _operator(rules.elementwise(np.where), 3),
    ("", "Identity"): _operator(rules.identity, 1),
    ("", "Clip"): _operator(rules.clip, 3),
    ("", "Cast"): _operator(rules.cast, 1, to="int"),
    ("", "Shape"): _operator(rules.shape_rule, 1),
    ("", "Constant"): _operator(rules.constant_rule, 0, value="tensor"),
    ("", "ConstantOfShape"): _operator(rules.constant_of_shape, 1, value="tensor"),
    ("", "Gather"): _operator(rules.gather, 2, axis="int"),
    ("", "Concat"): _operator(rules.concat, 1, 16, axis="int"),
    ("", "Slice"): _operator(rules.slice_rule, 3, 5),
    ("", "Reshape"): _operator(rules.reshape, 2, allowzero="int"),
    ("", "Squeeze"): _operator(rules.squeeze, 2),
    ("", "Unsqueeze"): _operator(rules.unsqueeze, 2),
    ("", "Flatten"): _operator(rules.flatten, 1, axis="int"),
    ("", "Transpose"): _operator(rules.transpose, 1, perm="ints"),
    ("", "Pad"): Operator(rules.pad, (2, 3), {"mode": "bytes"}, optional=(2,)),
    ("", "Split"): _operator(rules.split, 2, axis="int"),
    ("", "ReduceMax"): _operator(rules.reduce, 1, axes="ints", keepdims="int"),
    ("", "ReduceMean"): _operator(rules.reduce, 1, axes="ints", keepdims="int"),
    ("", "Softmax"): _operator(rules.softmax, 1, axis="int"),
    ("", "LayerNormalization"): _operator(rules.layer_norm, 3, axis="int", epsilon="float"),
    ("", "MatMul"): _operator(rules.matmul, 2),
    ("", "Gemm"): _operator(
        rules.gemm, 2, 3, alpha="float", beta="float", transA="int", transB="int"
    ),
    ("", "Conv"): _operator(rules.conv, 2, 3, dilations="ints", group="int", **_IMAGE),
    ("", "MaxPool"): _operator(rules.pool, 1, ceil_mode="int", dilations="ints", **_IMAGE),
    ("", "QuantizeLinear"): _operator(rules.quantize, 3),
    ("", "DequantizeLinear"): _operator(rules.dequantize, 2, 3, axis="int"),
    ("", "GRU"): Operator(
        rules.recurrent(3, 1),
        (6, 6),
        {"hidden_size": "int", "linear_before_reset": "int"},
        optional=(4, 5),
    ),
    ("", "LSTM"): Operator(
        rules.recurrent(4, 2), (7, 7), {"hidden_size": "int"}, optional=(4, 5, 6)
    ),
    (CONTRIB, "NhwcMaxPool"): _operator(rules.nhwc_pool, 1, **_IMAGE),
    (CONTRIB, "QGemm"): _operator(rules.qgemm, 7),
    (CONTRIB, "QLinearAdd"): _operator(rules.qlinear_binary, 8),
    (CONTRIB, "QLinearMul"): _operator(rules.qlinear_binary, 8),
    (CONTRIB, "QLinearSigmoid"): _operator(rules.qlinear_unary, 5),
    (CONTRIB, "QLinearConv"): _operator(rules.qlinear_conv, 9, channels_last="int", **_IMAGE),
    (ML, "TreeEnsembleRegressor"): _operator(
        rules.trees,
        1,
        n_targets="int",
        aggregate_function="bytes",
        nodes_modes="strings",
        nodes_values="floats",
        target_weights="floats",
        **{f"nodes_{name}": kind for name, kind in _TREES.items()},
        **dict.fromkeys(("target_treeids", "target_nodeids", "target_ids"), "ints"),
    ),
}
