"""The command line: one verb a step of the path from packets to alerts.

stdout is data, stderr is for people. Exit 0 fine, 1 error (one sentence), 2 usage, 3 a gate said
no; a traceback only with --debug. Imports stay inside the verbs, so that each loads what it needs.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from traceback import format_exception
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
import typer.core

from idskit.cli.strict_command import Strict
from idskit.errors import IdskitError
from idskit.process.streams import standard_streams
from idskit.report.text import visible

if TYPE_CHECKING:
    from rich.console import Console

_COMPILING = "compiling the flow engine for this machine, once: one to two minutes"


class _Verbs(typer.core.TyperGroup):
    """The verbs, each with its whole sentence: click cuts what a terminal has no room for."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        verbs = ((name, self.commands[name]) for name in self.list_commands(ctx))
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.get_short_help_str(1000)) for name, verb in verbs])


app = typer.Typer(
    name="idskit",
    help="Learned network-intrusion detection on edge gateways.",
    cls=_Verbs,
    rich_markup_mode=None,  # rich cuts words and options that a terminal has no room for
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ModelArgument = Annotated[
    Path | None, typer.Argument(help="An .onnx file that idskit exported; the shipped one if none.")
]
Captures = Annotated[
    list[Path] | None,
    typer.Option("-r", "--read", help="Captures or folders of them, in time order; - is stdin."),
]
Interfaces = Annotated[
    list[str] | None,
    typer.Option(
        "-i", "--interface", help="Network interface, read until SIGINT or SIGTERM; repeatable."
    ),
]
MemoryMb = Annotated[int, typer.Option(min=1, help="Memory for open flows.")]
IdleTimeout = Annotated[
    float | None,
    typer.Option("--idle-timeout", metavar="SECONDS", help="Silence that ends a flow; 120."),
]
Filter = Annotated[
    str | None,
    typer.Option(help="Of an interface: tcp port 80, as tcpdump takes it, or tcpdump -ddd's own."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda or tensorrt: that device, or an error.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads; all that this process may use if none.")
]


def _writable(file: Path | None) -> Path | None:
    """Refuse a file that could not be written, before the work that it is for."""
    if file is not None:
        from idskit.files.output import require_place

        require_place(file)
    return file


Json = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", callback=_writable, help="Write JSON to FILE; - is stdout."
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", callback=_writable, help="Write one page with plots to FILE."
    ),
]
Markdown = Annotated[
    Path | None,
    typer.Option(
        "--markdown", metavar="FILE", callback=_writable, help="Write Markdown tables to FILE."
    ),
]
PublicKey = Annotated[
    Path | None,
    typer.Option(help="PEM file of the ed25519 key that must have signed the model (MODEL.sig)."),
]
MinVersion = Annotated[
    int | None, typer.Option(min=0, help="Lowest version that the signature may name.")
]
ModelVersion = Annotated[
    int | None,
    typer.Option(min=0, help="Version that the signature names; today's date (20261231) if none."),
]
VerdictAfter = Annotated[
    int, typer.Option(min=0, help="Judge each flow after this many packets too; 0: at its end.")
]
Data = Annotated[
    Path | None, typer.Option(help="Folder of the data set by name; a table needs none.")
]
BenignLabel = Annotated[
    list[str] | None,
    typer.Option(
        "--benign-label", help="table: what benign rows are labelled; by usual names; repeatable."
    ),
]


