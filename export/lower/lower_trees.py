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
from idskit.models.members.trees import LEAST_PROBABILITY, Trees


def join_trees(graph: Graph, trees: Trees, logits: str) -> str:
    """Add the trees next to ``logits``; return the logarithm of the averaged probabilities."""
    raw = graph.node(
        "TreeEnsembleRegressor",
        [_derived(graph, trees.derived)],
        "trees.logits",
        domain=ML,
        **_attributes(trees),
    )
    if trees.is_cascade:
        raw = _cascade(graph, trees, raw)
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


def _cascade(graph: Graph, trees: Trees, sums: str) -> str:
    """Return logits of benign and of each family, from the log-odds of an attack and families."""
    cuts = {n: graph.constant(f"trees.{n}", np.array([n])) for n in (0, 1, trees.classes)}
    attack = graph.node("Slice", [sums, cuts[0], cuts[1], cuts[1]], "trees.attack")
    families = graph.node("Slice", [sums, cuts[1], cuts[trees.classes], cuts[1]], "trees.families")
    floor = graph.constant("trees.least_probability", np.array(LEAST_PROBABILITY))
    shares = graph.node("Softmax", [families], "trees.family_shares", axis=1)
    logs = graph.node(
        "Log", [graph.node("Add", [shares, floor], "trees.shares_above_0")], "trees.family_logs"
    )
    none = graph.node("Mul", [attack, graph.constant("trees.none", np.array(0.0))], "trees.benign")
    each = graph.node("Add", [logs, attack], "trees.each_family")
    logits = graph.node("Concat", [none, each], "trees.both", axis=1)
    inverse = graph.constant("trees.inverse_temperature", np.array(1 / float(trees.temperature)))
    return graph.node("Mul", [logits, inverse], "trees.calibrated")


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
    """Node attributes of TreeEnsembleRegressor, the temperature divided out of the leaves.

    That of a cascade divides the logits that come of its sums.
    """
    state = {name: value.cpu().numpy() for name, value in trees.state_dict().items()}
    tree, position = _positions(state["root"], len(state["feature"]))
    here = np.arange(len(tree))
    leaf = state["left"] == here
    temperature = 1.0 if trees.is_cascade else float(state["temperature"])
    value = state["value"][leaf].astype(np.float64) / temperature
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
