"""Every measure against scikit-learn's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as reference

from idskit import metrics

CLASSES = ("benign", "flood", "scan")


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, 500)


@pytest.fixture
def probabilities(labels: np.ndarray) -> np.ndarray:
    """Better than chance, with many equal scores."""
    logits = np.random.default_rng(1).normal(size=(500, 3)) + 1.2 * np.eye(3)[labels]
    exponent = np.exp(np.round(logits, 1))
    return (exponent / exponent.sum(axis=1, keepdims=True)).astype(np.float32)


def test_accuracy(labels: np.ndarray, probabilities: np.ndarray):
    predicted = probabilities.argmax(axis=1)
    assert metrics.accuracy(labels, predicted) == reference.accuracy_score(labels, predicted)


def test_confusion_matrix(labels: np.ndarray, probabilities: np.ndarray):
    predicted = probabilities.argmax(axis=1)
    found = metrics.confusion_matrix(labels, predicted, 3)
    assert (found == reference.confusion_matrix(labels, predicted)).all()


def test_f1_of_each_class(labels: np.ndarray, probabilities: np.ndarray):
    predicted = probabilities.argmax(axis=1)
    found = metrics.f1_scores(metrics.confusion_matrix(labels, predicted, 3))
    assert np.allclose(found, reference.f1_score(labels, predicted, average=None))


def test_f1_of_a_class_that_is_neither_present_nor_predicted_is_left_out():
    labels, predicted = np.array([0, 1, 1]), np.array([0, 1, 0])
    confusion = metrics.confusion_matrix(labels, predicted, 3)
    expected = reference.f1_score(labels, predicted, average="macro")
    assert np.nanmean(metrics.f1_scores(confusion)) == pytest.approx(expected)


def test_roc_curve_and_its_area(labels: np.ndarray, probabilities: np.ndarray):
    attack, score = labels > 0, metrics.attack_score(probabilities)
    curve = metrics.roc_curve(attack, score)
    alarms, hits, _ = reference.roc_curve(attack, score, drop_intermediate=False)
    assert np.allclose(curve.false_positive_rate, alarms)
    assert np.allclose(curve.true_positive_rate, hits)
    assert metrics.area_under(curve) == pytest.approx(reference.roc_auc_score(attack, score))


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.01, 0.001])
def test_detection_rate_at_a_false_positive_rate(
    labels: np.ndarray, probabilities: np.ndarray, rate: float
):
    attack, score = labels > 0, metrics.attack_score(probabilities)
    alarms, hits, _ = reference.roc_curve(attack, score, drop_intermediate=False)
    found = metrics.detection_rate(metrics.roc_curve(attack, score), rate)
    assert found == pytest.approx(hits[alarms <= rate].max())


def test_calibration_error_is_zero_for_honest_confidence():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 200_000)
    labels = (rng.uniform(size=len(sure)) > sure).astype(np.int64)
    probabilities = np.stack([sure, 1 - sure], axis=1)
    assert metrics.calibration_error(labels, probabilities) < 0.005


def test_calibration_error_is_the_gap_of_false_confidence():
    labels = np.array([0, 1] * 50)
    probabilities = np.tile([0.9, 0.1], (100, 1))
    assert metrics.calibration_error(labels, probabilities) == pytest.approx(0.4)


def test_threshold_lets_no_more_benign_rows_through_than_allowed():
    score = np.repeat(np.linspace(0, 0.9, 100), 3)
    for rate in (0.0001, 0.01, 0.1, 0.5):
        alerts = (score >= metrics.choose_threshold(score, rate)).mean()
        assert alerts <= rate


def test_threshold_is_no_higher_than_needed():
    score = np.arange(100) / 100
    assert (score >= metrics.choose_threshold(score, 0.1)).sum() == 10


def test_threshold_counts_rows_by_weight():
    score = np.array([0.9, 0.5, 0.1])
    weights = np.array([0.1, 1.0, 8.9])
    assert 0.5 < metrics.choose_threshold(score, 0.05, weights) < 0.9
    assert 0.1 < metrics.choose_threshold(score, 0.11, weights) < 0.5


def test_threshold_never_exceeds_one():
    assert metrics.choose_threshold(np.ones(10), 0.01) == 1.0


def test_summary_agrees_with_scikit_learn(labels: np.ndarray, probabilities: np.ndarray):
    found = metrics.summary(labels, probabilities, CLASSES, 0.5)
    alert = 1 - probabilities[:, 0].astype(np.float64) >= 0.5
    predicted = probabilities.argmax(axis=1)
    named = [
        (1 if p[1] >= p[2] else 2) if is_alert else 0
        for p, is_alert in zip(probabilities, alert, strict=True)
    ]
    assert found["macro_f1"] == pytest.approx(
        reference.f1_score(labels, predicted, average="macro")
    )
    at: dict[str, object] = found["at_threshold"]  # type: ignore[assignment]
    at.pop("false_alerts_per_hour")
    assert at == pytest.approx(
        {
            "accuracy": reference.accuracy_score(labels > 0, alert),
            "macro_f1": reference.f1_score(labels > 0, alert, average="macro"),
            "false_positive_rate": alert[labels == 0].mean(),
            "true_positive_rate": reference.recall_score(labels > 0, alert),
            "named_accuracy": reference.accuracy_score(labels, named),
            "named_macro_f1": reference.f1_score(labels, named, average="macro"),
        }
    )


def test_an_alert_names_the_likeliest_attack_even_where_benign_is_likelier():
    probabilities = np.array([[0.9, 0.02, 0.08], [0.2, 0.5, 0.3], [0.95, 0.03, 0.02]], np.float32)
    assert metrics.named_alerts(probabilities, 0.1).tolist() == [2, 1, 0]


def test_summary_of_benign_rows_alone_has_no_ranking(probabilities: np.ndarray):
    found = metrics.summary(np.zeros(500, np.int64), probabilities, CLASSES, 0.5)
    assert found["roc_auc"] is None
    assert found["at_threshold"]["true_positive_rate"] is None  # type: ignore[index]


def test_summary_is_json(labels: np.ndarray, probabilities: np.ndarray):
    text = json.dumps(metrics.summary(labels, probabilities, CLASSES, 0.5), allow_nan=False)
    assert json.loads(text)["rows"] == 500


def test_false_alerts_an_hour():
    """The example of method.md: a rate of 1e-3 at 1,000 flows/s is 3,600 alerts an hour."""
    assert metrics.false_alerts_per_hour(1e-3) == pytest.approx({"100": 360, "1000": 3600})


def test_no_false_positive_bounds_the_rate_by_three_over_n():
    labels = np.array([0] * 30 + [1] * 10)
    probabilities = np.stack([1.0 - labels, labels], axis=1).astype(np.float32)
    found = metrics.summary(labels, probabilities, ("benign", "attack"), 0.5)
    assert found["least_false_positive_rate"] == pytest.approx(0.1)
    assert pytest.approx(0.05, abs=0.01) == 0.9**30  # so none is seen of so rare ones


def test_reliability_is_that_of_scikit_learn():
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(0)
    attack = rng.uniform(0, 1, 5000)
    labels = (rng.uniform(size=5000) < attack**2).astype(np.int64)
    probabilities = np.stack([1 - attack, attack], axis=1)
    found = metrics.reliability(labels, probabilities, bins=10)
    sure = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == labels).astype(int)
    accuracy, confidence = calibration_curve(right, sure, n_bins=10)
    assert found.accuracy == pytest.approx(accuracy)
    assert found.confidence == pytest.approx(confidence)
    assert found.rows.sum() == 5000
