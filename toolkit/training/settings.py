"""Everything that training may be told: fields, command-line flags and run.json are one list."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from idskit.data.dataset import OWN, Labels, Nonfinite, Protocol, Reading
from idskit.data.resample import RESAMPLES, Resample
from idskit.detect.detector_options import MAX_THREADS
from idskit.errors import RunError
from idskit.models.frontend import MFCCSettings
from idskit.models.members.autoencoder import NOVELTIES, Novelty
from idskit.models.members.tree_member import TREE_MEMBERS, TreeMember
from idskit.models.network import (
    FRONTENDS,
    MODELS,
    OWN_FRONTENDS,
    FrontEndName,
    Model,
    NetworkSettings,
)
from idskit.models.preparation import ENCODINGS, SCALINGS, SIGNALS, Encoding, Scaling, Signal
from idskit.models.resnet import ATTENTIONS, WIDTHS, Attention
from idskit.models.saved_run import fingerprint, members_of
from idskit.tables.matrix import sha256_of, table_files
from idskit.training.distributed import started_here
from idskit.training.members.choose_derived import DERIVED, DerivedColumns
from idskit.training.members.teachers import DISTILLS, Distill

Device = Literal["cpu", "cuda"]
# Of the network behind the front end in training: its products in sixteen bits, its weights, the
# front end and all that is measured in thirty-two (P. Micikevicius et al., ICLR 2018).
Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
Loss = Literal["cross-entropy", "hinge"]
LOSSES: tuple[Loss, ...] = ("cross-entropy", "hinge")
SMALL_WIDTH = 16
LARGEST_SEED = (1 << 32) - 1  # that every library takes


# What a data set's own rows ask for, as measured on validation rows (README.md of this folder).
OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "nsl-kdd": {
        "protocol": "official",
        "generated": 0,
        "contrast": 0.0,
        "distill": "none",
        "novelty": "autoencoder",
        "trees": "lightgbm",
        "derived": "none",
        "batch": 512,
        "epochs": 20,
        "false_positive_rate": 0.01,
    },
    "captures": {
        "protocol": "honest",
        "generated": 8,
        "contrast": 0.1,
        "distill": "lightgbm",
        "novelty": "autoencoder",
        "trees": "none",
        "derived": "none",
        "batch": 256,
        "epochs": 20,
        "false_positive_rate": 0.005,
    },
}
# Of the other data sets, on which nothing was measured yet.
TABLE_DEFAULTS: dict[str, Any] = {
    "protocol": "honest",
    "generated": 0,
    "contrast": 0.0,
    "distill": "none",
    "novelty": "none",
    "trees": "lightgbm",
    "derived": "none",
    "batch": 256,
    "epochs": 20,
    "false_positive_rate": 0.01,
}
OWN_DEFAULTS["ciciot2023"] = {**TABLE_DEFAULTS, "trees": "committee", "derived": "pairs"}
PAPER_ZEROS = 0.5  # arXiv 2507.10622 leaves out columns of more zeros


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What is trained, on what, and how; the same settings and data give the same run.

    The repetition is exact on the CPU for the same number of threads. None stands for what
    ``resolved`` puts there: the data set's or the protocol's own.
    """

    dataset: str = "nsl-kdd"
    protocol: Protocol | None = None  # None: the publisher's split where there is one, else honest
    labels: Labels = "binary"  # benign and attack, or benign and the families, or every attack
    schema: str = OWN  # the data set's own columns, or those of a profile of the flow engine
    label_column: str | None = None  # of a table that is no known data set; None: by its name
    benign_labels: Sequence[str] = ()  # of it; none: by their usual names
    more: Sequence[Path] = ()  # further tables, of coarser labels perhaps, for training rows alone
    rows: int = 0  # of tables, at most so many, drawn at random; 0: all
    nonfinite: Nonfinite | None = None  # left out where NaN or infinite; None: rows, paper columns
    max_zeros: float | None = None  # columns with a larger share of zeros are dropped; 1 drops none
    generated: int | None = None  # captures from the project's own generator, for ``captures``
    model: Model = "resnet18"
    frontend: FrontEndName | None = None  # None: the one that the model's source shows it
    scaling: Scaling | None = None  # None: minmax for the paper protocol, else log-standard
    encoding: Encoding | None = None  # None: ordinal for the paper protocol, else onehot
    signal: Signal | None = None  # the record, or its series of packets; None: the schema's
    time_index: bool = False  # a value's place in its series, 0 to 1, is added to it
    pca: int = 0  # principal components kept of a frame's MFCCs; 0: the MFCCs themselves
    resample: Resample = "none"  # training rows: classes made as large as the largest, or as small
    width: int = 16  # channels of the first stage: 64, 32, 16 or 8
    attention: Attention = "both"
    inner: float = 1.0  # share of its channels that a block has between its convolutions
    train_window: bool = True  # each stage of the front end: learned, or fixed at its MFCC values
    train_dft: bool = True
    train_mel: bool = True
    train_dct: bool = True
    window_penalty: float = 1e-3  # keeps a trained window smooth and symmetric
    shuffle_columns: bool = False  # the control: one random order, drawn by the seed
    epochs: int | None = None  # at most; the learning rate falls to zero over them
    patience: int = 10  # stop after this many epochs without a better validation loss
    batch: int | None = None  # rows of a step
    learning_rate: float = 2e-3  # at its peak
    weight_decay: float = 0.05  # of the network's matrices, not of the front end
    loss: Loss | None = None  # None: hinge for svm, else cross-entropy
    label_smoothing: float = 0.0
    # Made-up attacks per training row (contrast.py), whose probabilities are learned beside the
    # labels (distill.py), and a member that knows benign rows only (novelty.py).
    contrast: float | None = None
    distill: Distill | None = None
    distill_weight: float = 0.5  # of the teacher's probabilities; the labels have the rest
    teacher: Sequence[Path] = ()  # runs whose probabilities are learned; of several seeds all
    prune: Path | None = None  # the run whose weights training starts from (models/prune.py)
    pretrain: int = 0  # epochs without labels before the others (pretrain.py); 0: none
    unlabelled: Sequence[Path] = ()  # tables of further rows for them
    novelty: Novelty | None = None
    trees: TreeMember | None = None  # a member whose probabilities are averaged with the network's
    tree_leaf: float = 0.0  # least undecided rows of a leaf, as a share of all; 0: any
    derived: DerivedColumns | None = None  # products and quotients of columns, for the trees
    class_balance: float = 0.0  # rows weigh 1 / (class size ** this): 0 as they are, 1 balanced
    false_positive_rate: float | None = None  # of benign validation rows; sets the threshold
    seed: int = 0
    split_seed: int | None = None  # of the division of the data; None: the seed
    device: Device = "cpu"
    precision: Precision = "fp32"  # bf16 and fp16: mixed precision
    threads: int = 0  # of the CPU; 0: one up to width 16, else as many as this process may use

    def resolved(self) -> ResolvedSettings:
        """The same settings with a value in place of every None."""
        paper = self.protocol == "paper"
        own: dict[str, Any] = {
            "scaling": "minmax" if paper else "log-standard",
            "encoding": "ordinal" if paper else "onehot",
            "split_seed": self.seed,
            "frontend": OWN_FRONTENDS.get(self.model, "mfcc"),
            "signal": "packets" if self.schema == "packets" else "features",
            "loss": "hinge" if self.model == "svm" else "cross-entropy",
            "nonfinite": "columns" if paper else "rows",
            "max_zeros": PAPER_ZEROS if paper else 1.0,
            **OWN_DEFAULTS.get(self.dataset, TABLE_DEFAULTS),
        }
        if paper:  # as published: one network
            own |= {"distill": "none", "novelty": "none", "trees": "none", "derived": "none"}
        if self.model == "svm":  # its loss takes labels only
            own["distill"] = "none"
        if self.teacher:
            own["distill"] = "runs"
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if given.get("trees") == "none":  # only they look at derived columns
            own["derived"] = "none"
        return ResolvedSettings(**own | given | {"threads": self.threads or _own_threads(self)})


