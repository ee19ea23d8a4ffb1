"""The member of boosted trees as one node of ONNX's machine-learning operators.

Version 3 of the operators, which onnxruntime 1.18 knows, numbers the nodes of each tree from its
root and names classes at leaves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from idskit.export.lower.graph_parts import ML, Graph
from idskit.modelfile.model_file import INPUT
from idskit.models.members.derived_columns import Derived
from idskit.models.members.tree_member import LEAST_PROBABILITY, Trees


def average(graph: Graph, trees: Trees, logits: str) -> str:
    """Add the trees beside ``logits``; the logarithm of the averaged probabilities."""
    raw = graph.node(
        "TreeEnsembleRegressor",
        [_derived(graph, trees.derived)],
        "trees.logits",
        domain=ML,
        **_attributes(trees),
    )
    members = {"network": (logits, 1 - float(trees.share)), "trees": (raw, float(trees.share))}
    parts = [
        graph.node(
            "Mul",
            [
                graph.node("Softmax", [source], f"{name}.probabilities", axis=1),
                graph.constant(f"{name}.share", np.array(share)),
            ],
            f"{name}.part",
        )
        for name, (source, share) in members.items()
    ]
    floor = graph.constant("least_probability", np.array(LEAST_PROBABILITY))
    mean = graph.node("Add", parts, "average")
    return graph.node("Log", [graph.node("Add", [mean, floor], "average_above_0")], "average.log")


def _derived(graph: Graph, derived: Derived) -> str:
    """Raw rows with the derived columns after their own, as the trees were fitted to."""
    columns = [INPUT]
    if derived.products.shape[1]:
        first, second = _pair(graph, derived.products, "trees.products")
        columns.append(graph.node("Mul", [first, second], "trees.products"))
    if derived.quotients.shape[1]:
        dividend, divisor = _pair(graph, derived.quotients, "trees.quotients")
        zero, one = (graph.constant(f"trees.{n}", np.full(1, float(n))) for n in (0, 1))
        none = graph.node("Equal", [divisor, zero], "trees.no_divisor")
        divisor = graph.node("Where", [none, one, divisor], "trees.divisor")
        columns.append(graph.node("Div", [dividend, divisor], "trees.quotients"))
    if len(columns) == 1:
        return INPUT
    return graph.node("Concat", columns, "trees.columns", axis=1)


def _pair(graph: Graph, indices: Tensor, name: str) -> list[str]:
    """Both columns of every pair: two values (n, pairs)."""
    return [
        graph.node(
            "Gather",
            [INPUT, graph.constant(f"{name}.{side}.columns", columns.cpu().numpy())],
            f"{name}.{side}",
            axis=1,
        )
        for side, columns in zip(("first", "second"), indices, strict=True)
    ]


def _attributes(trees: Trees) -> dict[str, Any]:
    """Node attributes of TreeEnsembleRegressor, the temperature divided out of the leaves."""
    state = {name: value.cpu().numpy() for name, value in trees.state_dict().items()}
    tree, position = _positions(state["root"], len(state["feature"]))
    here = np.arange(len(tree))
    leaf = state["left"] == here
    value = state["value"][leaf].astype(np.float64) / float(state["temperature"])
    # A leaf has no children: 0, as LightGBM's and scikit-learn's converters write it.
    children = {
        side: np.where(leaf, 0, position[state[side]]).tolist() for side in ("left", "right")
    }
    return {
        "n_targets": trees.classes,
        "aggregate_function": "SUM",
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": position.tolist(),
        "nodes_featureids": state["feature"].tolist(),
        "nodes_values": state["threshold"].tolist(),
        "nodes_modes": ["LEAF" if end else "BRANCH_LEQ" for end in leaf],
        "nodes_truenodeids": children["left"],
        "nodes_falsenodeids": children["right"],
        "target_treeids": tree[leaf].tolist(),
        "target_nodeids": position[leaf].tolist(),
        "target_ids": state["output"][tree[leaf]].tolist(),
        "target_weights": value.astype(np.float32).tolist(),
    }


def _positions(root: NDArray[np.int64], nodes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tree of each node, and its number within that tree."""
    here = np.arange(nodes)
    tree = np.searchsorted(root, here, side="right") - 1
    return tree, here - root[tree]