class _TrainCommand(Strict):
    """A command whose help shows what the training settings are if none are given."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        try:
            from idskit.training.settings import shown_defaults
        except ModuleNotFoundError:  # no training here, but help all the same
            shown = {}
        else:
            shown = shown_defaults()
        for option in self.params:
            if option.default is None and not option.required and option.name in shown:
                cast(Any, option).show_default = shown[option.name]
        super().format_help(ctx, formatter)


@app.command()
def extract(  # noqa: PLR0913, PLR0917 - one flag a setting
    capture: Captures = None,
    interface: Interfaces = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=".csv[.gz], .parquet, .arrow; CSV on stdout if none."),
    ] = None,
    schema: Annotated[
        str, typer.Option(help="gateway, packets, cic-fixed, ...: which features.")
    ] = "gateway",
    memory_mb: MemoryMb = 256,
    idle_timeout: IdleTimeout = None,
    verdict_after: VerdictAfter = 0,
    filter: Filter = None,
    json_file: Json = None,
) -> None:
    """Turn captures, or what passes an interface until Ctrl-C, into a table of flow features."""
    if bool(capture) == bool(interface):
        raise typer.BadParameter("name captures (-r) or interfaces (-i), one of them")
    if str(json_file) == "-" and str(output or "-") == "-":
        raise typer.BadParameter("--json - and the table both want stdout: name an output (-o)")
    from idskit.extract.extract import extract as extract_flows
    from idskit.flow_input import FlowInput

    given = FlowInput(
        capture=tuple(capture or ()),
        interface=tuple(interface or ()),
        memory_mb=memory_mb,
        idle_timeout_s=idle_timeout,
        verdict_after=verdict_after,
        filter=filter,
    )
    with _announcing_compilation():
        statistics = extract_flows(
            given,
            output,
            schema=schema,
            progress=sys.stderr.isatty(),
            notice=_say,
        )
    for line in statistics.lines():  # without rich, which takes as long to load as many captures
        typer.echo(visible(line), err=True)
    _write_document(json_file, statistics.to_json())
    if statistics.lost:
        raise IdskitError(f"rows of the table were lost: {statistics.lost}")


@app.command()
def generate(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The capture to write: .pcap or .pcapng.")
    ],
    packets: Annotated[int, typer.Option(min=1, help="About how many packets.")] = 10_000,
    mix: Annotated[str, typer.Option(help="home, benign, mixed or flood.")] = "home",
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Write a synthetic capture and, beside it, the true label of every flow."""
    from idskit.generate import generate as generate_capture

    made = generate_capture(output, packets=packets, mix=mix, seed=seed)
    _console().print(
        f"{made.packets:,} packets in {made.flows:,} flows over {made.duration_s:,.0f} s in "
        f"{visible(made.path)}, true labels in {visible(made.labels)}",
        highlight=False,
        markup=False,
    )


@app.command()
def lab(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the captures.")] = Path(
        "lab"
    ),
    activity: Annotated[
        list[str] | None,
        typer.Option(help="Run this activity (repeatable); without it, all that can run here."),
    ] = None,
    link: Annotated[
        list[str] | None, typer.Option(help="Run over lan, wan or lte (repeatable) [default: lan].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Vary addresses, rates and counts by this seed.")] = 0,
    list_activities: Annotated[
        bool, typer.Option("--list", help="List the activities and what they lack; run nothing.")
    ] = False,
) -> None:
    """Record real programs between network namespaces, with the label of every flow (as root)."""
    from idskit.lab.run_lab import run_lab
    from idskit.lab.show_lab import show_activities, show_report

    if list_activities:
        show_activities(_console())
        return
    report = run_lab(
        output,
        names=activity or (),
        links=link or ("lan",),
        seed=seed,
        announce=lambda line: typer.echo(line, err=True),
    )
    show_report(report, _console())


@app.command()
def audit(  # noqa: PLR0913, PLR0917 - one flag a setting
    tables: Annotated[
        list[Path], typer.Argument(help="CSV or Parquet tables, or a data set by name.")
    ],
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "--label-column", help="Label column; by its usual name if none."),
    ] = None,
    test: Annotated[list[Path] | None, typer.Option(help="Table of the test rows.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of a data set given by name.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Of a data set by name: official, honest or paper.")
    ] = None,
    labels: Annotated[
        str, typer.Option(help="Of a data set by name: binary or family.")
    ] = "binary",
    permute: Annotated[
        bool, typer.Option("--permute", help="Also train a probe on permuted labels.")
    ] = False,
    rows: Annotated[
        int, typer.Option(min=50, help="Rows whose columns are looked at, drawn at random.")
    ] = 100_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same audit.")] = 0,
    json_file: Json = None,
    html: Html = None,
) -> None:
    """Look for leaks in labelled tables; exit 3 when there is one."""
    from idskit.errors import require

    for module in ("pandas", "sklearn"):
        require(module, "train")
    from idskit.audit.run_audit import audit_dataset, audit_tables, require_clean

    shared: dict[str, Any] = {"permute": permute, "most_rows": rows, "seed": seed}
    if data is None:
        report = audit_tables(tables, test=test or (), labels=label or (), **shared)
    elif len(tables) > 1 or test or label:
        raise typer.BadParameter("--data goes with one data set by name, without --test or --label")
    else:
        report = audit_dataset(str(tables[0]), data, protocol=protocol, labels=labels, **shared)
    report.show(_console())
    _write_document(json_file, report.to_json())
    _write_document(html, report.to_html())
    require_clean(report)


