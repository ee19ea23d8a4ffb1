"""A Swin transformer of one stage for images of a few pixels; it attends over tokens.

After Z. Liu et al., "Swin Transformer" (ICCV 2021), in the size that arXiv 2507.10622 names as its
baseline (dimension 64, depth 6, heads 8, window 3). The published code attends over heads, so a
token never sees another one; here it does. The image has so few tokens that each layer attends
over all of them under a mask that leaves those of the same window: the same values as cutting,
shifting and padding windows, in one product. There is no patch merging.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from idskit.models.lowering import Size

PATCH = 2
DIMENSION = 4  # of a token, in widths: 64 at width 16
DEPTH, HEADS, WINDOW = 6, 8, 3
EXPANSION = 4  # of the hidden layer of a block's network


class Swin(nn.Module):
    """Image (n, height, width) to logits (n, classes)."""

    def __init__(self, size: Size, classes: int, *, width: int = 16) -> None:
        super().__init__()
        tokens = (-(-size[0] // PATCH), -(-size[1] // PATCH))
        dimension = DIMENSION * width
        self.padding = (0, PATCH * tokens[1] - size[1], 0, PATCH * tokens[0] - size[0])
        self.embed = nn.Conv2d(1, dimension, PATCH, stride=PATCH)
        self.normalise = nn.LayerNorm(dimension)
        shifts = [WINDOW // 2 * (layer % 2) for layer in range(DEPTH)]
        self.blocks = nn.Sequential(*(SwinBlock(tokens, dimension, shift) for shift in shifts))
        self.last = nn.LayerNorm(dimension)
        self.classifier = nn.Linear(dimension, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes) of images (n, height, width)."""
        patches = self.embed(nn.functional.pad(image, self.padding)[:, None])
        tokens = self.normalise(patches.flatten(2).transpose(1, 2))  # (n, tokens, dimension)
        return self.classifier(self.last(self.blocks(tokens)).mean(1))


class SwinBlock(nn.Module):
    """Attention within windows, then a network on each token, both added to what came in."""

    def __init__(self, tokens: Size, dimension: int, shift: int) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(dimension)
        self.attention = WindowAttention(tokens, dimension, shift)
        self.network = nn.Sequential(
            nn.LayerNorm(dimension),
            nn.Linear(dimension, EXPANSION * dimension),
            nn.GELU(),
            nn.Linear(EXPANSION * dimension, dimension),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (n, tokens, dimension) to the same shape."""
        tokens = tokens + self.attention(self.before_attention(tokens))
        return tokens + self.network(tokens)


class WindowAttention(nn.Module):
    """Attention among the tokens of a window, with a learned bias for each relative position."""

    bias_index: Tensor  # (tokens, tokens) int64, into the rows of ``bias``
    mask: Tensor  # (tokens, tokens): 0 within a window, minus infinity across

    def __init__(self, tokens: Size, dimension: int, shift: int) -> None:
        super().__init__()
        self.project = nn.Linear(dimension, 3 * dimension)
        self.merge = nn.Linear(dimension, dimension)
        self.bias = nn.Parameter(torch.zeros((2 * WINDOW - 1) ** 2, HEADS))
        place = torch.cartesian_prod(torch.arange(tokens[0]), torch.arange(tokens[1]))
        window = (place + shift) // WINDOW
        together = (window[:, None] == window).all(2)
        apart = (place[:, None] - place).clamp(1 - WINDOW, WINDOW - 1) + WINDOW - 1
        index = apart[..., 0] * (2 * WINDOW - 1) + apart[..., 1]
        mask = torch.zeros(together.shape).masked_fill(~together, -torch.inf)
        # Both follow from the sizes, so they are in no file.
        self.register_buffer("bias_index", index, persistent=False)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (n, tokens, dimension) to the same shape."""
        parts = self.project(tokens).unflatten(2, (3, HEADS, -1))  # (n, tokens, 3, heads, size)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (n, heads, tokens, size)
        bias = self.bias[self.bias_index].permute(2, 0, 1) + self.mask  # (heads, tokens, tokens)
        # Written out: torch's fused attention is slower on heads this small.
        scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5 + bias
        found = scores.softmax(3) @ value
        return self.merge(found.transpose(1, 2).flatten(2))