def _own_threads(settings: TrainingSettings) -> int:
    """Threads worth having.

    Small networks gain little from a second thread, and lose much where other processes share the
    cores: threads then wait for each other at the end of every small operation.
    """
    if settings.width <= SMALL_WIDTH:
        return 1
    return max(len(os.sched_getaffinity(0)) // started_here(), 1)


@dataclass(frozen=True, kw_only=True)
class ResolvedSettings(TrainingSettings):
    """Settings without a None."""

    protocol: Protocol
    nonfinite: Nonfinite
    max_zeros: float
    generated: int
    frontend: FrontEndName
    scaling: Scaling
    encoding: Encoding
    signal: Signal
    loss: Loss
    epochs: int
    batch: int
    contrast: float
    distill: Distill
    novelty: Novelty
    trees: TreeMember
    derived: DerivedColumns
    false_positive_rate: float
    split_seed: int

    def recorded(self) -> dict[str, Any]:
        """Every setting as run.json keeps it, further tables and earlier runs by their SHA-256.

        Raises:
            RunError: an earlier run is not there.
            DataError: a table is not there.
        """
        members = [member for folder in self.teacher for member in members_of(folder)]
        return asdict(self) | {
            "benign_labels": list(self.benign_labels),
            "more": _hashes(self.more),
            "unlabelled": _hashes(self.unlabelled),
            "teacher": [fingerprint(member) for member in members],
            "prune": self.prune and fingerprint(self.prune),
        }

    def reading(self) -> Reading:
        """How tables are read."""
        return Reading(
            schema=self.schema,
            label_column=self.label_column,
            benign_labels=self.benign_labels,
            rows=self.rows,
            nonfinite=self.nonfinite,
        )

    def network(self) -> NetworkSettings:
        """What the network is built from."""
        mfcc = MFCCSettings(
            train_window=self.train_window,
            train_dft=self.train_dft,
            train_mel=self.train_mel,
            train_dct=self.train_dct,
            pca=self.pca,
            window_penalty=self.window_penalty,
        )
        return NetworkSettings(
            model=self.model,
            frontend=self.frontend,
            width=self.width,
            attention=self.attention,
            inner=self.inner,
            mfcc=mfcc,
            novelty=self.novelty,
        )


def shown_defaults() -> dict[str, str]:
    """Say what every setting is if none is given, and for what it is something else.

    Example:
        >>> shown_defaults()["false_positive_rate"]
        '0.01; captures: 0.005'
    """
    base = TrainingSettings(dataset="table")
    variants: list[tuple[str, Any]] = [
        *(("dataset", name) for name in OWN_DEFAULTS),
        ("protocol", "paper"),
        *(("model", name) for name in MODELS),
        ("schema", "packets"),
    ]
    others = [(*change, replace(base, **dict([change])).resolved()) for change in variants]
    shown = {"split_seed": "the seed", "threads": f"1 up to width {SMALL_WIDTH}, else all"}
    for name in (field.name for field in fields(base) if field.name not in shown):
        usual = _shown(getattr(base.resolved(), name))
        differing = [
            f"; {of}: {value}"
            for changed, of, its in others
            if changed != name and (value := _shown(getattr(its, name))) != usual
        ]
        shown[name] = usual + "".join(differing)
    return shown


def _shown(value: object) -> str:
    """A setting as the command line would have it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None or value == () else str(value)


def _hashes(files: Sequence[Path]) -> list[str]:
    return [sha256_of(table) for given in files for table in table_files(given)]


def check_settings(settings: ResolvedSettings) -> None:
    """Refuse settings that cannot be trained with.

    Raises:
        RunError: a name that does not exist, or a number out of range.
    """
    named: dict[str, tuple[Any, ...]] = {
        "model": MODELS,
        "frontend": FRONTENDS,
        "scaling": SCALINGS,
        "encoding": ENCODINGS,
        "signal": SIGNALS,
        "resample": RESAMPLES,
        "loss": LOSSES,
        "width": WIDTHS,
        "attention": ATTENTIONS,
        "distill": DISTILLS,
        "novelty": NOVELTIES,
        "trees": TREE_MEMBERS,
        "derived": DERIVED,
        "device": ("cpu", "cuda"),
        "precision": PRECISIONS,
    }
    for name, known in named.items():
        value = getattr(settings, name)
        if value not in known:
            choices = ", ".join(map(str, known))
            raise RunError(f"{name} {value!r} was asked for, but the choices are {choices}")
    ranges = {
        "inner": (0.01, 1),
        "epochs": (1, 10_000),
        "patience": (1, 10_000),
        "pretrain": (0, 10_000),
        "batch": (2, 1 << 20),
        "learning_rate": (1e-8, 1.0),
        "weight_decay": (0, 10),
        "window_penalty": (0, 10),
        "label_smoothing": (0, 0.5),
        "pca": (0, MFCCSettings.n_mfcc),
        "tree_leaf": (0, 0.1),
        "contrast": (0, 4),
        "distill_weight": (0, 1),
        "class_balance": (0, 1),
        "generated": (0, 1000),
        "rows": (0, 1 << 40),
        "max_zeros": (0, 1),
        "false_positive_rate": (1e-9, 0.5),
        "seed": (0, LARGEST_SEED),
        "split_seed": (0, LARGEST_SEED),
        "threads": (0, MAX_THREADS),
    }
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise RunError(
                f"{name} {value!r} was asked for, but it must lie in [{_number(low)}, "
                f"{_number(high)}]"
            )
    if settings.pca and settings.frontend != "mfcc":
        raise RunError(
            f"pca {settings.pca} was asked for, but the front end is {settings.frontend}: only "
            "MFCCs have principal components (--frontend mfcc)"
        )
    if settings.pretrain and settings.prune is not None:
        raise RunError(
            "pre-training was asked for as well as the weights of an earlier run to start from: "
            "leave out --pretrain or --prune"
        )
    if settings.unlabelled and not settings.pretrain:
        raise RunError(
            "rows without labels were given, which are only for pre-training: ask for some epochs "
            "of it (--pretrain 10)"
        )
    if settings.derived != "none" and settings.trees == "none":
        raise RunError(
            f"derived {settings.derived} was asked for without trees, which alone look at derived "
            "columns: choose --trees committee or --derived none"
        )
    if (settings.distill == "runs") != bool(settings.teacher):
        raise RunError(
            f"distill {settings.distill!r} was asked for, with {len(settings.teacher)} runs as "
            "teachers: name the runs (--teacher) and leave out --distill, or name none"
        )
    if settings.loss == "hinge" and (settings.distill != "none" or settings.label_smoothing):
        raise RunError(
            "the hinge loss was asked for, which learns labels as they are: leave out label "
            "smoothing, and choose --distill none"
        )


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
