"""The settings of a training: one list of options that flags, ``--set`` and run.json share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from idskit import metrics
from idskit.data.dataset import (
    LABELS,
    NONFINITE,
    OWN,
    PROTOCOLS,
    Labels,
    Nonfinite,
    Part,
    Protocol,
    Reading,
)
from idskit.data.resample import RESAMPLES, Resample
from idskit.detect.detector_options import MAX_THREADS
from idskit.errors import RunError
from idskit.models.frontend import MFCCSettings
from idskit.models.members.autoencoder import NOVELTIES, Novelty
from idskit.models.members.trees import TREE_MEMBERS, TreeMember
from idskit.models.network import (
    FRONTENDS,
    MFCC_FRONTENDS,
    MODELS,
    OWN_FRONTENDS,
    FrontEndName,
    Model,
    NetworkSettings,
)
from idskit.models.preparation import ENCODINGS, SCALINGS, SIGNALS, Encoding, Scaling, Signal
from idskit.models.resnet import ATTENTIONS, WIDTHS, Attention
from idskit.models.saved_run import fingerprint, members_of
from idskit.options import check_options, option, options_of
from idskit.tables.matrix import sha256_of, table_files
from idskit.training.distributed import started_here

Device = Literal["cpu", "cuda"]
DEVICES: tuple[Device, ...] = ("cpu", "cuda")
# The network behind the front end computes its products in sixteen bits; its weights, the front
# end and every measurement stay in thirty-two (P. Micikevicius et al., ICLR 2018).
Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
SMALL_WIDTH = 16
LARGEST_SEED = (1 << 32) - 1  # that every library takes
NO_TEACHER, LIGHTGBM_TEACHER = "none", "lightgbm"
PAPER_ZEROS = 0.5  # arXiv 2507.10622 drops columns with a larger share of zeros

# The defaults of data sets that were measured on validation rows (DECISIONS.md).
OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "nsl-kdd": {
        "protocol": "official",
        "generated": 0,
        "contrast": 0.0,
        "teacher": (),
        "novelty": "autoencoder",
        "trees": "lightgbm",
        "batch": 512,
        "epochs": 20,
        "false_positive_rate": 0.01,
    },
    "captures": {
        "protocol": "honest",
        "generated": 8,
        "contrast": 0.1,
        "teacher": (),
        "novelty": "none",
        "trees": "cascade",
        "batch": 256,
        "epochs": 12,
        "false_positive_rate": 0.003,
        # Few repositories choose anything from .46 to .97; DECISIONS.md has what all of them say.
        "threshold": 0.95,
    },
}
# The defaults of the other data sets, on which nothing was measured yet.
TABLE_DEFAULTS: dict[str, Any] = {
    "protocol": "honest",
    "generated": 0,
    "contrast": 0.0,
    "teacher": (),
    "novelty": "none",
    "trees": "lightgbm",
    "batch": 256,
    "epochs": 20,
    "false_positive_rate": 0.01,
}
OWN_DEFAULTS["ciciot2023"] = {**TABLE_DEFAULTS, "trees": "committee"}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What is trained, on what, and how; the same settings and data give the same run.

    The repetition is exact on the CPU for the same number of threads. ``resolved`` replaces every
    None by the default of the data set, the protocol or the model.
    """

    dataset: str = "nsl-kdd"

    # The data.
    protocol: Protocol | None = option(
        None,
        "How rows are divided: official (the publisher's files), honest (no repeated row on both "
        "sides) or paper (as the paper did, with its leaks)",
        choices=PROTOCOLS,
    )
    labels: Labels = option(
        "binary",
        "Classes to learn: binary, family, family10 (ciciot2023 only) or attack",
        choices=LABELS,
    )
    schema: str = option(
        OWN, "Columns: own (the data set's), or those of a profile such as cic-fixed"
    )
    label_column: str | None = option(
        None, "Label column of your own table; found by its usual name if none"
    )
    benign_labels: Sequence[str] = option(
        (), "Label of benign rows in your own table; repeatable", flag="--benign-label"
    )
    more: Sequence[Path] = option(
        (), "Further tables for training rows, whose labels may be coarser", advanced=True
    )
    rows: int = option(
        0, "Rows drawn at random from tables (0 = all)", low=0, high=1 << 40, advanced=True
    )
    nonfinite: Nonfinite | None = option(
        None,
        "What is dropped where values are NaN or infinite: rows or columns",
        choices=NONFINITE,
        advanced=True,
    )
    max_zeros: float | None = option(
        None, "Drop columns with a larger share of zeros (1 = none)", low=0, high=1, advanced=True
    )
    generated: int | None = option(
        None, "Synthetic captures added to captures", low=0, high=1000, advanced=True
    )
    split_seed: int | None = option(
        None, "Seed by which the data is divided", low=0, high=LARGEST_SEED, advanced=True
    )

    # The network.
    model: Model = option("resnet18", "Network to train", choices=MODELS)
    frontend: FrontEndName | None = option(
        None,
        "Front end of the network: mfcc (every stage learned), mfcc-fixed, stft, pcen or none",
        choices=FRONTENDS,
        advanced=True,
    )
    scaling: Scaling | None = option(
        None, "Scaling of number columns", choices=SCALINGS, advanced=True
    )
    encoding: Encoding | None = option(
        None, "Encoding of category columns", choices=ENCODINGS, advanced=True
    )
    signal: Signal | None = option(
        None,
        "Input of the front end: features (of the flow) or packets (its series)",
        choices=SIGNALS,
        advanced=True,
    )
    # arXiv 2507.10622 adds a time index, keeps principal components of the MFCCs and balances the
    # classes by sampling: three settings without gain here that repeating the paper needs.
    time_index: bool = option(
        False, "Add each value's position in its series (0 to 1) to it", advanced=True
    )
    pca: int = option(
        0,
        "Principal components kept of each frame's MFCCs (0 = all MFCCs)",
        low=0,
        high=MFCCSettings.n_mfcc,
        advanced=True,
    )
    resample: Resample = option(
        "none",
        "Balance training classes: none, over (repeat rows) or under (drop rows)",
        choices=RESAMPLES,
        advanced=True,
    )
    width: int = option(16, "Channels of the first stage", choices=WIDTHS, advanced=True)
    attention: Attention = option(
        "both", "Attention in every block of resnet18", choices=ATTENTIONS, advanced=True
    )
    inner: float = option(
        1.0,
        "Share of its channels that a block keeps between its convolutions",
        low=0.01,
        high=1,
        advanced=True,
    )
    shuffle_columns: bool = option(
        False, "Control: put the columns into one random order, drawn by the seed", advanced=True
    )

    # The other members of the ensemble, and what the network learns besides labels.
    trees: TreeMember | None = option(
        None,
        "Boosted trees averaged with the network; committee: two kinds of trees, on products "
        "and quotients of known columns too; cascade: attack or not, then which family",
        choices=TREE_MEMBERS,
    )
    novelty: Novelty | None = option(
        None,
        "Member that models benign rows only: none or autoencoder",
        choices=NOVELTIES,
        advanced=True,
    )
    teacher: Sequence[str] | None = option(
        None,
        "Model whose probabilities the network learns as well as the labels: none, lightgbm, "
        "or the folder of an earlier run; repeatable",
    )
    contrast: float | None = option(
        None, "Synthetic negatives per training row (0 = none)", low=0, high=4, advanced=True
    )
    unlabelled: Sequence[Path] = option(
        (),
        "Tables without labels; the network is pre-trained on their rows and the training rows",
        advanced=True,
    )

    # The optimisation.
    epochs: int | None = option(
        None,
        "Maximum number of epochs; the learning rate falls to zero over them",
        low=1,
        high=10_000,
    )
    patience: int = option(
        10,
        "Stop after this many epochs without a lower validation loss",
        low=1,
        high=10_000,
        advanced=True,
    )
    batch: int | None = option(None, "Rows per training step", low=2, high=1 << 20, advanced=True)
    learning_rate: float = option(2e-3, "Highest learning rate", low=1e-8, high=1.0, advanced=True)
    weight_decay: float = option(
        0.05, "Weight decay of the network's matrices", low=0, high=10, advanced=True
    )
    false_positive_rate: float | None = option(
        None,
        "Target false-positive rate on validation rows; chooses the alert threshold",
        low=1e-9,
        high=0.5,
    )
    threshold: float | None = option(
        None,
        "Attack probability from which a flow is an alert; 0: chosen by the false-positive rate",
        low=0,
        high=1,
        advanced=True,
    )
    seed: int = option(
        0, "Seed of every random draw; the same seed gives the same run", low=0, high=LARGEST_SEED
    )

    # The machine.
    device: Device = option("cpu", "Device to train on; an error if it is missing", choices=DEVICES)
    precision: Precision = option(
        "fp32",
        "Precision of training: fp32, or mixed precision with bf16 or fp16",
        choices=PRECISIONS,
        advanced=True,
    )
    threads: int = option(
        0, "CPU threads (0 = one up to width 16, else all)", low=0, high=MAX_THREADS
    )

    def resolved(self) -> ResolvedSettings:
        """Return the same settings with a value in place of every None."""
        paper = self.protocol == "paper"
        own: dict[str, Any] = {
            "scaling": "minmax" if paper else "log-standard",
            "encoding": "ordinal" if paper else "onehot",
            "split_seed": self.seed,
            "frontend": OWN_FRONTENDS.get(self.model, "mfcc"),
            "signal": "packets" if self.schema == "packets" else "features",
            "nonfinite": "columns" if paper else "rows",
            "max_zeros": PAPER_ZEROS if paper else 1.0,
            "threshold": 0.0,
            **OWN_DEFAULTS.get(self.dataset, TABLE_DEFAULTS),
        }
        if paper:  # as published: one network
            own |= {"teacher": (), "novelty": "none", "trees": "none"}
        if self.model == "svm":  # its loss takes labels only
            own["teacher"] = ()
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if list(given.get("teacher", ())) == [NO_TEACHER]:
            given["teacher"] = ()
        return ResolvedSettings(**own | given | {"threads": self.threads or _own_threads(self)})


