"""Verbs that make and judge models: audit, train, evaluate, export."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from idskit.cli.flags import BenignLabel, Data, Device, Html, Json, Threads
from idskit.cli.notices import conclude, console, write_document
from idskit.cli.verb import verb
from idskit.errors import require_all
from idskit.options import option

if TYPE_CHECKING:
    from idskit.export.export_options import ExportOptions
    from idskit.training.settings import TrainingSettings


def _require_train() -> None:
    import idskit.training  # noqa: F401 - says where torch keeps what it compiles

    # Before torch starts its threads: those that wait for each other must not hold a core while
    # others work on it. On two busy cores two threads gave 65 records a second, and 940 so.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    require_all("train", "torch", "pandas", "sklearn", "lightgbm", "safetensors")


@verb()
def audit(  # noqa: PLR0913, PLR0917 - one parameter per flag
    tables: Annotated[
        list[Path],
        typer.Argument(help="CSV or Parquet tables, or the name of a data set with --data"),
    ],
    data: Data = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label-column",
            metavar="NAME",
            help="Column that holds the labels; repeatable; found by its usual name if omitted",
        ),
    ] = None,
    test: Annotated[
        list[Path] | None,
        typer.Option(metavar="TABLE", help="Table of the test rows; repeatable"),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="How a named data set is divided: official, honest or paper"),
    ] = None,
    labels: Annotated[
        str, typer.Option(help="Labels of a named data set: binary or family")
    ] = "binary",
    permute: Annotated[
        bool, typer.Option("--permute", help="Also train a probe on permuted labels")
    ] = False,
    rows: Annotated[
        int, typer.Option(min=50, help="Maximum number of rows to examine, drawn at random")
    ] = 100_000,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same audit")] = 0,
    json_file: Json = None,
    html: Html = None,
) -> None:
    """Look for data leakage in labelled tables; exit 3 if there is any."""
    require_all("train", "pandas", "sklearn")
    from idskit.audit.run_audit import audit_dataset, audit_tables, require_clean
    from idskit.data.datasets import located

    shared: dict[str, Any] = {"permute": permute, "most_rows": rows, "seed": seed}
    if not data:
        report = audit_tables(tables, test=test or (), labels=label or (), **shared)
    elif len(tables) > 1 or test or label:
        raise typer.BadParameter(
            "--data goes with one data set by name, without --test and --label-column"
        )
    else:
        report = audit_dataset(
            *located(str(tables[0]), data), protocol=protocol, labels=labels, **shared
        )
    report.show(console())
    write_document(json_file, report.to_json())
    write_document(html, report.to_html())
    require_clean(report)


@dataclass(frozen=True, kw_only=True)
class SeedChoice:
    """Which of several seeds' runs stays in the output folder."""

    keep: Literal["median", "best"] = option(
        "median", "Run to keep of several seeds, by validation loss", advanced=True
    )


@dataclass(frozen=True, kw_only=True)
class LeaveOut:
    """Which captures are left out in turn, to measure on networks that training never saw."""

    leave_out: Sequence[Literal["repositories", "groups", "categories"]] = option(
        (),
        "Leave parts of the captures out of training in turn and measure on them, instead of "
        "writing a run: repositories (labs), groups (scenarios) or categories (families of "
        "attacks); repeatable",
    )
    folds: int = option(
        8, "Maximum number of folds of repositories or groups", low=3, high=1000, advanced=True
    )


