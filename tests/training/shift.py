"""Which members find new attacks while benign traffic changes: asked of training rows alone.

    python -m tests.training.shift --data ../shared/data/nsl-kdd

In each of four folds some attacks of KDDTrain+ and some clusters of its benign rows leave training
and validation. ``unseen`` ranks the attacks left out against usual benign rows, ``shifted`` against
as many benign rows of the clusters left out as well. All members come of one training a fold.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from idskit.data.dataset import Dataset, Part, join
from idskit.data.datasets import load
from idskit.metrics import area_under, detection_rate, roc_curve
from idskit.models.members.prepared_rows import PreparedRows
from idskit.models.network import CHUNK, Network
from idskit.models.preparation import fit_preparation
from idskit.training.fit import fit
from idskit.training.settings import TrainingSettings

CLUSTERS, ROWS, BENIGN, ATTACKS = 24, 20_000, 4_000, 8_000
# Attacks of KDDTrain+ left out together: each fold has some of every family.
NSL_KDD_FOLDS = (
    ("satan", "smurf", "guess_passwd", "buffer_overflow", "land", "imap"),
    ("ipsweep", "back", "warezmaster", "rootkit", "pod", "phf"),
    ("portsweep", "teardrop", "warezclient", "ftp_write", "loadmodule"),
    ("nmap", "neptune", "multihop", "perl", "spy"),
)
SPREAD = 0.05  # least, of a place of the signal, as for the autoencoder

Scores = Mapping[str, NDArray[np.float64]]


class Clusters:
    """Clusters of benign training rows."""

    def __init__(self, dataset: Dataset) -> None:
        self._preparation = fit_preparation(dataset.train.rows, dataset.schema)
        signals = self._signals(dataset.train.rows)
        self._center, self._spread = signals.mean(axis=0), signals.std(axis=0) + SPREAD
        benign = (signals[dataset.train.labels == 0] - self._center) / self._spread
        self._means = MiniBatchKMeans(CLUSTERS, random_state=0, n_init=3).fit(benign)

    def are_in(self, part: Part, clusters: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows are benign and in one of ``clusters``."""
        standard = (self._signals(part.rows) - self._center) / self._spread
        return (part.labels == 0) & np.isin(self._means.predict(standard), clusters)

    def _signals(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return self._preparation(torch.from_numpy(rows)).numpy()


def hold_out(dataset: Dataset, names: Collection[str]) -> Dataset:
    """Move the attacks ``names`` from training and validation into the test part."""
    out = np.isin(np.array(dataset.groups), list(names))
    train, validation = out[dataset.train.groups], out[dataset.validation.groups]
    kept = dataset.validation.take(~validation)
    return replace(
        dataset,
        train=dataset.train.take(~train),
        validation=kept,
        test=join([kept.take(kept.labels == 0), dataset.train.take(train)]),
    )


def divide(
    dataset: Dataset, clusters: Clusters, fold: int, rng: np.random.Generator
) -> tuple[Dataset, Part]:
    """A fold, its test part without the benign clusters left out, and rows of these."""
    held = np.random.default_rng(3).permutation(CLUSTERS)[fold :: len(NSL_KDD_FOLDS)]
    whole = hold_out(dataset, NSL_KDD_FOLDS[fold])
    moved = clusters.are_in(whole.train, held)
    validation = whole.validation.take(~clusters.are_in(whole.validation, held))
    usual = validation.take(validation.labels == 0)
    attacks = whole.test.take(whole.test.labels > 0)
    divided = replace(
        whole,
        train=drawn(whole.train.take(~moved), ROWS, rng),
        validation=validation,
        test=join([drawn(usual, BENIGN, rng), drawn(attacks, ATTACKS, rng)]),
    )
    return divided, drawn(whole.train.take(moved), BENIGN, rng)


def drawn(part: Part, most: int, rng: np.random.Generator) -> Part:
    """At most so many rows."""
    return part.take(np.sort(rng.choice(len(part), min(len(part), most), replace=False)))


@torch.inference_mode()
def scores(network: Network, part: Part) -> Scores:
    """Log-odds (n,) of attack by every member and their sums."""
    rows = torch.from_numpy(part.rows)
    signals = torch.cat([network.preparation(chunk) for chunk in torch.split(rows, CHUNK)])
    logits = torch.cat([network.logits(chunk) for chunk in torch.split(signals, CHUNK)])
    logits = logits / network.temperature
    both = PreparedRows(flows=rows, signals=signals)
    members = {
        "network": logits,
        "trees": network.trees.log_odds(rows),
        "network and trees": network.trees.join(logits, both),
        "both, mean of log-odds": (logits + network.trees.log_odds(rows)) / 2,
    }
    odds = {name: (each[:, 1] - each[:, 0]).double().numpy() for name, each in members.items()}
    limited = network.novelty.log_odds(signals).double().numpy()
    without = (network.novelty.error(signals).log() + network.novelty.offset).double().numpy()
    return (
        odds
        | {f"{name}, autoencoder": each + limited for name, each in odds.items()}
        | {f"{name}, autoencoder without a limit": each + without for name, each in odds.items()}
    )


def ranked(attack: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[float, float]:
    """AUC, and the share of attacks found at 1 % false positives."""
    curve = roc_curve(attack, score)
    return area_under(curve), detection_rate(curve, 0.01)


def main() -> None:
    """Train each fold once and print a row for each member."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--contrast", type=float, default=0.0)
    parser.add_argument("--teacher", default="none", help="none or lightgbm")
    parser.add_argument("--epochs", type=int, default=8)
    asked = parser.parse_args()
    dataset = load("nsl-kdd", asked.data, protocol="official", labels="binary", seed=0)
    clusters, rng = Clusters(dataset), np.random.default_rng(7)
    settings = TrainingSettings(
        contrast=asked.contrast,
        teacher=[asked.teacher],
        epochs=asked.epochs,
        threads=1,
        novelty="autoencoder",
        trees="lightgbm",
    )
    found: dict[str, list[tuple[float, ...]]] = {}
    for fold in range(len(NSL_KDD_FOLDS)):
        divided, moved = divide(dataset, clusters, fold, rng)
        network = fit(divided, settings).network
        print(f"fold {fold}: the trees have {float(network.trees.share):.2f} of the average")
        usual, shifted = (scores(network, p) for p in (divided.test, join([divided.test, moved])))
        attack = divided.test.labels > 0
        attack_too = np.append(attack, np.zeros(len(moved), bool))
        for name in usual:
            row = (*ranked(attack, usual[name]), *ranked(attack_too, shifted[name]))
            found.setdefault(name, []).append(row)
    print("| member | unseen: AUC | found at 1 % | shifted: AUC | found at 1 % |")
    print("|---|---|---|---|---|")
    for name, rows in found.items():
        print(f"| {name} | " + " | ".join(f"{mean:.3f}" for mean in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