@app.command(cls=_TrainCommand)
def train(  # noqa: PLR0913, PLR0917 - one flag a setting
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="nsl-kdd, ciciot2023, cicids2017, iotid20 or captures, with --data; or the path "
            "of a CSV or Parquet table of your own, or of a folder of them.",
        ),
    ],
    data: Data = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run.")] = Path(
        "runs/latest"
    ),
    protocol: Annotated[
        str | None, typer.Option(help="official, honest or paper (with its leaks).")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="binary, family, family10 (ciciot2023) or attack.")
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(help="own, or the columns that a profile computes: cic-fixed, kdd99, ..."),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="table: the column that holds the classes; by name if none.")
    ] = None,
    benign_labels: BenignLabel = None,
    more: Annotated[
        list[Path] | None,
        typer.Option(help="Tables for training alone, labels may be coarser; repeatable."),
    ] = None,
    rows: Annotated[
        int | None, typer.Option(help="Tables: at most so many, drawn at random; 0 is all.")
    ] = None,
    nonfinite: Annotated[
        str | None, typer.Option(help="Left out where NaN or infinite: rows or columns.")
    ] = None,
    max_zeros: Annotated[
        float | None, typer.Option(help="Drop columns with a larger share of zeros.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="resnet18, deep-cnn, gru, lstm, swin, kernel, svm, mlp; lightgbm, random-forest; "
            "several between commas, or all, to compare them."
        ),
    ] = "resnet18",
    frontend: Annotated[
        str | None, typer.Option(help="mfcc, stft, pcen or none; the network's own if none given.")
    ] = None,
    scaling: Annotated[
        str | None, typer.Option(help="log-standard, standard, minmax or quantile.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="onehot or ordinal.")] = None,
    signal: Annotated[
        str | None,
        typer.Option(help="features (the record) or packets (its series; --schema packets)."),
    ] = None,
    time_index: Annotated[
        bool, typer.Option("--time-index", help="Add each value's place in its series to it.")
    ] = False,
    pca: Annotated[
        int | None, typer.Option(help="Principal components of a frame's MFCCs; 0 is off.")
    ] = None,
    resample: Annotated[
        str | None, typer.Option(help="Training rows: none, over (repeat) or under (leave out).")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Channels: 64, 32, 16 or 8.")] = None,
    attention: Annotated[
        str | None, typer.Option(help="none, channel, spatial, both, or squeeze (faster).")
    ] = None,
    inner: Annotated[
        float | None, typer.Option(help="Share of channels inside a block; 0.5 halves the work.")
    ] = None,
    train_window: Annotated[bool | None, typer.Option(help="Learn the window.")] = None,
    train_dft: Annotated[bool | None, typer.Option(help="Learn the DFT.")] = None,
    train_mel: Annotated[bool | None, typer.Option(help="Learn the mel filter bank.")] = None,
    train_dct: Annotated[bool | None, typer.Option(help="Learn the DCT.")] = None,
    window_penalty: Annotated[
        float | None, typer.Option(help="Keeps a learned window smooth and symmetric; 0 is off.")
    ] = None,
    shuffle_columns: Annotated[
        bool, typer.Option("--shuffle-columns", help="The control: columns in a random order.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="At most this many.")] = None,
    pretrain: Annotated[
        int | None, typer.Option(help="Epochs before them, without labels; 0 is off.")
    ] = None,
    unlabelled: Annotated[
        list[Path] | None,
        typer.Option(help="Tables without labels for these, as extract writes; repeatable."),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after this many epochs without gain.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Rows of a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its peak.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of the network's matrices.")] = None,
    loss: Annotated[
        str | None, typer.Option(help="cross-entropy or hinge; the model's own if none given.")
    ] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="0 is off.")] = None,
    contrast: Annotated[
        float | None, typer.Option(help="Made-up attacks per training row; 0 is off.")
    ] = None,
    distill: Annotated[
        str | None, typer.Option(help="Learn the probabilities of: none, lightgbm, runs.")
    ] = None,
    distill_weight: Annotated[
        float | None, typer.Option(help="Of the teacher; the labels have the rest.")
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="Learn a run's probabilities; repeatable, seeds are all."),
    ] = None,
    prune: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Start from its weights, of each block the best --inner."),
    ] = None,
    novelty: Annotated[
        str | None, typer.Option(help="none, or autoencoder: a member that knows benign rows only.")
    ] = None,
    trees: Annotated[
        str | None,
        typer.Option(help="none, or a member averaged with the network: lightgbm, committee."),
    ] = None,
    derived: Annotated[
        str | None,
        typer.Option(help="none, or pairs: products and quotients of columns for the trees."),
    ] = None,
    tree_leaf: Annotated[
        float | None,
        typer.Option(help="Least undecided rows of a leaf of the trees, as a share of all."),
    ] = None,
    generated: Annotated[
        int | None, typer.Option(help="captures: synthetic captures to add.")
    ] = None,
    class_balance: Annotated[
        float | None, typer.Option(help="0: rows as they are; 1: classes weigh the same.")
    ] = None,
    false_positive_rate: Annotated[
        float | None, typer.Option(help="Of benign validation rows; sets the threshold.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same run.")] = None,
    split_seed: Annotated[
        int | None, typer.Option(help="Of the division of the data; the seed if none.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Train so often: spread, one run kept; 1 if none, 5 with --html."),
    ] = None,
    keep: Annotated[
        str, typer.Option(help="Of several seeds, by validation loss: median or best.")
    ] = "median",
    leave_one_attack_out: Annotated[
        bool,
        typer.Option("--leave-one-attack-out", help="Also train without each attack: is it found?"),
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32; bf16 or fp16: mixed precision.")
    ] = None,
    threads: Threads = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    json_file: Json = None,
    html: Html = None,
) -> None:
    """Train, measure beside LightGBM, and write a run folder.

    DATASET is a data set by name, whose folder --data names, or a table of your own.
    """
    given = {k: v for k, v in locals().items() if v is not None}
    _require_train()
    from idskit.data.datasets import located
    from idskit.models.network import MODELS
    from idskit.training.evaluation.leave_attack_out import report_left_out
    from idskit.training.seeds import train_seeds
    from idskit.training.settings import TrainingSettings
    from idskit.training.views.training_page import SEEDS, save_page
    from idskit.training.views.training_tables import show_metrics

    given["dataset"], data = located(dataset, data)
    others = ("data", "output", "resume", "json_file", "seeds", "keep", "html")
    for name in (*others, "leave_one_attack_out"):
        given.pop(name, None)
    if model not in MODELS:
        if seeds or html or leave_one_attack_out:
            raise typer.BadParameter(
                "--seeds, --html and --leave-one-attack-out are of one model: name one --model"
            )
        _compare_models(model, given, data=data, output=output, resume=resume, json_file=json_file)
        return
    if leave_one_attack_out and (teacher or prune or more):
        raise typer.BadParameter("--leave-one-attack-out goes without --teacher, --prune, --more")
    settings = TrainingSettings(**given)
    run: dict[str, Any] = {"data": data, "output": output, "resume": resume}
    metrics = train_seeds(settings, seeds or (SEEDS if html else 1), **run | {"keep": keep})
    if not metrics:  # the first process of torchrun says it all
        return
    if leave_one_attack_out:
        metrics = report_left_out(settings, metrics, **run)
    if html is not None:
        save_page(html, metrics, output)
    show_metrics(metrics, _console())
    _console().print(f"run written to {visible(output)}", highlight=False, markup=False)
    _write_document(json_file, metrics)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a run, or an .onnx file.")],
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="Name or table, as of train; not its own is transfer."
        ),
    ],
    data: Data = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            help="table, of transfer: the column that holds the classes; by name if none."
        ),
    ] = None,
    benign_labels: BenignLabel = None,
    device: Device = "cpu",
    threads: Threads = None,
    json_file: Json = None,
) -> None:
    """Score a run or an exported file on held-out test rows, or on another data set."""
    _require_train()
    from idskit.data.datasets import located
    from idskit.training.evaluation.evaluate import evaluate as evaluate_model
    from idskit.training.views.training_tables import show_evaluation

    dataset, data = located(dataset, data)
    result = evaluate_model(
        model,
        dataset,
        data=data,
        device=device,
        threads=threads,
        label_column=label_column,
        benign_labels=benign_labels or (),
    )
    show_evaluation(result, _console())
    _write_document(json_file, result)


