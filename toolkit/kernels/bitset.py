"""Sets of up to 64 places as the bits of one number, compared and counted in a few instructions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from idskit.kernels.compile import kernel

PLACES = 64
_ZERO, _ONE, _ALL = np.uint64(0), np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)


def equal(column: NDArray[Any], first: int, value: Any) -> np.uint64:
    """Which of the 64 items from ``first`` on equal ``value``: bit i is item ``first + i``.

    Inside a kernel, ``column`` may be ``borrowed``: then all are compared at once.
    """
    return _one_by_one(column, first, value)  # type: ignore[no-any-return]


def _one_by_one(column: Any, first: Any, value: Any) -> Any:
    found = _ZERO
    for place in range(PLACES):
        if column[first + place] == value:
            found |= _ONE << np.uint64(place)
    return found


@overload(equal)
def _equal(column: Any, first: Any, value: Any) -> Callable[..., Any]:  # noqa: ARG001
    def at_once(column: Any, first: Any, value: Any) -> Any:
        return _equal_lanes(column, first, value)  # type: ignore[call-arg]

    return at_once if isinstance(column, types.CPointer) else _one_by_one


@intrinsic
def _equal_lanes(
    typing_context: Any,  # noqa: ARG001
    column: types.CPointer,
    first: types.Integer,
    value: types.Integer,
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        item = context.get_value_type(column.dtype)
        lanes = ir.VectorType(item, PLACES)
        wide = context.cast(builder, arguments[1], signature.args[1], types.intp)
        address = builder.bitcast(builder.gep(arguments[0], [wide]), lanes.as_pointer())
        found = builder.load(address)
        found.align = item.width // 8
        one = context.cast(builder, arguments[2], signature.args[2], column.dtype)
        blank = ir.Constant(lanes, ir.Undefined)
        single = builder.insert_element(blank, one, ir.IntType(32)(0))
        every = builder.shuffle_vector(
            single, blank, ir.Constant(ir.VectorType(ir.IntType(32), PLACES), [0] * PLACES)
        )
        return builder.bitcast(builder.icmp_unsigned("==", found, every), ir.IntType(PLACES))

    return types.uint64(column, first, value), generate


def count(places: np.uint64) -> int:
    """How many places a set has."""
    return int(places).bit_count()


@overload(count)
def _count(places: Any) -> Callable[..., Any]:  # noqa: ARG001
    def ones(places: Any) -> Any:
        return _ones(places)  # type: ignore[call-arg]

    return ones


@intrinsic
def _ones(typing_context: Any, places: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


def newest(places: np.uint64) -> int:
    """The highest place of a set that is not empty."""
    return int(places).bit_length() - 1


@overload(newest)
def _newest(places: Any) -> Callable[..., Any]:  # noqa: ARG001
    def highest(places: Any) -> Any:
        return PLACES - 1 - _leading_zeros(places)  # type: ignore[call-arg]

    return highest


@intrinsic
def _leading_zeros(typing_context: Any, places: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.ctlz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), generate


@kernel
def bit(place: int) -> np.uint64:
    """The set of one place."""
    return _ONE << np.uint64(place)


@kernel
def before(head: int, length: int) -> np.uint64:
    """The ``length`` places before ``head`` in a ring of 64."""
    if length == PLACES:
        return _ALL
    return turned((_ONE << np.uint64(length)) - _ONE, head - length)


@kernel
def turned(places: np.uint64, by: int) -> np.uint64:
    """A set with every place moved ``by`` further around the ring."""
    left = np.uint64(by & (PLACES - 1))
    return (places << left) | (places >> (np.uint64(PLACES - by & (PLACES - 1))))
