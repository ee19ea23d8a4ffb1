"""Raw rows to signals, against scikit-learn's transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from idskit.errors import DataError
from idskit.models.preparation import Preparation, fit_preparation
from idskit.schema import Feature, Schema

SCHEMA = Schema(
    name="mixed",
    features=(
        Feature(name="bytes", unit="bytes"),
        Feature(name="protocol", unit="category", categories=("tcp", "udp", "icmp")),
        Feature(name="constant", unit="count"),
        Feature(name="offset", unit="s"),
    ),
)


def make_rows(count: int = 200) -> np.ndarray:
    rng = np.random.default_rng(0)
    columns = [
        rng.lognormal(5, 2, count),
        rng.integers(0, 3, count),
        np.full(count, 7.0),
        rng.normal(-3, 20, count),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def prepared(preparation: Preparation, rows: np.ndarray) -> np.ndarray:
    return preparation(torch.from_numpy(rows)).numpy()


def test_log_standard_is_signed_log1p_then_scikit_learns_scaler():
    rows = make_rows()
    values = rows[:, [0, 3]].astype(np.float64)
    expected = StandardScaler().fit_transform(np.sign(values) * np.log1p(np.abs(values)))
    found = prepared(fit_preparation(rows, SCHEMA, offset=0, clip=100), rows)
    assert np.allclose(found[:, [0, 4]], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("scaling", "scaler"), [("standard", StandardScaler()), ("minmax", MinMaxScaler())]
)
def test_scaling_is_scikit_learns(scaling: str, scaler: StandardScaler | MinMaxScaler):
    rows = make_rows()
    expected = scaler.fit_transform(rows[:, [0, 3]].astype(np.float64))
    preparation = fit_preparation(rows, SCHEMA, scaling=scaling, offset=0, clip=100)  # type: ignore[arg-type]
    found = prepared(preparation, rows)
    assert np.allclose(found[:, [0, 4]], expected, atol=1e-4)


def test_columns_of_more_zeros_than_asked_are_dropped():
    rows = make_rows()
    rows[: len(rows) * 3 // 4, 0] = 0
    columns = fit_preparation(rows, SCHEMA, max_zeros=0.5).number_column.tolist()
    assert columns == [3]
    assert fit_preparation(rows, SCHEMA, max_zeros=0.75).number_column.tolist() == [0, 3]


def test_onehot_is_scikit_learns_encoder():
    rows = make_rows()
    expected = OneHotEncoder(sparse_output=False).fit_transform(rows[:, [1]])
    assert (prepared(fit_preparation(rows, SCHEMA), rows)[:, 1:4] == expected).all()


def test_ordinal_puts_codes_on_zero_to_one():
    rows = make_rows()
    found = prepared(fit_preparation(rows, SCHEMA, encoding="ordinal"), rows)
    assert found.shape[1] == 3
    assert np.allclose(found[:, 1], rows[:, 1] / 2)


def test_an_unseen_code_is_all_zero():
    preparation = fit_preparation(make_rows(), SCHEMA)
    row = np.array([[1, -1, 7, 0]], np.float32)
    assert (prepared(preparation, row)[:, 1:4] == 0).all()


def test_a_constant_column_is_dropped():
    assert fit_preparation(make_rows(), SCHEMA).length == 5


def test_far_values_are_clipped():
    preparation = fit_preparation(make_rows(), SCHEMA, scaling="standard", offset=1, clip=8)
    row = np.array([[1e30, 0, 7, -1e30]], np.float32)
    assert prepared(preparation, row)[0, [0, 4]].tolist() == [9, -7]


def test_offset_raises_every_standardised_value():
    rows = make_rows()
    plain, raised = (prepared(fit_preparation(rows, SCHEMA, offset=c), rows) for c in (0, 2))
    assert np.allclose(raised[:, [0, 4]], plain[:, [0, 4]] + 2, atol=1e-4)
    assert (raised[:, 1:4] == plain[:, 1:4]).all()


def test_every_place_of_the_signal_knows_its_column():
    assert fit_preparation(make_rows(), SCHEMA).signal_columns().tolist() == [0, 1, 1, 1, 3]


def test_merged_categories_know_their_column():
    preparation = fit_preparation(make_rows(), SCHEMA, encoding="ordinal")
    assert preparation.signal_columns().tolist() == [0, 1, 3]


def test_values_outside_the_training_range_stay_in_zero_to_one_for_minmax():
    preparation = fit_preparation(make_rows(), SCHEMA, scaling="minmax")
    row = np.array([[1e30, 0, 7, -1e30]], np.float32)
    assert prepared(preparation, row)[0, [0, 4]].tolist() == [1, 0]


def test_rows_that_never_vary_are_refused():
    schema = Schema(name="flat", features=(Feature(name="a", unit="1"),))
    with pytest.raises(DataError, match="no column of schema flat varies over the 3 training rows"):
        fit_preparation(np.ones((3, 1), np.float32), schema)
