"""Raw rows to signals, against scikit-learn's transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, QuantileTransformer, StandardScaler

from idskit.errors import DataError
from idskit.models.preparation import RAMPS, Preparation, channels_of, fit_preparation
from idskit.schema import Feature, Schema
from idskit.schemas.gateway_columns import SERIES

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


def quantile_places(rows: np.ndarray) -> np.ndarray:
    """Columns 0 and 3 of the mixed schema, mapped to quantiles."""
    return prepared(fit_preparation(rows, SCHEMA, scaling="quantile"), rows)[:, [0, 4]]


def test_quantiles_are_scikit_learns_where_values_are_distinct():
    rows, fresh = make_rows(500), make_rows(900)[500:]
    scaler = QuantileTransformer(n_quantiles=RAMPS + 1, subsample=None)
    expected = scaler.fit_transform(rows[:, [0, 3]].astype(np.float64))
    assert np.allclose(quantile_places(rows), expected, atol=1e-5)
    preparation = fit_preparation(rows, SCHEMA, scaling="quantile")
    unseen = scaler.transform(fresh[:, [0, 3]].astype(np.float64))  # some outside the range
    assert np.allclose(prepared(preparation, fresh)[:, [0, 4]], unseen, atol=1e-5)


def test_a_value_that_is_several_quantiles_gets_the_mean_of_their_shares():
    rows = make_rows(401)
    rows[:, 0] = np.repeat([-5, 0, 0, 3e9], [1, 200, 100, 100])
    found = quantile_places(rows)[:, 0]
    scaler = QuantileTransformer(n_quantiles=RAMPS + 1, subsample=None)
    assert np.allclose(found, scaler.fit_transform(rows[:, [0]].astype(np.float64))[:, 0])
    assert sorted(set(found.round(6))) == [0, pytest.approx(6.5 / 16), 1]


def test_quantiles_are_monotone_and_finite_for_any_number():
    rows = make_rows(300)
    rows[:3, 0] = [1e-38, 2e-38, 3e38]
    fresh = make_rows(6)
    fresh[:, 0] = [-3e38, 0, 1e-38, 1.5e-38, 1, 3.4e38]
    preparation = fit_preparation(rows, SCHEMA, scaling="quantile")
    found = prepared(preparation, fresh)[:, 0]
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    assert found[0] == 0
    assert found[-1] == pytest.approx(1)


def test_the_time_index_is_added_to_each_series():
    rows = make_rows()
    plain = prepared(fit_preparation(rows, SCHEMA), rows)
    found = prepared(fit_preparation(rows, SCHEMA, time_index=True), rows)
    assert np.allclose(found - plain, np.linspace(0, 1, plain.shape[1]), atol=1e-6)
    packets = packet_rows()
    pair = [fit_preparation(packets, PACKETS, channels=3, time_index=on) for on in (True, False)]
    difference = prepared(pair[0], packets) - prepared(pair[1], packets)
    assert np.allclose(difference.reshape(-1, 3, 32), np.linspace(0, 1, 32), atol=1e-5)


PACKETS = Schema(name="packets", features=SERIES)


def packet_rows(count: int = 100) -> np.ndarray:
    """Flows of 1 to 40 packets, as the profile writes them; some places are zero in all."""
    rng = np.random.default_rng(1)
    rows = np.zeros((count, 3, 32), np.float32)
    for row, packets in zip(rows, rng.integers(1, 20, count), strict=True):
        row[0, :packets] = rng.integers(40, 1500, packets)
        row[1, :packets] = rng.choice([-1, 1], packets)
        row[2, 1:packets] = rng.lognormal(8, 3, packets - 1)
    return rows.reshape(count, -1)


@pytest.mark.parametrize("scaling", ["log-standard", "standard", "minmax"])
def test_series_keep_their_zeros_and_share_one_scale(scaling: str):
    rows = packet_rows()
    preparation = fit_preparation(rows, PACKETS, channels=3, clip=1e6, scaling=scaling)  # type: ignore[arg-type]
    found = prepared(preparation, rows)
    assert found.shape == rows.shape
    assert ((found == 0) == (rows == 0)).all()
    values = np.sign(rows) * np.log1p(np.abs(rows)) if scaling == "log-standard" else rows
    for channel in range(3):
        places = slice(32 * channel, 32 * channel + 32)
        used = values[:, places][rows[:, places] != 0].astype(np.float64)
        scale = np.abs(used).max() if scaling == "minmax" else np.sqrt((used**2).mean())
        assert np.allclose(found[:, places], values[:, places] / scale, atol=1e-4)


def test_series_have_no_quantile_map():
    with pytest.raises(DataError, match="quantile was asked for, but series of packets"):
        fit_preparation(packet_rows(), PACKETS, channels=3, scaling="quantile")


def test_only_series_of_packets_are_a_signal_of_packets():
    assert channels_of("packets", PACKETS) == 3
    assert channels_of("features", PACKETS) == 1
    with pytest.raises(DataError, match="schema mixed are no series of packets"):
        channels_of("packets", SCHEMA)
