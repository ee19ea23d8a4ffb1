"""A multilayer perceptron: the baseline that knows nothing of neighbouring columns."""

from __future__ import annotations

from torch import Tensor, nn

from idskit.models.lowering import Size

HIDDEN = (16, 8)  # of each layer, in widths: 256 and 128 at width 16
DROPOUT = 0.2


class MLP(nn.Module):
    """Image (n, height, width) to logits (n, classes), every place an input of its own."""

    def __init__(self, size: Size, classes: int, *, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = size[0] * size[1]
        for hidden in HIDDEN:
            layers += [nn.Linear(inputs, hidden * width), nn.ReLU(), nn.Dropout(DROPOUT)]
            inputs = hidden * width
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes) of images (n, height, width)."""
        logits: Tensor = self.classifier(self.layers(image.flatten(1)))
        return logits
