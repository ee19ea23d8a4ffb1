"""How fast training steps are, on the 41 columns of NSL-KDD: records a second, by width.

    python -m tests.training.speed --data ../shared/data/nsl-kdd --width 64 --threads 2

Steps as ``idskit train nsl-kdd`` makes them, synthetic negatives included (``--set contrast``). It
prints the median of three passes after the first, by the clock and by processor time; the latter
says what an idle machine could do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

PASSES = 3


def main() -> None:
    """Measure and print."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch
    from idskit.training.device import find_device, seeded
    from idskit.training.fit import build_network
    from idskit.training.members.network_member import NetworkMember
    from idskit.training.settings import TrainingSettings
    from idskit.training.train import load_data

    asked = _asked()
    settings = TrainingSettings(
        width=asked.width,
        threads=asked.threads,
        contrast=asked.contrast,
        precision=asked.precision,
        device=asked.device,
        novelty="none",
    ).resolved()
    device = find_device(settings)
    dataset = load_data(settings, asked.data)
    dataset = replace(dataset, train=dataset.train.take(slice(asked.rows)))
    with seeded(settings, device):
        member = NetworkMember(build_network(dataset, settings).to(device), dataset, settings)
        passes = [_timed(member.step_through, epoch) for epoch in range(PASSES + 1)][1:]
    wall, cpu = (asked.rows / statistics.median(of) for of in zip(*passes, strict=True))
    print(
        f"width {asked.width}, {asked.threads} threads, {asked.precision} on {asked.device}, "
        f"contrast {asked.contrast:g}: {wall:,.0f} records/s, {cpu:,.0f} a second of CPU time"
    )


def _timed(step_through: Callable[[int], float], epoch: int) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    step_through(epoch)
    return time.perf_counter() - wall, time.process_time() - cpu


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/nsl-kdd"))
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--contrast", type=float, default=0.5)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
