"""A member of boosted trees next to the network: their probabilities are averaged.

Trees split raw columns where their classes part and see no signal in them; a network sees little
else. Where one is wrong the other often is not. Their arrays are part of the network's state, so a
run stays one safetensors file and an export one graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from idskit.models.members.derived_columns import NO_PAIRS, Derived, Pairs
from idskit.models.members.prepared_rows import PreparedRows

# The committee is LightGBM twice, the second time with thresholds drawn at random. The cascade
# first tells attacks from benign rows, then families of attacks from each other.
TreeMember = Literal["none", "lightgbm", "committee", "cascade"]
TREE_MEMBERS: tuple[TreeMember, ...] = ("none", "lightgbm", "committee", "cascade")
LEAST_PROBABILITY = 1e-12  # under a logarithm
CHUNK = 1 << 22  # rows times trees looked at together


@dataclass(frozen=True, kw_only=True)
class TreeArrays:
    """Trees end to end. A leaf is its own child on both sides and has a value; a split has 0."""

    feature: NDArray[np.int64]  # (nodes,) column of a raw row, derived columns after its own
    threshold: NDArray[np.float32]  # (nodes,) left where the column is at most this
    left: NDArray[np.int64]  # (nodes,) position of the child
    right: NDArray[np.int64]
    value: NDArray[np.float32]  # (nodes,) added to the logit of the tree's class
    root: NDArray[np.int64]  # (trees,) position
    output: NDArray[np.int64]  # (trees,) class
    depth: int  # splits from a root to its furthest leaf, at most
    # The first sum is the log-odds of an attack, the others are logits of its families.
    is_cascade: bool = False


class Trees(nn.Module):
    """Logits (n, classes) of raw rows (n, features), and their part in the average."""

    feature: Tensor  # as TreeArrays
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    root: Tensor
    output: Tensor
    temperature: Tensor  # (), fitted on validation rows, as is share
    share: Tensor  # () of the trees in the average; the network has the rest

    def __init__(
        self,
        *,
        nodes: int,
        trees: int,
        depth: int,
        classes: int,
        products: int = 0,
        quotients: int = 0,
        cascade: int = 0,
    ) -> None:
        super().__init__()
        self.depth, self.classes, self.is_cascade = depth, classes, bool(cascade)
        self.derived = Derived(products=products, quotients=quotients)
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(nodes, dtype=torch.int64))
        for name in ("threshold", "value"):
            self.register_buffer(name, torch.zeros(nodes))
        for name in ("root", "output"):
            self.register_buffer(name, torch.zeros(trees, dtype=torch.int64))
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("share", torch.full((), 0.5))

    @classmethod
    def of(cls, arrays: TreeArrays, classes: int, pairs: Pairs = NO_PAIRS) -> Trees:
        """Return the module that holds ``arrays``, uncalibrated, fitted to rows with ``pairs``."""
        made = cls(
            nodes=len(arrays.feature),
            trees=len(arrays.root),
            depth=arrays.depth,
            classes=classes,
            cascade=int(arrays.is_cascade),
        )
        made.derived = Derived.of(pairs)
        for name in ("feature", "threshold", "left", "right", "value", "root", "output"):
            getattr(made, name).copy_(torch.from_numpy(getattr(arrays, name)))
        return made

    def sizes(self) -> dict[str, int]:
        """Return what ``__init__`` needs to hold this state again."""
        return {
            "nodes": len(self.feature),
            "trees": len(self.root),
            "depth": self.depth,
            "classes": self.classes,
            "products": self.derived.products.shape[1],
            "quotients": self.derived.quotients.shape[1],
            "cascade": int(self.is_cascade),
        }

    def log_odds(self, flows: Tensor) -> Tensor:
        """Return calibrated logits (n, classes) of raw rows (n, features)."""
        return self.raw(flows) / self.temperature

    def raw(self, flows: Tensor) -> Tensor:
        """Return logits (n, classes) before the temperature."""
        rows = max(CHUNK // max(len(self.root), 1), 1)
        sums = torch.cat([self._sums(self.derived(part)) for part in torch.split(flows, rows)])
        if not self.is_cascade:
            return sums
        families = (sums[:, 1:].softmax(dim=1) + LEAST_PROBABILITY).log()
        return torch.cat([torch.zeros_like(sums[:, :1]), sums[:, :1] + families], dim=1)

    def join(self, log_odds: Tensor, rows: PreparedRows) -> Tensor:
        """Average probabilities with those of the members before, whose log-odds are (n, classes).

        Returns the logarithm of the average, (n, classes).
        """
        before, trees = log_odds.softmax(dim=1), self.log_odds(rows.flows).softmax(dim=1)
        return (torch.lerp(before, trees, self.share) + LEAST_PROBABILITY).log()

    def _sums(self, flows: Tensor) -> Tensor:
        node = self.root.expand(len(flows), -1)  # (n, trees)
        for _ in range(self.depth):
            left = flows.gather(1, self.feature[node]) <= self.threshold[node]
            node = torch.where(left, self.left[node], self.right[node])
        sums = flows.new_zeros(len(flows), self.classes)
        return sums.index_add_(1, self.output, self.value[node])