@app.command()
def export(  # noqa: PLR0913, PLR0917 - one flag a setting
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")] = Path("runs/latest"),
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")] = Path(
        "model.onnx"
    ),
    quantize: Annotated[
        str, typer.Option(help="none, int8, or fp16 (--target cuda or jetson).")
    ] = "none",
    target: Annotated[
        str, typer.Option(help="auto, x86-64, x86-64-vnni, arm64, rpi4, rpi5, jetson, cuda, ...")
    ] = "auto",
    max_drop: Annotated[
        float, typer.Option(help="Points of macro-F1 int8 may lose, or exit 3.")
    ] = 0.5,
    emit: Annotated[
        list[str] | None,
        typer.Option(help="Also write python (a script) or c (a header) beside it; repeatable."),
    ] = None,
    sign: Annotated[
        Path | None, typer.Option(help="PEM file of the ed25519 key that signs it (FILE.sig).")
    ] = None,
    model_version: ModelVersion = None,
    qdq: Annotated[
        bool, typer.Option("--qdq", help="int8 as QDQ pairs, for runtimes other than onnxruntime.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Verify and write nothing.")] = False,
    json_file: Json = None,
) -> None:
    """Fold, lower, quantise and verify a run: one .onnx file that needs only onnxruntime."""
    from idskit.errors import require

    for module in ("torch", "onnx", "safetensors"):
        require(module, "export")
    from idskit.export import export as export_run

    report = export_run(
        run,
        output,
        quantize=quantize,
        target=target,
        max_drop=max_drop,
        emit=emit or (),
        sign=sign,
        model_version=model_version,
        qdq=qdq,
        dry_run=dry_run,
    )
    report.show(_console())
    _write_document(json_file, report.to_json())