def _own_threads(settings: TrainingSettings) -> int:
    """Return the number of threads that pays.

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
    epochs: int
    batch: int
    contrast: float
    teacher: Sequence[str]
    novelty: Novelty
    trees: TreeMember
    false_positive_rate: float
    threshold: float
    split_seed: int

    @property
    def hinge(self) -> bool:
        """Whether the loss is the hinge of a support vector machine, else cross-entropy."""
        return self.model == "svm"

    def choose_threshold(self, benign: Part, probabilities: NDArray[np.float32]) -> float:
        """Return the score from which a flow is an alert.

        Args:
            benign: validation rows (n) without attacks.
            probabilities: (n, classes) of them.
        """
        score = metrics.attack_score(probabilities)
        return self.threshold or metrics.choose_threshold(
            score, self.false_positive_rate, benign.weights
        )

    def teacher_runs(self) -> list[Path]:
        """Return the run folders that teach: of a folder with several seeds every one."""
        folders = [Path(name) for name in self.teacher if name != LIGHTGBM_TEACHER]
        return [member for folder in folders for member in members_of(folder)]

    def recorded(self) -> dict[str, Any]:
        """Return every setting as run.json keeps it, tables and runs as their SHA-256.

        Raises:
            RunError: an earlier run does not exist.
            DataError: a table does not exist.
        """
        known = [name for name in self.teacher if name == LIGHTGBM_TEACHER]
        return asdict(self) | {
            "benign_labels": list(self.benign_labels),
            "more": _hashes(self.more),
            "unlabelled": _hashes(self.unlabelled),
            "teacher": known + [fingerprint(run) for run in self.teacher_runs()],
        }

    def reading(self) -> Reading:
        """Return how tables are read."""
        return Reading(
            schema=self.schema,
            label_column=self.label_column,
            benign_labels=self.benign_labels,
            rows=self.rows,
            nonfinite=self.nonfinite,
        )

    def network(self) -> NetworkSettings:
        """Return what the network is built from."""
        return NetworkSettings(
            model=self.model,
            frontend=self.frontend,
            width=self.width,
            attention=self.attention,
            inner=self.inner,
            mfcc=MFCCSettings(pca=self.pca, learned=self.frontend != "mfcc-fixed"),
            novelty=self.novelty,
        )


def shown_defaults() -> dict[str, str]:
    """Return the default of every setting as help shows it, with the exceptions to it.

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
    for name in (name for name in options_of(base) if name not in shown):
        usual = _shown(getattr(base.resolved(), name))
        differing = [
            f"; {of}: {value}"
            for changed, of, its in others
            if changed != name and (value := _shown(getattr(its, name))) != usual
        ]
        shown[name] = usual + "".join(differing)
    return shown


def _shown(value: object) -> str:
    """Return a setting as the command line would have it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _hashes(files: Sequence[Path]) -> list[str]:
    return [sha256_of(table) for given in files for table in table_files(given)]


def check_settings(settings: ResolvedSettings) -> None:
    """Refuse settings that cannot be trained with.

    Raises:
        RunError: a name that does not exist, a number out of range, or settings that exclude each
            other.
    """
    check_options(settings, RunError)
    if settings.pca and settings.frontend not in MFCC_FRONTENDS:
        raise RunError(
            f"pca {settings.pca} was asked for, but the front end is {settings.frontend}: only "
            "MFCCs have principal components (--set frontend=mfcc)"
        )
    alone = {NO_TEACHER, LIGHTGBM_TEACHER} & set(settings.teacher)
    if alone and len(settings.teacher) > 1:
        raise RunError(
            f"teacher {', '.join(settings.teacher)} was asked for, but {alone.pop()} stands alone: "
            "choose none, lightgbm, or folders of earlier runs"
        )
    if settings.hinge and settings.teacher:
        raise RunError(
            "model svm was asked for with a teacher, but its hinge loss learns labels only: "
            "choose --teacher none"
        )
