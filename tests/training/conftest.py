"""A small data set with something to learn, as arrays and as NSL-KDD files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from idskit.data.dataset import Dataset, Part
from idskit.data.published import nsl_kdd
from idskit.schema import Feature, Schema
from idskit.training.settings import TrainingSettings

SCHEMA = Schema(
    name="toy",
    features=(
        *(Feature(name=f"n{i}", unit="count") for i in range(12)),
        Feature(name="protocol", unit="category", categories=("tcp", "udp", "icmp")),
    ),
)
TINY = TrainingSettings(width=8, epochs=2, batch=64, threads=1)


def make_part(count: int, seed: int) -> Part:
    """Attack rows differ from benign ones in five columns and in their protocol."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    rows = rng.lognormal(2, 1, (count, 13))
    rows[:, 2:6] *= np.where(labels, 30, 1)[:, None]
    rows[:, 7] *= np.where(labels, 0.05, 1)
    rows[:, 12] = np.where(labels, rng.integers(0, 3, count), rng.integers(0, 2, count))
    return Part(
        rows=rows.astype(np.float32),
        labels=labels.astype(np.int64),
        weights=np.ones(count, np.float32),
        groups=labels.astype(np.int64),
    )


@pytest.fixture(scope="session")
def toy() -> Dataset:
    return Dataset(
        name="toy",
        protocol="official",
        schema=SCHEMA,
        classes=("benign", "attack"),
        groups=("normal", "flood"),
        train=make_part(600, 1),
        validation=make_part(200, 2),
        test=make_part(300, 3),
        notes=(),
        sha256={"toy": "0"},
    )


@pytest.fixture
def tiny() -> TrainingSettings:
    return TINY


def nsl_record(rng: np.random.Generator, attack: str) -> str:
    """One line of the publisher's format; attacks send little and fail often."""
    benign = attack == "normal"
    record: dict[str, object] = dict.fromkeys(nsl_kdd.HEADER, 0)
    record |= {
        "protocol_type": rng.choice(["tcp", "udp"]),
        "service": rng.choice(["http", "smtp"] if benign else ["private", "other"]),
        "flag": "SF" if benign else "S0",
        "src_bytes": int(rng.lognormal(6 if benign else 1)),
        "dst_bytes": int(rng.lognormal(7)) if benign else 0,
        "count": int(rng.integers(1, 20 if benign else 511)),
        "serror_rate": 0.0 if benign else round(float(rng.uniform(0.5, 1)), 2),
        "attack": attack,
        "difficulty": 20,
    }
    return ",".join(str(value) for value in record.values())


@pytest.fixture(scope="session")
def nsl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training and test files of a few hundred rows; ``mscan`` is only in the test file."""
    folder = tmp_path_factory.mktemp("nsl")
    rng = np.random.default_rng(5)

    def write(name: str, attacks: dict[str, int]) -> None:
        rows = [nsl_record(rng, attack) for attack, count in attacks.items() for _ in range(count)]
        (folder / name).write_text("".join(row + "\n" for row in rows))

    write("KDDTrain+.txt", {"normal": 300, "neptune": 200, "satan": 100})
    write("KDDTest+.txt", {"normal": 80, "neptune": 40, "mscan": 20})
    return folder


@pytest.fixture
def same_state() -> Callable[[object, object], bool]:
    """Whether two networks hold exactly the same tensors."""

    def compare(first: object, second: object) -> bool:
        left, right = first.state_dict(), second.state_dict()  # type: ignore[attr-defined]
        return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)

    return compare
