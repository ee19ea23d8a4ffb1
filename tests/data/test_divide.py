"""Splits: proportions, duplicates together, repeatable."""

from __future__ import annotations

import numpy as np

from idskit.data.divide import (
    draw_balanced,
    first_occurrence,
    seen_in,
    stratified,
    stratified_distinct,
    stratified_units,
)


def make_rows(values: list[float]) -> np.ndarray:
    return np.array([[value, 0] for value in values], np.float32)


def test_first_occurrence_matches_a_dictionary():
    rows = np.random.default_rng(0).integers(0, 3, (200, 3)).astype(np.float32)
    seen: dict[tuple[float, ...], int] = {}
    expected = [seen.setdefault(tuple(row), index) for index, row in enumerate(rows.tolist())]
    assert first_occurrence(rows).tolist() == expected


def test_minus_zero_equals_zero():
    assert first_occurrence(make_rows([0.0, -0.0])).tolist() == [0, 0]


def test_first_occurrence_of_nothing_is_nothing():
    assert first_occurrence(np.empty((0, 3), np.float32)).tolist() == []


def test_seen_in_compares_whole_rows():
    assert seen_in(make_rows([1, 2]), make_rows([2, 3])).tolist() == [False, True]


def test_stratified_marks_the_fraction_of_each_stratum():
    strata = np.repeat([0, 1, 2], [100, 40, 10])
    marked = stratified(strata, 0.2, np.random.default_rng(0))
    assert np.bincount(strata[marked]).tolist() == [20, 8, 2]


def test_stratified_leaves_a_row_of_each_stratum_unmarked():
    marked = stratified(np.array([0, 1, 1]), 0.9, np.random.default_rng(0))
    assert marked.tolist().count(True) == 1
    assert not marked[0]


def test_stratified_repeats_with_the_seed():
    strata = np.zeros(50, np.int64)
    first, second = (stratified(strata, 0.5, np.random.default_rng(7)) for _ in range(2))
    assert (first == second).all()


def test_equal_rows_fall_on_one_side():
    rows = make_rows([1, 2, 3, 4] * 25)
    marked = stratified_distinct(rows, np.zeros(100, np.int64), 0.5, np.random.default_rng(0))
    by_value = marked.reshape(25, 4)
    assert (by_value == by_value[0]).all()
    assert marked.sum() == 50


def test_draw_balanced_draws_small_classes_repeatedly():
    labels = np.array([0] * 100 + [1] * 3)
    drawn = draw_balanced(labels, 40, np.random.default_rng(0))
    assert np.bincount(labels[drawn]).tolist() == [20, 20]
    assert len(set(drawn[labels[drawn] == 0].tolist())) == 20


def test_units_stay_on_one_side():
    strata, units = np.repeat([0, 1], 100), np.tile(np.repeat(np.arange(10), 10), 2)
    marked, by_unit = stratified_units(strata, units, 0.3, np.random.default_rng(0))
    assert by_unit == [0, 1]
    assert marked.reshape(2, 10, 10).any(axis=2).sum(axis=1).tolist() == [3, 3]
    assert (marked.reshape(20, 10) == marked.reshape(20, 10)[:, :1]).all()


def test_units_of_uneven_size_never_take_a_whole_stratum():
    units = np.repeat([0, 1, 2], [1, 1, 98])
    for seed in range(10):
        marked, _ = stratified_units(
            np.zeros(100, np.int64), units, 0.3, np.random.default_rng(seed)
        )
        assert 0 < marked.sum() < 100


def test_strata_of_few_or_unknown_units_are_divided_by_row():
    strata = np.repeat([0, 1], 20)
    units = np.concatenate([np.repeat([5, 6], 10), np.full(20, -1)])
    marked, by_unit = stratified_units(strata, units, 0.5, np.random.default_rng(0))
    assert by_unit == []
    assert np.bincount(strata[marked]).tolist() == [10, 10]
