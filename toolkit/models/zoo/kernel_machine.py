"""MFCC as a kernel: an explicit feature map under a linear classifier.

Two records are as alike as a Gaussian of the distance between their images. Random Fourier features
give that kernel as an inner product (A. Rahimi, B. Recht, "Random features for large-scale kernel
machines", NeurIPS 2007), so no kernel matrix grows with the rows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from idskit.models.lowering import Size

FEATURES = 64  # of the map, in widths: 1,024 at width 16
# Squared distances between standardised images grow with their pixels: 1 / pixels, as
# scikit-learn's ``gamma="scale"``, keeps the kernel between 0 and 1.
GAMMA = 1.0


class FourierFeatures(nn.Module):
    """Map vectors (n, values) so that inner products are exp(-gamma |x - y|^2), nearly."""

    frequency: Tensor  # (values, features)
    phase: Tensor  # (features,)

    def __init__(self, values: int, features: int, gamma: float) -> None:
        super().__init__()
        self.register_buffer("frequency", math.sqrt(2 * gamma) * torch.randn(values, features))
        self.register_buffer("phase", 2 * math.pi * torch.rand(features))

    def forward(self, values: Tensor) -> Tensor:
        """Compute the features (n, features) of vectors (n, values)."""
        scale = math.sqrt(2 / len(self.phase))
        return scale * (values @ self.frequency + self.phase).cos()


class KernelMachine(nn.Module):
    """Image (n, height, width) to logits (n, classes), linear in the feature map.

    The map is fixed; the classifier is trained, and through the map so is the front end: by
    logistic loss, or, as a support vector machine, by the hinge loss.
    """

    def __init__(self, size: Size, classes: int, *, width: int = 16) -> None:
        super().__init__()
        pixels, features = size[0] * size[1], FEATURES * width
        self.features = FourierFeatures(pixels, features, GAMMA / pixels)
        self.classifier = nn.Linear(features, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes) of images (n, height, width)."""
        return self.classifier(self.features(image.flatten(1)))
