"""Training in several processes that torchrun started, each with its share of every batch.

Gradients are averaged by torch's DistributedDataParallel (S. Li et al., VLDB 2020), so a step is
that of the whole batch. Batch norms see the share of their own process; the statistics that are
kept are the mean over the processes. The first process decides, measures and writes.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from idskit.errors import RunError


def started() -> int:
    """Return how many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def started_here() -> int:
    """Return how many of them on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def processes() -> int:
    """Return how many train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Return the number of this process among them; the first is 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def local_device() -> int:
    """Return the number of this process on its machine, and so of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Within this context the processes of torchrun, if it started this one, train together.

    Args:
        device: of this process. On CPUs they talk by gloo, on GPUs by NCCL.

    Raises:
        RunError: they do not find each other.
    """
    if started() < 2:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"{started()} processes were to train together, but they do not find "
            f"each other ({str(error).splitlines()[0]}): start them with torchrun"
        ) from error
    try:
        yield
    finally:
        gc.collect()  # DistributedDataParallel that outlives its group aborts Python at its end
        distributed.destroy_process_group()


def parallel(module: nn.Module) -> nn.Module:
    """Return the module, its gradients averaged over the processes if there are several."""
    return DistributedDataParallel(module, broadcast_buffers=False) if processes() > 1 else module


def share(batch: Tensor) -> Tensor:
    """This process's part of a batch."""
    return batch.tensor_split(processes())[rank()]


def average(tensors: Iterable[Tensor]) -> None:
    """Put the mean over the processes in place of each tensor of floats."""
    if processes() > 1:
        for tensor in tensors:
            distributed.all_reduce(tensor)
            tensor.div_(processes())


def agreed(values: Tensor) -> Tensor:
    """Return the first process's values, so that all take the same decisions."""
    if processes() > 1:
        distributed.broadcast(values, 0)
    return values


def statistics(module: nn.Module) -> list[Tensor]:
    """Return what the batch norms of a module have seen."""
    ends = ("running_mean", "running_var")
    return [buffer for name, buffer in module.named_buffers() if name.endswith(ends)]
