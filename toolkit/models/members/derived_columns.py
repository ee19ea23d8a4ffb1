"""Columns that trees need and tables lack: products and quotients of pairs of columns.

A tree asks about one column at a time, so it takes many splits to learn that two columns' product
parts the classes. The pairs are part of the network's state and three operators of the exported
graph; each value is one float32 operation, so torch, LightGBM and onnxruntime see the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Pair = tuple[int, int]  # columns of a raw row


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Which columns are multiplied, and which are divided by which."""

    products: Sequence[Pair] = ()
    quotients: Sequence[Pair] = ()  # dividend, divisor

    def __len__(self) -> int:
        return len(self.products) + len(self.quotients)


NO_PAIRS = Pairs()


class Derived(nn.Module):
    """Raw rows (n, features) to rows (n, features + products + quotients)."""

    products: Tensor  # (2, products) int64
    quotients: Tensor  # (2, quotients) int64

    def __init__(self, *, products: int, quotients: int) -> None:
        super().__init__()
        for name, count in (("products", products), ("quotients", quotients)):
            indices = torch.zeros(2, count, dtype=torch.int64)
            self.register_buffer(name, indices, persistent=count > 0)

    @classmethod
    def of(cls, pairs: Pairs) -> Derived:
        """Return the module that computes ``pairs``."""
        made = cls(products=len(pairs.products), quotients=len(pairs.quotients))
        for name in ("products", "quotients"):
            indices = torch.tensor(getattr(pairs, name), dtype=torch.int64).reshape(-1, 2)
            getattr(made, name).copy_(indices.T)
        return made

    def forward(self, flows: Tensor) -> Tensor:
        """Put the derived columns after those of ``flows``; a divisor of 0 counts as 1."""
        if not self.products.numel() + self.quotients.numel():
            return flows
        multiplied = flows[:, self.products[0]] * flows[:, self.products[1]]
        divisor = flows[:, self.quotients[1]]
        divisor = torch.where(divisor == 0, torch.ones_like(divisor), divisor)
        return torch.cat([flows, multiplied, flows[:, self.quotients[0]] / divisor], dim=1)
