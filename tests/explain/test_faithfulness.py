"""Explanations of the shipped model name what its alerts rest on: the goals of the measure."""

from __future__ import annotations

import numpy as np
import pytest
from tests.explain import faithfulness

from idskit import Detector

ALERTS = 40  # of the 600 in the sample


@pytest.mark.usefixtures("compiled")
def test_without_its_leading_columns_an_alert_is_none() -> None:
    detector = Detector.load(threads=1)
    rng = np.random.default_rng(0)
    alerts = rng.permutation(faithfulness.sample_alerts(detector))[:ALERTS]
    found = faithfulness.deletion(detector, alerts)
    assert found.error < 1e-6
    assert found.undone >= 0.9 * ALERTS
    # The goal is a fifth: alerts near the threshold of .95 are undone by little.
    assert faithfulness.random_deletion(detector, alerts, rng) < 0.4 * ALERTS
