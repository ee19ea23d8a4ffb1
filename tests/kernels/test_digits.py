"""Numbers as text, beside what Python prints."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.flows.effort import examples

from idskit.kernels.digits import NUMBER_BYTES, put_double, put_padded, put_whole


def bits_of(value: float) -> int:
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    return int(bits)


def text_of(value: float) -> str:
    out = np.zeros(NUMBER_BYTES, np.uint8)
    return out[: put_double(out, 0, bits_of(value))].tobytes().decode()


def as_python_prints(value: float) -> str:
    """``repr``, with whole numbers as integers and the rest as Java spells it."""
    if not math.isfinite(value):
        return str(value).replace("nan", "NaN").replace("inf", "Infinity")
    if value == int(value) and abs(value) < 2**53 and str(value) != "-0.0":
        return str(int(value))
    return repr(value)


def check(values: np.ndarray) -> None:
    found = [text_of(value) for value in values.tolist()]
    assert found == [as_python_prints(value) for value in values.tolist()]


@given(st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=examples(2000), deadline=None)
def test_any_64_bits_are_the_shortest_digits_that_read_back(bits: int) -> None:
    (value,) = struct.unpack("<d", struct.pack("<q", bits))
    text = text_of(value)
    assert text == as_python_prints(value)
    if not math.isnan(value):
        assert bits_of(float(text)) == bits


@pytest.mark.parametrize("towards", [-np.inf, 0, np.inf])
def test_powers_of_two_and_ten_and_their_neighbours(towards: float) -> None:
    powers = np.concatenate([2.0 ** np.arange(-1074, 1024, 7), 10.0 ** np.arange(-323, 309, 3)])
    check(powers if towards == 0 else np.nextafter(powers, towards))


def test_quotients_such_as_means_are() -> None:
    rng = np.random.default_rng(1)
    check(rng.integers(0, 10**6, 3000) / rng.integers(1, 1000, 3000))


def test_decimals_have_no_zeros_at_their_end() -> None:
    check(np.arange(-300, 300) / 8)
    check(np.arange(1, 2000) / 1000)


def test_denormals() -> None:
    check(np.random.default_rng(2).integers(1, 2**52, 500).view(np.float64))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0.0"),
        (-3.0, "-3"),
        (2.0**53 - 1, "9007199254740991"),
        (2.0**53, "9007199254740992.0"),
        (1e16, "1e+16"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e23, "1e+23"),
        (9.5367431640625e-07, "9.5367431640625e-07"),
        (5e-324, "5e-324"),
        (-1.7976931348623157e308, "-1.7976931348623157e+308"),
        (math.nan, "NaN"),
        (-math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
    ],
)
def test_spellings(value: float, text: str) -> None:
    assert text_of(value) == text


@given(st.integers(-(2**63) + 1, 2**63 - 1))
@settings(max_examples=examples(500), deadline=None)
def test_whole_numbers(number: int) -> None:
    out = np.zeros(NUMBER_BYTES, np.uint8)
    assert out[: put_whole(out, 0, number)].tobytes().decode() == str(number)


@pytest.mark.parametrize(
    ("number", "width", "text"), [(7, 3, "007"), (0, 2, "00"), (2016, 4, "2016")]
)
def test_padding(number: int, width: int, text: str) -> None:
    out = np.zeros(width, np.uint8)
    assert put_padded(out, 0, number, width) == width
    assert out.tobytes().decode() == text


def test_nothing_is_written_outside_its_place() -> None:
    out = np.full(NUMBER_BYTES + 2, ord("!"), np.uint8)
    assert put_double(out, 1, bits_of(-1.7976931348623157e308)) == NUMBER_BYTES + 1
    assert out[[0, -1]].tobytes() == b"!!"
