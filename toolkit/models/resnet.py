"""ResNet-18 with channel and spatial attention, written for maps of a few pixels.

The network of arXiv 2507.10622: one input channel, 7x7 stride-2 stem, max-pool, four stages of two
basic blocks; in every block, after the second batch norm and before the residual sum, channel
attention and then spatial attention (S. Woo et al., CBAM, ECCV 2018).

Two variants of it are made to run faster: ``squeeze`` attention weighs channels by their means
alone (J. Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, with the hard sigmoid of
A. Howard et al., "Searching for MobileNetV3", ICCV 2019), and ``inner`` leaves each block only a
share of its channels between its two convolutions.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn

from idskit.models.lowering import Size, dense_matrix, output_size

Attention = Literal["none", "channel", "spatial", "both", "squeeze"]
ATTENTIONS: tuple[Attention, ...] = ("none", "channel", "spatial", "both", "squeeze")
WIDTHS = (64, 32, 16, 8)
REDUCTION = 16
# Above this many pixels the dense matrix has so many more multiply-adds that a convolution wins.
DENSE_PIXELS = 24


class SmallConv2d(nn.Conv2d):
    """A convolution that knows its map size and runs as one matrix product where that is faster."""

    def __init__(
        self, ins: int, outs: int, kernel: int, *, size: Size, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(ins, outs, kernel, stride=stride, padding=padding, bias=False)
        self.size = size
        self.out_size = output_size(size, kernel, stride, padding)
        self.dense = size[0] * size[1] <= DENSE_PIXELS

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve (n, in, height, width) maps."""
        if not self.dense:
            return super().forward(maps)
        matrix = dense_matrix(self.weight, self.size, int(self.stride[0]), int(self.padding[0]))
        return (maps.flatten(1) @ matrix).reshape(-1, self.out_channels, *self.out_size)


class ChannelAttention(nn.Module):
    """Scale channels by a shared two-layer network of their mean and maximum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // REDUCTION, 4)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Weigh (n, channels, height, width) maps by channel."""
        pixels = maps.flatten(2)
        hidden = self.squeeze(pixels.mean(2)).relu() + self.squeeze(pixels.amax(2)).relu()
        return maps * self.excite(hidden).sigmoid()[:, :, None, None]


class SpatialAttention(nn.Module):
    """Scale pixels by a 7x7 convolution of the channels' mean and maximum."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.convolution = SmallConv2d(2, 1, 7, size=size, padding=3)

    def forward(self, maps: Tensor) -> Tensor:
        """Weigh (n, channels, height, width) maps by pixel."""
        summary = torch.stack([maps.mean(1), maps.amax(1)], dim=1)
        return maps * self.convolution(summary).sigmoid()


class SqueezeAttention(nn.Module):
    """Scale channels by a two-layer network of their means and a hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // REDUCTION, 4)
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Weigh (n, channels, height, width) maps by channel."""
        hidden = self.squeeze(maps.mean((2, 3))).relu()
        weights = nn.functional.hardsigmoid(self.excite(hidden))
        return maps * weights[:, :, None, None]


class Shortcut(nn.Module):
    """A 1x1 convolution and batch norm, where a block changes size or channels."""

    def __init__(self, ins: int, outs: int, *, size: Size, stride: int) -> None:
        super().__init__()
        self.conv = SmallConv2d(ins, outs, 1, size=size, stride=stride)
        self.bn = nn.BatchNorm2d(outs)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (n, in, height, width) to (n, out, height', width')."""
        return self.bn(self.conv(maps))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, attention, and the residual sum."""

    def __init__(
        self, ins: int, outs: int, *, size: Size, stride: int, attention: Attention, inner: float
    ) -> None:
        super().__init__()
        between = max(round(outs * inner), 1)
        self.conv1 = SmallConv2d(ins, between, 3, size=size, stride=stride, padding=1)
        self.out_size = self.conv1.out_size
        self.bn1 = nn.BatchNorm2d(between)
        self.conv2 = SmallConv2d(between, outs, 3, size=self.out_size, padding=1)
        self.bn2 = nn.BatchNorm2d(outs)
        both = attention == "both"
        self.channel = ChannelAttention(outs) if both or attention == "channel" else None
        self.spatial = SpatialAttention(self.out_size) if both or attention == "spatial" else None
        self.squeeze = SqueezeAttention(outs) if attention == "squeeze" else None
        changes = stride != 1 or ins != outs
        self.shortcut = Shortcut(ins, outs, size=size, stride=stride) if changes else None

    def forward(self, maps: Tensor) -> Tensor:
        """Map (n, in, height, width) to (n, out, height', width')."""
        out = self.bn1(self.conv1(maps)).relu()
        out = self.bn2(self.conv2(out))
        if self.channel is not None:
            out = self.channel(out)
        if self.spatial is not None:
            out = self.spatial(out)
        if self.squeeze is not None:
            out = self.squeeze(out)
        return (out + (maps if self.shortcut is None else self.shortcut(maps))).relu()


class ResNet18(nn.Module):
    """MFCC image (n, height, width) to logits (n, classes)."""

    def __init__(
        self,
        size: Size,
        classes: int,
        *,
        width: int = 64,
        attention: Attention = "both",
        inner: float = 1.0,
    ) -> None:
        super().__init__()
        self.conv1 = SmallConv2d(1, width, 7, size=size, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        size = output_size(self.conv1.out_size, 3, 2, 1)
        blocks: list[BasicBlock] = []
        channels = width
        for stage in range(4):
            outs = width << stage
            for stride in (1, 1) if stage == 0 else (2, 1):
                block = BasicBlock(
                    channels, outs, size=size, stride=stride, attention=attention, inner=inner
                )
                blocks.append(block)
                channels, size = outs, block.out_size
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels, classes)
        self._initialise()

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes) of images (n, height, width)."""
        maps = self.pool(self.bn1(self.conv1(image[:, None])).relu())
        return self.classifier(self.blocks(maps).mean((2, 3)))

    @property
    def basic_blocks(self) -> tuple[BasicBlock, ...]:
        """The eight blocks, in order."""
        return tuple(cast(BasicBlock, block) for block in self.blocks)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