@app.command()
def sign(
    model: Annotated[Path, typer.Argument(help="An .onnx file that idskit exported.")],
    key: Annotated[Path, typer.Option(help="PEM file of an ed25519 private key.")],
    model_version: ModelVersion = None,
) -> None:
    """Sign a model file: its signature is written beside it as MODEL.sig."""
    from idskit.modelfile.model_file import read_model
    from idskit.modelfile.signature import Signer

    signer = Signer.load(key, model_version)
    signature = signer.sign(model, read_model(model).sha256)
    _console().print(
        f"signature of version {signer.version} written to {signature}",
        highlight=False,
        markup=False,
    )


@app.command()
def inspect(
    model: ModelArgument = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Replay the golden vectors on this machine.")
    ] = False,
    public_key: PublicKey = None,
    min_version: MinVersion = None,
    json_file: Json = None,
) -> None:
    """Show what a model file says about itself."""
    from idskit.detect.detector_options import ModelOptions
    from idskit.detect.inspect_model import inspect as inspect_model
    from idskit.detect.inspect_model import require_verified

    options = ModelOptions(public_key=public_key, min_version=min_version)
    found = inspect_model(model, options, verify=verify)
    found.show(_console())
    _write_document(json_file, found.to_json())
    if verify:
        require_verified(found)


