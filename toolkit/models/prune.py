"""Structured pruning: a narrower ResNet-18 that starts from the weights of a trained one.

Only the channels between the two convolutions of a block go (H. Li et al., "Pruning Filters for
Efficient ConvNets", ICLR 2017): nothing outside the block sees them, so what is left fits as it is.
A channel leaves its batch norm with a spread of about gamma, and reaches the residual sum through
the next convolution alone; their product is how much it matters. Of that convolution only the taps
count that meet the map: on one pixel eight of nine were never trained.
"""

from __future__ import annotations

from dataclasses import asdict

import torch
from torch import Tensor, nn

from idskit.errors import RunError
from idskit.models.lowering import dense_matrix
from idskit.models.network import Network, NetworkSettings
from idskit.models.resnet import BasicBlock, ResNet18


@torch.no_grad()
def prune(network: Network, trained: Network) -> None:
    """Give ``network`` what ``trained`` learned, and of its inner channels those that matter most.

    Attention of another kind than the trained one's keeps the weights that it has.

    Args:
        network: of the same width and front end, prepared by the same rows; changed in place.
        trained: its blocks have at least as many channels between their convolutions.

    Raises:
        RunError: the two do not fit.
    """
    _check(network, trained)
    network.frontend.load_state_dict(trained.frontend.state_dict())
    own = network.body.state_dict()
    found = {name: value for name, value in trained.body.state_dict().items() if name in own}
    for number, (narrow, block) in enumerate(zip(_blocks(network), _blocks(trained), strict=True)):
        kept = importance(block).topk(narrow.bn1.num_features).indices.sort().values
        found |= {f"blocks.{number}.{name}": part for name, part in _parts(block, kept).items()}
    network.body.load_state_dict(own | found)


def importance(block: BasicBlock) -> Tensor:
    """How much each channel between the convolutions matters: (channels,), not negative."""
    conv = block.conv2
    matrix = dense_matrix(conv.weight, conv.size, int(conv.stride[0]), int(conv.padding[0]))
    reach = matrix.reshape(conv.in_channels, -1).norm(dim=1)  # channels first
    return block.bn1.weight.abs() * reach


def _parts(block: BasicBlock, kept: Tensor) -> dict[str, Tensor]:
    """What of ``block`` has a place for each inner channel, of those ``kept``."""
    norm = {name: part[kept] for name, part in block.bn1.state_dict().items() if part.ndim}
    return {
        "conv1.weight": block.conv1.weight[kept],
        "conv2.weight": block.conv2.weight[:, kept],
        **{f"bn1.{name}": part for name, part in norm.items()},
    }


def _blocks(network: Network) -> tuple[BasicBlock, ...]:
    body: ResNet18 = network.body
    return body.basic_blocks


def _check(network: Network, trained: Network) -> None:
    """Refuse what cannot start from ``trained``."""
    asked, found = _shape(network.settings), _shape(trained.settings)
    differing = [f"{k} is {asked[k]} and was {found[k]}" for k in asked if asked[k] != found[k]]
    if network.settings.model != "resnet18":
        differing.append(f"only resnet18 can be pruned, not {network.settings.model}")
    if network.settings.inner > trained.settings.inner:
        differing.append(f"inner is {network.settings.inner} and was {trained.settings.inner}")
    if not differing and not _same(network.preparation, trained.preparation):
        differing.append("its columns are prepared in another way")
    if differing:
        raise RunError(
            f"the network asked for cannot be pruned from that run: {'; '.join(differing)}; "
            "pruning leaves out channels inside blocks (--inner) and may change --attention only"
        )


def _shape(settings: NetworkSettings) -> dict[str, object]:
    """What has to agree; which stages of the front end are learned need not."""
    front = {k: v for k, v in asdict(settings.mfcc).items() if not k.startswith("train_")}
    front.pop("window_penalty")
    names = ("model", "frontend", "width")
    return {name: getattr(settings, name) for name in names} | front


def _same(first: nn.Module, second: nn.Module) -> bool:
    """Whether all that was fitted agrees but for rounding."""
    left, right = first.state_dict(), second.state_dict()
    return left.keys() == right.keys() and all(
        left[name].shape == right[name].shape
        and torch.allclose(left[name].double(), right[name].double(), rtol=1e-4, equal_nan=True)
        for name in left
    )
