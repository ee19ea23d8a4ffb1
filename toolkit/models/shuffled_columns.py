"""The shuffled-column control: does the order of the columns carry anything?

A record's columns have no natural order, so a "frequency" over them is a fixed mixing of columns. A
network that does as well on columns in a random order has learned nothing from their neighbourhood.
"""

from __future__ import annotations

import torch

from idskit.models.preparation import Preparation


@torch.no_grad()
def shuffle_columns(preparation: Preparation, seed: int) -> None:
    """Put the places of the signal into one random order, the same for every row, drawn by seed.

    The order becomes part of the preparation's matrix, so it travels with the run and its export.
    """
    order = torch.randperm(preparation.length, generator=torch.Generator().manual_seed(seed))
    preparation.placement.copy_(preparation.placement[:, order])
