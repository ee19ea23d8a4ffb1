"""Check that the lists of a tree ensemble are trees: a runtime walks them unchecked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from idskit.modelfile.onnx_file import Node

MAX_TREE_DEPTH = 512

Ints = NDArray[np.int64]


def check_trees(node: Node, columns: int) -> int:
    """Check a tree ensemble; return how many splits a row passes at most.

    Raises:
        ValueError: nodes are not numbered from their root on, are no tree, or read what is not
            there.
    """
    lists = node.attributes
    of_nodes = {name: lists[f"nodes_{name}"] for name in _OF_NODES}
    of_leaves = [lists[name] for name in _OF_LEAVES]
    _need({len(part) for part in of_nodes.values()} == {len(of_nodes["modes"])}, "lists differ")
    _need({len(part) for part in of_leaves} == {len(of_leaves[0])}, "lists of leaves differ")
    modes = np.array([bytes(mode) for mode in of_nodes["modes"]])
    _need(np.isin(modes, (b"LEAF", b"BRANCH_LEQ")).all(), "a node is no leaf and no split")
    _need(bytes(lists["aggregate_function"]) == b"SUM", "trees are not summed")
    _need(_within(of_nodes["featureids"], columns), "a split reads a column that is not there")
    root = _roots(of_nodes["treeids"], of_nodes["nodeids"])
    _check_leaves(node, root, modes == b"LEAF")
    return _splits(of_nodes, root, modes == b"BRANCH_LEQ")


_OF_NODES = ("modes", "treeids", "nodeids", "featureids", "truenodeids", "falsenodeids", "values")
_OF_LEAVES = ("target_treeids", "target_nodeids", "target_ids", "target_weights")


def _roots(tree: Ints, number: Ints) -> Ints:
    """Return the position of each node's root; trees are consecutive, numbered from 0."""
    first = np.flatnonzero(np.diff(tree, prepend=-1))
    _need(len(first) > 0, "there is no tree")
    _need(np.array_equal(tree[first], np.arange(len(first))), "a tree is missing")
    root = np.repeat(first, np.diff(first, append=len(tree)))
    _need(np.array_equal(number, np.arange(len(tree)) - root), "nodes are missing")
    return root


def _splits(of_nodes: dict[str, Any], root: Ints, split: NDArray[np.bool_]) -> int:
    """Return how many splits a row passes at most in all trees.

    Each node but a root is the child of one split that comes before it, so there is no way back.
    """
    parent = np.flatnonzero(split)
    children = np.concatenate([root[split] + of_nodes[f"{s}nodeids"][split] for s in _SIDES])
    parents = np.concatenate([parent, parent])
    here = np.arange(len(root))
    _need(
        np.array_equal(np.sort(children), here[here != root])
        and (children > parents).all()
        and np.array_equal(root[children], root[parents]),
        "its nodes are no tree",
    )
    above = here.copy()
    above[children] = parents
    depth, reached = np.zeros(len(here), np.int64), above
    for _ in range(MAX_TREE_DEPTH):
        if (reached == root).all():
            break
        depth += reached != root
        reached = above[reached]
    _need((reached == root).all(), f"a tree has more than {MAX_TREE_DEPTH} levels")
    deepest = np.maximum.reduceat(depth, np.unique(root))
    return int(deepest.sum()) + len(deepest)


_SIDES = ("true", "false")


def _check_leaves(node: Node, root: Ints, leaf: NDArray[np.bool_]) -> None:
    tree, number, target, _ = (node.attributes[name] for name in _OF_LEAVES)
    first = np.unique(root)
    _need(_within(tree, len(first)), "a value is of a tree that is not there")
    position = first[tree] + number
    known = _within(position, len(root)) and (number >= 0).all()
    _need(known and leaf[position].all(), "a value is of no leaf")
    _need(np.array_equal(root[position], first[tree]), "a value is of another tree's leaf")
    _need(_within(target, node.attributes["n_targets"]), "a value is of a class that is not there")


def _within(values: Ints, most: int) -> bool:
    return bool(((values >= 0) & (values < most)).all())


def _need(condition: Any, words: str) -> None:
    if not condition:
        raise ValueError(words)