@app.command()
def detect(  # noqa: PLR0913, PLR0917 - one flag a setting
    model: ModelArgument = None,
    capture: Captures = None,
    interface: Interfaces = None,
    flows: Annotated[
        Path | None, typer.Option(help="A CSV or Parquet table of the model's features.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File that alerts are appended to; stdout if none."),
    ] = None,
    rotate_mb: Annotated[
        int, typer.Option(min=0, help="Size of that file before it becomes FILE.1; 0: no limit.")
    ] = 100,
    threshold: Annotated[
        float | None, typer.Option(help="Alert at this score; the model's own if none.")
    ] = None,
    verdict_after: VerdictAfter = 0,
    filter: Filter = None,
    memory_mb: MemoryMb = 256,
    idle_timeout: IdleTimeout = None,
    device: Device = "cpu",
    threads: Threads = None,
    public_key: PublicKey = None,
    min_version: MinVersion = None,
) -> None:
    """Write an alert (EVE, one JSON a line) for every flow that looks like an attack."""
    from idskit.detect.detect_flows import detect as detect_flows
    from idskit.detect.detector_options import DetectorOptions
    from idskit.flow_input import FlowInput

    given = FlowInput(
        capture=tuple(capture or ()),
        interface=tuple(interface or ()),
        flows=flows,
        memory_mb=memory_mb,
        idle_timeout_s=idle_timeout,
        verdict_after=verdict_after,
        filter=filter,
    )
    options = DetectorOptions(
        device=device,
        threads=threads,
        threshold=threshold,
        public_key=public_key,
        min_version=min_version,
    )
    with _announcing_compilation():
        summary = detect_flows(
            model, given, options, output=output, rotate_mb=rotate_mb, notice=_say
        )
    summary.show(_console())
    if summary.lost:
        raise IdskitError(summary.lost)
    if summary.lines_lost:
        raise typer.Exit(1)


@app.command()
def bench(  # noqa: PLR0913, PLR0917 - one flag a setting
    models: Annotated[
        list[Path] | None, typer.Argument(help=".onnx files and run folders; the shipped if none.")
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            help="single-stream, offline, server, pipeline, sustained; all but the last if none."
        ),
    ] = None,
    device: Device = "cpu",
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Threads; several to compare counts; all usable if none."),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Also torch.compile, for run folders.")
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Also half precision in torch, for run folders on cuda.")
    ] = False,
    cuda_graph: Annotated[
        bool, typer.Option("--cuda-graph", help="Also kernels as a CUDA graph, for ONNX on cuda.")
    ] = False,
    batch: Annotated[int | None, typer.Option(help="Flows a call; several sizes if none.")] = None,
    bound_ms: Annotated[
        float | None, typer.Option("--bound-ms", help="Server: p99 allowed; 10 if none.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Sustained: how long; 5 if none.")] = None,
    capture: Annotated[
        Path | None, typer.Option("-r", "--read", help="Capture of the pipeline scenario.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Pipeline: packets a second; as fast as it can if none.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Seconds, with wider spread.")] = False,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers", help="Also what else would run the run folder, or extract flows (pipeline)."
        ),
    ] = False,
    peer_python: Annotated[
        Path | None,
        typer.Option(envvar="IDSKIT_PEER_PYTHON", help="Python that has nfstream and netflower."),
    ] = None,
    earlier: Annotated[
        Path | None, typer.Option("--from", help="Show this result file, measure nothing.")
    ] = None,
    json_file: Json = None,
    html: Html = None,
    markdown: Markdown = None,
) -> None:
    """Measure how fast models run on this machine."""
    from idskit.bench.run_bench import bench as bench_models
    from idskit.bench.run_bench import show_file

    if earlier is not None:
        show_file(earlier, html=html, markdown=markdown, console=_console())
        return
    with _announcing_compilation():
        bench_models(
            models or (),
            scenario=scenario or (),
            device=device,
            threads=threads or (),
            compiled=compiled,
            half=half,
            cuda_graph=cuda_graph,
            batch=batch,
            bound_ms=bound_ms,
            minutes=minutes,
            capture=capture,
            rate=rate,
            quick=quick,
            peers=peers,
            peer_python=peer_python,
            json=json_file,
            html=html,
            markdown=markdown,
            console=_console(),
        )


@app.command()
def compare(
    files: Annotated[list[Path], typer.Argument(help="Results of idskit bench --json.")],
    json_file: Json = None,
    html: Html = None,
    markdown: Markdown = None,
) -> None:
    """Compare benchmark results with the first one; exit 3 when one is slower beyond noise."""
    from idskit.bench.views.compare_results import compare as compare_files
    from idskit.bench.views.compare_results import require_no_regression

    comparison = compare_files(
        files, json=json_file, html=html, markdown=markdown, console=_console()
    )
    require_no_regression(comparison)