@verb("idskit.training.settings:TrainingSettings", SeedChoice, LeaveOut, extra="train")
def train(  # noqa: PLR0913 - one parameter per flag
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="nsl-kdd, ciciot2023, cicids2017, iotid20 or captures, with --data; or the path "
            "of a CSV or Parquet table of your own, or of a folder of them",
        ),
    ],
    data: Data = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to write the run to")
    ] = Path("runs/latest"),
    *,
    settings: TrainingSettings,
    choice: SeedChoice,
    parts: LeaveOut,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Model to train: resnet18, deep-cnn, gru, lstm, swin, kernel, svm, mlp, lightgbm "
            "or random-forest; several between commas, or all, to compare them",
        ),
    ] = "resnet18",
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", show_default="1; 5 with --html", help="Number of training seeds"
        ),
    ] = None,
    leave_one_attack_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-attack-out",
            help="Also train without each attack in turn, and report whether it is detected",
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the checkpoint in the run's folder")
    ] = False,
    json_file: Json = None,
    html: Html = None,
) -> None:
    """Train a model, measure it next to LightGBM, and write a run folder.

    DATASET is a data set by name, whose folder --data names, or a table of your own.
    """
    _require_train()
    from idskit.data.datasets import located
    from idskit.models.network import MODELS
    from idskit.training.evaluation.leave_attack_out import report_left_out
    from idskit.training.seeds import train_seeds
    from idskit.training.views.training_page import SEEDS, save_page
    from idskit.training.views.training_tables import show_metrics

    named, folders = located(dataset, data or ())
    settings = replace(settings, dataset=named)
    run: dict[str, Any] = {"data": folders, "output": output, "resume": resume}
    if parts.leave_out:
        if named != "captures" or seeds or html or leave_one_attack_out:
            raise typer.BadParameter(
                "--leave-out goes with captures, without --seeds, --html and --leave-one-attack-out"
            )
        _leave_out(settings, parts, model, json_file, **run)
        return
    if model not in MODELS:
        if seeds or html or leave_one_attack_out:
            raise typer.BadParameter(
                "--seeds, --html and --leave-one-attack-out train one model: name one with --model"
            )
        _compare_models(settings, model, json_file, **run)
        return
    settings = replace(settings, model=model)
    if leave_one_attack_out and (settings.resolved().teacher_runs() or settings.more):
        raise typer.BadParameter("--leave-one-attack-out goes without --teacher and --set more")
    count = seeds or (SEEDS if html else 1)
    metrics = train_seeds(settings, count, keep=choice.keep, **run)
    if not metrics:  # the first process of torchrun reports for all
        return
    if leave_one_attack_out:
        metrics = report_left_out(settings, metrics, **run)
    if html is not None:
        save_page(html, metrics, output)
    show_metrics(metrics, console())
    conclude(f"run written to {output}")
    write_document(json_file, metrics)


def _leave_out(
    settings: TrainingSettings, parts: LeaveOut, model: str, json_file: Path | None, **run: Any
) -> None:
    """Train without parts of the captures in turn, and show how they are judged."""
    from idskit.models.network import MODELS
    from idskit.training.evaluation.leave_captures_out import BASELINE, leave_captures_out
    from idskit.training.views.capture_tables import show_left_out

    if model in MODELS:
        settings = replace(settings, model=model)
    elif model != BASELINE:
        raise typer.BadParameter(
            f"--leave-out trains one network next to trees, or trees alone ({BASELINE}): name one "
            "of these with --model"
        )
    network = model != BASELINE
    kinds = tuple(dict.fromkeys(parts.leave_out))
    found = leave_captures_out(settings, kinds, network=network, folds=parts.folds, **run)
    show_left_out(found, console())
    write_document(json_file, found)


def _compare_models(
    settings: TrainingSettings, models: str, json_file: Path | None, **run: Any
) -> None:
    """Train several models, or trees, and show them side by side."""
    from idskit.training.evaluation.compare_models import compare, models_named

    comparison = compare(settings, models_named(models), **run)
    comparison.show(console())
    conclude(f"comparison written to {run['output']}")
    write_document(json_file, comparison.to_json())


@verb()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a run, or an .onnx file")],
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="Data set by name or table, as for train; one other than the training data "
            "measures transfer",
        ),
    ],
    data: Data = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column that holds the classes of a table; found by its usual name if omitted",
        ),
    ] = None,
    benign_labels: BenignLabel = None,
    device: Device = "cpu",
    threads: Threads = None,
    json_file: Json = None,
) -> None:
    """Measure a trained or exported model on held-out test rows, or on another data set."""
    _require_train()
    from idskit.data.datasets import located
    from idskit.training.evaluation.evaluate import evaluate as evaluate_model
    from idskit.training.views.training_tables import show_evaluation

    dataset, folders = located(dataset, data or ())
    result = evaluate_model(
        model,
        dataset,
        data=folders,
        device=device,
        threads=threads,
        label_column=label_column,
        benign_labels=benign_labels or (),
    )
    show_evaluation(result, console())
    write_document(json_file, result)


@verb("idskit.export.export_options:ExportOptions")
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run")] = Path("runs/latest"),
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The .onnx file to write")
    ] = Path("model.onnx"),
    *,
    options: ExportOptions,
    json_file: Json = None,
) -> None:
    """Turn a training run into one verified .onnx file that needs only onnxruntime."""
    require_all("export", "torch", "onnx", "safetensors")
    from idskit.export import export as export_run

    report = export_run(run, output, options)
    report.show(console())
    write_document(json_file, report.to_json())
