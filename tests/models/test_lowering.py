"""Convolutions as dense matrices, against torch's convolution."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from idskit.models.lowering import dense_matrix, output_size
from idskit.models.resnet import DENSE_PIXELS, SmallConv2d

CASES = [
    ((1, 1), 3, 1, 1),
    ((2, 1), 3, 2, 1),
    ((4, 3), 3, 1, 1),
    ((5, 3), 1, 2, 0),
    ((7, 5), 7, 2, 3),
    ((3, 4), 2, 1, 0),
]


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), CASES)
def test_dense_matrix_is_the_convolution(
    size: tuple[int, int], kernel: int, stride: int, padding: int
):
    torch.manual_seed(0)
    weight, maps = torch.randn(6, 4, kernel, kernel), torch.randn(8, 4, *size)
    expected = functional.conv2d(maps, weight, stride=stride, padding=padding)
    found = maps.flatten(1) @ dense_matrix(weight, size, stride, padding)
    assert expected.shape[2:] == output_size(size, kernel, stride, padding)
    assert torch.allclose(found, expected.flatten(1), atol=1e-5)


@pytest.mark.parametrize("size", [(4, 3), (10, 7)])
def test_small_convolution_and_its_gradient_are_those_of_conv2d(size: tuple[int, int]):
    torch.manual_seed(0)
    layer = SmallConv2d(3, 5, 3, size=size, stride=2, padding=1)
    reference = layer.weight.detach().clone().requires_grad_()
    maps = torch.randn(4, 3, *size)
    found = layer(maps)
    expected = functional.conv2d(maps, reference, stride=2, padding=1)
    found.square().sum().backward()
    expected.square().sum().backward()
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(layer.weight.grad, reference.grad, atol=1e-4)


def test_the_cases_above_lie_on_both_sides_of_the_dense_limit():
    assert 4 * 3 <= DENSE_PIXELS < 10 * 7


def test_trains_after_it_was_first_used_for_inference():
    convolution = SmallConv2d(2, 3, 3, size=(5, 2), padding=1)
    maps = torch.randn(4, 2, 5, 2)
    with torch.inference_mode():
        convolution(maps)
    convolution(maps).sum().backward()
    assert convolution.weight.grad is not None