@app.command()
def doctor(
    warm: Annotated[
        bool, typer.Option("--warm", help="Compile the flow engine ahead of its first use.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Show what will and will not work on this machine, and what to do about it."""
    from idskit.machine.doctor import doctor as examine
    from idskit.machine.doctor import require_detection

    diagnosis = examine(warm=warm)
    diagnosis.show(_console())
    _write_document(json_file, diagnosis.to_json())
    require_detection(diagnosis)


@app.callback(invoke_without_command=True)
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[  # noqa: ARG001 - read by main
        bool, typer.Option("--debug", help="Show a traceback for every error.")
    ] = False,
) -> None:
    if show_version:
        from idskit import __version__

        typer.echo(__version__)
        raise typer.Exit


for command in app.registered_commands:
    if command.cls is not _TrainCommand:
        command.cls = Strict


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every error meant for people is one sentence on stderr."""
    _relieve_collector()
    given = list(sys.argv[1:] if arguments is None else arguments)
    words = [word for word in given if word != "--debug"]  # allowed anywhere
    try:
        with standard_streams():
            app(words)
    except Exception as error:
        if "--debug" in given:
            typer.echo(_traceback(error), err=True)
            sys.exit(error.exit_code if isinstance(error, IdskitError) else 1)
        known = isinstance(error, IdskitError)
        kind = "" if known else f"unexpected {type(error).__name__}: "
        hint = "" if known else " (run again with --debug and report it)"
        typer.echo(f"idskit: {visible(f'{kind}{error}')}{hint}", err=True)
        sys.exit(error.exit_code if isinstance(error, IdskitError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)  # 128 + SIGINT, as shells report it


def _traceback(error: Exception) -> str:
    """The traceback of an error whose words may be of others."""
    ours = "  ", "\n", "Traceback"  # the beginnings of parts that Python itself writes
    parts = [visible(part, lines=part.startswith(ours)) for part in format_exception(error)]
    return "".join(part.removesuffix("\\n") for part in parts)


def _relieve_collector() -> None:
    """Let the garbage collector look less often, and not at all when the process ends.

    Loading the flow engine makes some 200,000 objects that stay: going through them again and again
    took 0.1 s of a start, and once more at the end 0.2 s.
    """
    gc.set_threshold(300_000, 20, 20)
    atexit.register(gc.freeze)


def _say(sentence: str) -> None:
    """Say something while work goes on."""
    typer.echo(f"idskit: {visible(sentence)}", err=True)


def _console() -> Console:
    from idskit.report.console import PeopleConsole

    return PeopleConsole()


def _announcing_compilation() -> AbstractContextManager[None]:
    """Within this context, the long wait of a first use is explained, once, as it begins."""
    from idskit.kernels.compile import on_first_compilation

    return on_first_compilation(lambda: typer.echo(_COMPILING, err=True))


def _compare_models(
    models: str,
    given: dict[str, Any],
    *,
    data: Path,
    output: Path,
    resume: bool,
    json_file: Path | None,
) -> None:
    """Train several models, or trees, and show them side by side."""
    from idskit.training.evaluation.compare_models import compare as compare_trained
    from idskit.training.evaluation.compare_models import models_named
    from idskit.training.settings import TrainingSettings

    names = models_named(models)
    settings = TrainingSettings(**{k: v for k, v in given.items() if k != "model"})
    comparison = compare_trained(settings, names, data=data, output=output, resume=resume)
    comparison.show(_console())
    _console().print(f"comparison written to {visible(output)}", highlight=False, markup=False)
    _write_document(json_file, comparison.to_json())


def _write_document(file: Path | None, document: Any) -> None:
    """Write a text as it is, anything else as JSON, to ``file``, or to stdout for ``-``."""
    if file is None:
        return
    text = document if isinstance(document, str) else json.dumps(document, indent=2)
    if str(file) == "-":
        print(text)
        return
    from idskit.files.output import write_whole

    write_whole(file, lambda path: path.write_text(text + "\n"))


def _require_train() -> None:
    import idskit.training  # noqa: F401 - says where matplotlib keeps its fonts
    from idskit.errors import require

    # Before torch starts its threads: those that wait for each other must not hold a core while
    # others work on it. On two busy cores two threads gave 65 records a second, and 940 so.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for module in ("torch", "pandas", "sklearn", "lightgbm", "matplotlib", "safetensors"):
        require(module, "train")


if __name__ == "__main__":
    main()
