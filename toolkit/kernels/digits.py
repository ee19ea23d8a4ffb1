"""Write numbers as decimal text inside kernels: integers, and doubles in the fewest digits.

A double gets the shortest decimal that reads back as the same double, the nearest of several: what
Python's ``repr`` and Java 19 print. The method is Schubfach: one of the few decimals of the right
length lies inside the interval that rounds to the double, and 128 bits of a power of ten decide
which, exactly.

Source: Raffaello Giulietti, "The Schubfach way to render doubles", 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from idskit.kernels.compile import kernel

_Bytes = NDArray[np.uint8]

NUMBER_BYTES = 24  # the longest number: -1.7976931348623157e+308

_FIRST_POWER, _LAST_POWER = -292, 324
_FRACTION_BITS = 52
_HIDDEN = 1 << _FRACTION_BITS  # the bit that a normal double does not store
_SPECIAL = 0x7FF  # exponent of infinities and NaN
_BIAS = 1075  # bias of the exponent of a double that is read as an integer
_MAGNITUDE = (1 << 63) - 1
_MINUS, _POINT, _ZERO, _EXPONENT, _PLUS = b"-.0e+"


def _powers_of_ten() -> NDArray[np.uint64]:
    """Return 10 ** k as g * 2 ** r, 2 ** 127 <= g < 2 ** 128, rounded up: (617, 2) uint64."""
    rounded = []
    for power in range(_FIRST_POWER, _LAST_POWER + 1):
        shift = 127 + (10**-power).bit_length() if power < 0 else 128 - (10**power).bit_length()
        above, below = 10 ** max(power, 0) << max(shift, 0), 10 ** max(-power, 0) << max(-shift, 0)
        rounded.append(-(-above // below))
    words = [(word >> 64, word & ((1 << 64) - 1)) for word in rounded]
    return np.array(words, np.uint64)


_POWERS = _powers_of_ten()
_TENS = np.array([10**power for power in range(19)], np.int64)
_PAIRS = np.frombuffer(b"".join(b"%02d" % pair for pair in range(100)), np.uint8)  # (200,)


# Integers.


@kernel
def put_whole(out: _Bytes, at: int, number: int) -> int:
    """Write an integer, and return where it ends."""
    if number < 0:
        out[at] = _MINUS
        return put_padded(out, at + 1, -number, _count_digits(-number))
    return put_padded(out, at, number, _count_digits(number))


@kernel
def put_padded(out: _Bytes, at: int, number: int, width: int) -> int:
    """Write the last ``width`` digits of a non-negative number with leading zeros."""
    end = at + width
    position = end
    while position - at >= 2:
        position -= 2
        rest = number // 100
        pair = 2 * (number - 100 * rest)
        out[position], out[position + 1] = _PAIRS[pair], _PAIRS[pair + 1]
        number = rest
    if position > at:
        out[at] = _ZERO + number % 10
    return end


@kernel
def _count_digits(number: int) -> int:
    """Return the number of digits of a non-negative number."""
    count = 1 if number < _TENS[9] else 10
    while count < len(_TENS) and number >= _TENS[count]:
        count += 1
    return count


# Doubles.


@kernel
def put_double(out: _Bytes, at: int, bits: int) -> int:
    """Write a double in the fewest digits that read back exactly; return where it ends.

    Whole numbers below 2 ** 53 have no point; what is not finite is spelled as Java does it.

    Args:
        out: at least NUMBER_BYTES from ``at`` on.
        at: where to begin.
        bits: of the double, as int64.
    """
    magnitude = bits & _MAGNITUDE
    if bits == 0:
        out[at] = _ZERO
        return at + 1
    exponent = magnitude >> _FRACTION_BITS
    if exponent == _SPECIAL and magnitude & (_HIDDEN - 1):
        return put_text(out, at, _NAN)
    if bits < 0:
        out[at] = _MINUS
        at += 1
    if exponent == _SPECIAL:
        return put_text(out, at, _INFINITY)
    significand, cut = (magnitude & (_HIDDEN - 1)) | _HIDDEN, _BIAS - exponent
    if 0 <= cut <= _FRACTION_BITS and not significand & ((1 << cut) - 1):
        return put_whole(out, at, significand >> cut)
    digits, power = _shortest(magnitude) if magnitude else (0, 0)
    return _put_decimal(out, at, digits, power)


_NAN = np.frombuffer(b"NaN", np.uint8)
_INFINITY = np.frombuffer(b"Infinity", np.uint8)


@kernel
def put_text(out: _Bytes, at: int, text: _Bytes) -> int:
    """Write text as it is, and return where it ends."""
    for i in range(len(text)):
        out[at + i] = text[i]
    return at + len(text)


@kernel
def _shortest(magnitude: int) -> tuple[int, int]:
    """Return the shortest decimal, digits * 10 ** power, of a double > 0 that is finite.

    Names are those of the paper, section 9, in units of a quarter of 10 ** k.
    """
    exponent, fraction = magnitude >> _FRACTION_BITS, magnitude & (_HIDDEN - 1)
    c = fraction | _HIDDEN if exponent else fraction
    q = max(exponent, 1) - _BIAS
    closer_below = 1 if fraction == 0 and exponent > 1 else 0  # the next smaller double is closer
    k = (q * 1_262_611 - closer_below * 524_031) >> 22  # floor(log10(2 ** q))
    h = q + ((-k * 1_741_647) >> 19) + 1  # floor(log2(10 ** -k)) + q + 1
    high, low = _POWERS[-k - _FIRST_POWER, 0], _POWERS[-k - _FIRST_POWER, 1]
    odd = c & 1  # an interval around an even c includes its ends
    lower = _scaled(high, low, (4 * c - 2 + closer_below) << h) + odd
    value = _scaled(high, low, 4 * c << h)
    upper = _scaled(high, low, (4 * c + 2) << h) - odd
    tens, ones = value // 40, value >> 2
    if lower <= 40 * tens:
        if upper < 40 * tens + 40:
            return _without_zeros(tens, k + 1)
    elif upper >= 40 * tens + 40:
        return _without_zeros(tens + 1, k + 1)
    below, above = lower <= 4 * ones, 4 * ones + 4 <= upper
    if below != above:
        return ones + int(above), k
    middle = 4 * ones + 2
    return ones + int(value > middle or (value == middle and ones & 1 == 1)), k


def _scaled(high: Any, low: Any, factor: int) -> int:
    """Return (high * 2 ** 64 + low) * factor / 2 ** 128; bit 0 is set where bits were cut off."""
    product = ((int(high) << 64 | int(low)) * factor) >> 64
    return product >> 64 | int(product & ((1 << 64) - 1) > 1)


@overload(_scaled, inline="always")
def _compiled_scaled(high: Any, low: Any, factor: Any) -> Callable[..., int]:  # noqa: ARG001
    def scaled(high: Any, low: Any, factor: Any) -> Any:
        return _multiply(high, low, factor)  # type: ignore[call-arg]  # the first is numba's

    return scaled


@intrinsic
def _multiply(typing_context: Any, high: Any, low: Any, factor: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        word, wide = ir.IntType(64), ir.IntType(128)
        high, low, factor = (builder.zext(argument, wide) for argument in arguments)
        carry = builder.lshr(builder.mul(low, factor), wide(64))
        product = builder.add(builder.mul(high, factor), carry)
        cut = builder.icmp_unsigned(">", builder.trunc(product, word), word(1))
        whole = builder.trunc(builder.lshr(product, wide(64)), word)
        return builder.or_(whole, builder.zext(cut, word))

    return types.int64(types.uint64, types.uint64, types.int64), generate


@kernel
def _without_zeros(digits: int, power: int) -> tuple[int, int]:
    """Return the same decimal without zeros at its end."""
    for zeros in (8, 4, 2, 1):
        shorter = digits // _TENS[zeros]
        while shorter * _TENS[zeros] == digits:
            digits, power = shorter, power + zeros
            shorter = digits // _TENS[zeros]
    return digits, power


@kernel
def _put_decimal(out: _Bytes, at: int, digits: int, power: int) -> int:
    """Write digits * 10 ** power as Python does: with an exponent where it is below -4 or over 15.

    There is a point in every decimal that has no exponent.
    """
    count = _count_digits(digits)
    leading = count + power - 1  # exponent of the first digit
    if leading < -4 or leading > 15:
        return _put_scientific(out, at, digits, count, leading)
    if power >= 0:
        at = put_padded(out, at, digits * _TENS[power], count + power)
        out[at], out[at + 1] = _POINT, _ZERO
        return at + 2
    whole = digits // _TENS[-power] if -power < len(_TENS) else 0
    at = put_whole(out, at, whole)
    out[at] = _POINT
    return put_padded(out, at + 1, digits, -power)


@kernel
def _put_scientific(out: _Bytes, at: int, digits: int, count: int, leading: int) -> int:
    """Write digits with an exponent."""
    at = put_padded(out, at, digits // _TENS[count - 1], 1)
    if count > 1:
        out[at] = _POINT
        at = put_padded(out, at + 1, digits, count - 1)
    out[at] = _EXPONENT
    out[at + 1] = _MINUS if leading < 0 else _PLUS
    return put_padded(out, at + 2, abs(leading), max(_count_digits(abs(leading)), 2))
