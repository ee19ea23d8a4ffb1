"""A plain convolutional network on a spectrogram.

After A. D. Jathin, M. S. Sowmya, "Detection with Spectrograms and Deep CNNs" (IJMRSET 7(7), 2024,
DOI 10.15680/IJMRSET.2024.0707201): convolution, batch norm, ReLU and pooling, then dense layers
with dropout. How many layers and of which size is not known from it; three stages are this
project's choice.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from idskit.models.lowering import Size, output_size
from idskit.models.resnet import SmallConv2d

STAGES = 3
DROPOUT = 0.3


class DeepCNN(nn.Module):
    """Image (n, height, width) to logits (n, classes)."""

    def __init__(self, size: Size, classes: int, *, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for stage in range(STAGES):
            outs = width << stage
            # A side of one pixel stays one: the padded window covers it.
            pool = nn.MaxPool2d(3, stride=2, padding=1)
            convolution = SmallConv2d(channels, outs, 3, size=size, padding=1)
            layers += [convolution, nn.BatchNorm2d(outs), nn.ReLU(), pool]
            channels, size = outs, output_size(size, 3, 2, 1)
        self.features = nn.Sequential(*layers)
        hidden = 4 * channels
        self.dense = nn.Sequential(
            nn.Linear(channels * size[0] * size[1], hidden), nn.ReLU(), nn.Dropout(DROPOUT)
        )
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes) of images (n, height, width)."""
        maps = self.features(image[:, None])
        return self.classifier(self.dense(torch.flatten(maps, 1)))
