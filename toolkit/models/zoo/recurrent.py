"""GRU and LSTM over the frames of an image: the baselines of IJMRSET 7(7), 2024.

K. Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014, arXiv 1406.1078);
S. Hochreiter, J. Schmidhuber, "Long short-term memory" (Neural Computation 9(8), 1997).
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from idskit.models.lowering import Size

LAYERS = 2
STATE = 4  # size of the hidden state, in widths


class Recurrent(nn.Module):
    """Image (n, height, width), read column by column, to logits (n, classes)."""

    def __init__(
        self, kind: Literal["gru", "lstm"], size: Size, classes: int, *, width: int = 16
    ) -> None:
        super().__init__()
        cell = nn.GRU if kind == "gru" else nn.LSTM
        self.layers = cell(size[0], STATE * width, num_layers=LAYERS, batch_first=True)
        self.classifier = nn.Linear(STATE * width, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes) of images (n, height, width)."""
        states, _ = self.layers(image.transpose(1, 2))  # (n, width, state)
        return self.classifier(states[:, -1])
