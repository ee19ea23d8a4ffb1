"""How much faster the exported network is than what else runs it, as ratios from one run.

    python -m tests.export.speed --width 64 --columns 78
    python -m tests.export.speed runs/kdd

Without a training run the weights are random: they do not change the speed. All candidates take
turns in one process, one thread (``taskset -c 0`` keeps it on one core), batch 256 and one flow;
see ``idskit.bench``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from idskit.bench.result import Report, Result
from idskit.bench.run import bench
from idskit.export import export
from idskit.models.network import Network, NetworkSettings
from idskit.models.preparation import fit_preparation
from idskit.models.resnet import Attention
from idskit.schema import Feature, Schema
from idskit.training.run import LabelledRows, Run, load_run, save_run

OURS = "int8"


def random_run(
    columns: int, classes: int, *, width: int, attention: Attention, inner: float
) -> Run:
    """A run of random weights whose batch norms have seen rows of that many numbers."""
    torch.manual_seed(0)
    names = tuple(Feature(name=f"number{i}", unit="count") for i in range(columns))
    train, held = _rows(columns, classes, 2048, seed=1), _rows(columns, classes, 1024, seed=2)
    schema = Schema(name="random", features=names)
    preparation = fit_preparation(train.flows, schema)
    settings = NetworkSettings(width=width, attention=attention, inner=inner)
    network = Network(preparation, classes, settings).train()
    with torch.no_grad():
        for part in torch.from_numpy(train.flows).split(256):
            network.logits(preparation(part))
    return Run(
        network=network.eval(),
        schema=schema,
        classes=tuple(f"class{i}" for i in range(classes)),
        threshold=0.5,
        facts={"dataset": "random"},
        calibration=train,
        held=held,
    )


def _rows(columns: int, classes: int, count: int, *, seed: int) -> LabelledRows:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    flows = random.lognormal(1, 2, (count, columns))
    flows[np.arange(count), labels] = random.lognormal(6, 1, count)
    return LabelledRows(flows=flows.astype(np.float32), labels=labels.astype(np.int64))


def ratios(report: Report) -> Table:
    """Microseconds a flow of every candidate, and how many times ours that is."""
    by_batch: dict[int, dict[str, Result]] = {}
    for result in report.results:
        by_batch.setdefault(result.run.batch, {})[result.model.name] = result
    table = Table(
        "candidate", "bytes", *(h for b in by_batch for h in (f"us, batch {b}", "±", "x"))
    )
    for name in next(iter(by_batch.values())):
        cells = [cell for results in by_batch.values() for cell in _cells(results, name)]
        size = next(iter(by_batch.values()))[name].model.bytes
        table.add_row(name, f"{size:,}", *cells)
    return table


def _cells(results: dict[str, Result], name: str) -> tuple[str, str, str]:
    speed, ours = results[name].flows_per_s, results[OURS].flows_per_s
    return (
        f"{1e6 / speed.median:.1f}",
        f"{speed.relative:.0%}",
        f"{ours.median / speed.median:.2f}",
    )


def share(report: Report) -> str:
    """How much of the machine's int8 product the int8 file uses at the larger batch."""
    rate = report.int8_rate
    result = next(r for r in report.results if r.model.name == OURS and r.run.batch > 1)
    if rate is None:
        return "the machine's int8 product was not measured"
    macs = rate.macs_per_flow[result.model.sha256]
    used = macs * result.flows_per_s.median / 1e9
    best = rate.gmac_per_s.median
    return (
        f"{macs / 1e6:.2f} M multiply-adds a flow, {used:.0f} GMAC/s of {best:.0f} "
        f"({rate.types}): {used / best:.0%}"
    )


def main(
    run: Annotated[Path | None, typer.Argument(help="A training run instead.")] = None,
    width: Annotated[int, typer.Option()] = 64,
    attention: Annotated[str, typer.Option()] = "both",
    inner: Annotated[float, typer.Option()] = 1.0,
    columns: Annotated[int, typer.Option()] = 78,
    classes: Annotated[int, typer.Option()] = 8,
    target: Annotated[str, typer.Option()] = "auto",
    batch: Annotated[int, typer.Option()] = 256,
) -> None:
    """Export a network and measure it beside its peers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape: Any = {"width": width, "attention": attention, "inner": inner}
        trained = random_run(columns, classes, **shape) if run is None else load_run(run)
        save_run(trained, folder / "torch")
        models = [folder / "int8.onnx", folder / "fp32.onnx", folder / "torch"]
        export(folder / "torch", models[0], quantize="int8", target=target, max_drop=100)
        export(folder / "torch", models[1])
        report = bench(
            models,
            scenario=("offline", "single-stream"),
            batch=batch,
            threads=1,
            peers=True,
            console=Console(quiet=True),
        )
    console = Console(width=120)
    console.print(ratios(report))
    console.print(share(report))
    for sentence in report.verdict:
        if "not measured" in sentence:
            console.print(sentence)


if __name__ == "__main__":
    typer.run(main)
