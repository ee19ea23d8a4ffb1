"""The picture of an incident's flows: a timer is a band, and noise is none."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.signal import spectrogram as reference
from tests.incidents.test_sentence import incident

from idskit.explain.card import MOST_BYTES, card_page
from idskit.explain.flow_train import flow_train, rhythm, spectrogram
from idskit.incidents.case import TRAIN_BINS, TRAIN_STEP_US, Train
from idskit.incidents.incident import Explanation, FlowTrain

SECOND = 1_000_000


def train_of(times: list[float]) -> FlowTrain:
    train = Train()
    for time in times:
        train.add(int(1e15 + time * SECOND), 1)
    return train.shown()


@pytest.mark.parametrize("period", [3, 4, 5, 8])
def test_a_timer_is_marked_with_its_period(period: int) -> None:
    flows = tuple(9 * (at % period == 0) for at in range(64))
    found = flow_train(FlowTrain(step_us=SECOND, flows=flows))
    (said,) = re.findall(r"about every ([\d.]+) s<", found.body)
    assert float(said) == pytest.approx(period, rel=0.2)


def test_noise_and_a_steady_flood_have_no_rhythm() -> None:
    rng = np.random.default_rng(0)
    marked = [
        rhythm(FlowTrain(step_us=1, flows=tuple(rng.poisson(9, 64).tolist()))) for _ in range(500)
    ]
    assert sum(found is not None for found in marked) <= 12  # of 500, where 5 are expected
    assert "<rect" not in flow_train(FlowTrain(step_us=1, flows=(9,) * 64)).body


def test_the_spectrogram_is_that_of_scipy() -> None:
    counts = np.random.default_rng(1).poisson(3, 50)
    _, _, expected = reference(
        counts.astype(float), window="hann", nperseg=16, noverlap=12, mode="complex",
        detrend="constant", scaling="spectrum",
    )  # fmt: skip
    found = spectrogram(FlowTrain(step_us=1, flows=tuple(counts.tolist())))
    power = np.abs(expected[1:]) ** 2
    np.testing.assert_allclose(found / found.max(), power / power.max(), atol=1e-9)


def test_times_grow_until_they_hold_the_incident_and_no_flow_is_lost() -> None:
    train = train_of([float(n) for n in range(1000)])
    assert len(train.flows) <= TRAIN_BINS
    assert sum(train.flows) == 1000
    assert train.step_us == TRAIN_STEP_US << 8  # 25.6 s, the first that 64 of hold 1,000 s
    assert train_of([5.0, 0.0]).flows == (2,)


def test_few_flows_have_no_picture() -> None:
    assert not flow_train(None)
    assert not flow_train(FlowTrain(step_us=1, flows=(9,)))
    assert "rhythm" not in flow_train(FlowTrain(step_us=1, flows=(9, 0, 1))).body


def test_the_fullest_picture_fits_the_card() -> None:
    rng = np.random.default_rng(2)
    flows = tuple(rng.integers(1, 10**9, 64).tolist())
    whole = incident("scan", train=FlowTrain(step_us=10**12, flows=flows))
    page = card_page(Explanation(sentence="It scanned."), incident=whole)
    assert "Flows of the incident by time" in page
    assert len(page.encode()) < MOST_BYTES


@pytest.mark.parametrize("damaged", [{"counts": [1]}, {"step_us": 0}, {"counts": "x" * 64}])
def test_a_damaged_train_is_refused(damaged: dict[str, object]) -> None:
    state = {"first_us": 1, "step_us": TRAIN_STEP_US, "counts": [0] * TRAIN_BINS} | damaged
    with pytest.raises(ValueError, match=r"counts|invalid literal"):
        Train.from_state(state)
