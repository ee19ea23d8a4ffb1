"""The device that a training runs on, and the threads and seeds it has there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from idskit.errors import DeviceError
from idskit.training import distributed
from idskit.training.settings import ResolvedSettings, check_settings


def find_device(settings: ResolvedSettings) -> torch.device:
    """Return the device that ``settings`` ask for.

    Raises:
        RunError: settings out of range.
        DeviceError: CUDA was asked for and is not there.
    """
    check_settings(settings)
    if settings.device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceError(
            "device cuda was asked for, but torch finds no CUDA device here: install a CUDA build "
            "of torch on a machine with an NVIDIA GPU, or train with --device cpu"
        )
    number, found = distributed.local_device(), torch.cuda.device_count()
    if number >= found:
        raise DeviceError(
            f"device cuda was asked for in {number + 1} or more processes of this machine, but "
            f"torch finds {found} CUDA devices: start one process a device"
        )
    return torch.device("cuda", number)


@contextmanager
def seeded(settings: ResolvedSettings, device: torch.device) -> Iterator[None]:
    """Threads and seeds as ``settings`` say, and as they were afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(settings.seed)
            yield
    finally:
        torch.set_num_threads(threads)
