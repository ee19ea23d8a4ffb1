"""Networks with less work than the paper's, as int8 files, beside what others make of the paper's.

    python -m tests.export.variants --save bench/results/paper_network.json --machine "..."

Random weights: they do not change the speed. All take turns in one process, on one thread, by the
processor's time, as in ``tests.export.speed``. How accurate the variants are is for training to say
(bench/experiments/width.csv).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from tests.export.speed import Use, measured_use, processor_times, random_run

from idskit.bench.peers.model_peers import open_peers
from idskit.bench.subject import Rows, Subject, open_subject, realistic_rows
from idskit.bench.views.measured_table import PERCENT, Measure, MeasuredTable, Number, checked_out
from idskit.export import export
from idskit.models.resnet import Attention
from idskit.models.saved_run import save_run

# Attention, and share of its channels inside a block: the paper's network first.
VARIANTS: tuple[tuple[Attention, float], ...] = (
    ("both", 1.0),
    ("squeeze", 1.0),
    ("squeeze", 0.25),
    ("squeeze", 0.125),
)
PAPERS = "the paper's network, int8"


def export_variant(
    folder: Path, columns: int, classes: int, *, width: int, attention: Attention, inner: float
) -> Path:
    """An int8 file; the run that it is made of lies beside it, under the same name."""
    made = folder / f"{attention} {inner:g}"
    save_run(random_run(columns, classes, width=width, attention=attention, inner=inner), made)
    model = folder / f"{made.name}.onnx"
    export(made, model, quantize="int8", max_drop=100)
    return model


def described(attention: Attention, inner: float) -> str:
    """The name of a variant for people: what `idskit train --set` is given."""
    is_papers = (attention, inner) == VARIANTS[0]
    return PAPERS if is_papers else f"attention={attention}, inner={inner:g}"


def _proper(peer: Subject) -> str:
    return peer.model.name.replace("lightgbm", "LightGBM").replace("openvino", "OpenVINO")


def measures(
    ours: list[Subject], others: list[Subject], times: dict[int, dict[str, Rows]], used: list[Use]
) -> Iterator[Measure]:
    """Time, size and share of the machine of each variant; others run the paper's network."""
    for number, (subject, use) in enumerate(zip(ours, used, strict=True)):
        name = described(*VARIANTS[number])
        for batch, by_name in times.items():
            us = {_proper(other): by_name[other.model.name][1] for other in others}
            if number > 0:
                us = {PAPERS: by_name[ours[0].model.name][1]}
            yield Measure(
                measure=f"{name}: a flow, {batch} at once" if batch > 1 else f"{name}: one flow",
                unit="µs",
                idskit=Number(value=round(by_name[subject.model.name][1], 1)),
                others={o: Number(value=round(us[o], 1)) for o in sorted(us, key=lambda o: us[o])},
            )
        megabytes = round(subject.model.bytes / 1e6, 2)
        yield Measure(measure=f"{name}: size", unit="MB", idskit=Number(value=megabytes))
        measure = f"{name}: share of the machine's int8 product"
        yield Measure(measure=measure, unit=PERCENT, idskit=Number(value=use.share))


def main(
    save: Annotated[Path, typer.Option(help="The table, as a file of bench/results.")],
    machine: Annotated[str, typer.Option(help="On which it is measured.")],
    width: Annotated[int, typer.Option()] = 64,
    columns: Annotated[int, typer.Option()] = 78,
    classes: Annotated[int, typer.Option()] = 8,
    batch: Annotated[int, typer.Option()] = 256,
) -> None:
    """Export every variant, measure it beside the peers of the first, and write the table."""
    with tempfile.TemporaryDirectory() as name:
        models = [
            export_variant(Path(name), columns, classes, width=width, attention=a, inner=i)
            for a, i in VARIANTS
        ]
        ours = [open_subject(model, threads=1) for model in models]
        others, missing = open_peers(models[0].with_suffix(""), threads=1)
        paper = random_run(columns, classes, width=width, attention="both", inner=1.0)
        rows = realistic_rows(paper.held.flows, paper.schema, batch, seed=0)
        times = {n: processor_times([*ours, *others], rows[:n]) for n in (batch, 1)}
        used = [
            measured_use(model.read_bytes(), rows, times[batch][subject.model.name][1])
            for model, subject in zip(models, ours, strict=True)
        ]
    MeasuredTable(
        title="Speed of the paper's network, and of networks with less work",
        about=f"int8 files of ResNet-18, width {width}, {columns} columns, {classes} classes; "
        "one thread, processor time, medians. What else runs the paper's network is beside it: "
        "plain is torch's own export in onnxruntime; LightGBM has 300 trees a class.",
        commands=("python -m tests.export.variants --save FILE --machine TEXT",),
        revision=checked_out(),
        machine=machine,
        rows=tuple(measures(ours, others, times, used)),
        notes=(
            *(f"{described(*v)}: {use}" for v, use in zip(VARIANTS, used, strict=True)),
            *missing,
        ),
    ).save(save)


if __name__ == "__main__":
    typer.run(main)
