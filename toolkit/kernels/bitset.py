"""Sets of up to 64 positions as the bits of one number, handled in a few instructions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from idskit.kernels.compile import kernel

POSITIONS = 64
_ZERO, _ONE, _ALL = np.uint64(0), np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)


def equal(column: NDArray[Any], first: int, value: Any) -> np.uint64:
    """Return which of the 64 items from ``first`` on equal ``value``: bit i is item ``first + i``.

    Inside a kernel, ``column`` may be a raw pointer: then all are compared at once.
    """
    return _one_by_one(column, first, value)  # type: ignore[no-any-return]


def _one_by_one(column: Any, first: Any, value: Any) -> Any:
    found = _ZERO
    for position in range(POSITIONS):
        if column[first + position] == value:
            found |= _ONE << np.uint64(position)
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
        lanes = ir.VectorType(item, POSITIONS)
        wide = context.cast(builder, arguments[1], signature.args[1], types.intp)
        address = builder.bitcast(builder.gep(arguments[0], [wide]), lanes.as_pointer())
        found = builder.load(address)
        found.align = item.width // 8
        one = context.cast(builder, arguments[2], signature.args[2], column.dtype)
        blank = ir.Constant(lanes, ir.Undefined)
        single = builder.insert_element(blank, one, ir.IntType(32)(0))
        every = builder.shuffle_vector(
            single, blank, ir.Constant(ir.VectorType(ir.IntType(32), POSITIONS), [0] * POSITIONS)
        )
        return builder.bitcast(builder.icmp_unsigned("==", found, every), ir.IntType(POSITIONS))

    return types.uint64(column, first, value), generate


def count(positions: np.uint64) -> int:
    """Return how many positions a set has."""
    return int(positions).bit_count()


@overload(count)
def _count(positions: Any) -> Callable[..., Any]:  # noqa: ARG001
    def ones(positions: Any) -> Any:
        return _ones(positions)  # type: ignore[call-arg]

    return ones


@intrinsic
def _ones(typing_context: Any, positions: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


def newest(positions: np.uint64) -> int:
    """Return the highest position of a set that is not empty."""
    return int(positions).bit_length() - 1


@overload(newest)
def _newest(positions: Any) -> Callable[..., Any]:  # noqa: ARG001
    def highest(positions: Any) -> Any:
        return POSITIONS - 1 - _leading_zeros(positions)  # type: ignore[call-arg]

    return highest


@intrinsic
def _leading_zeros(typing_context: Any, positions: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.ctlz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), generate


@kernel
def bit(position: int) -> np.uint64:
    """Return the set of one position."""
    return _ONE << np.uint64(position)


@kernel
def before(head: int, length: int) -> np.uint64:
    """Return the ``length`` positions before ``head`` in a ring of 64."""
    if length == POSITIONS:
        return _ALL
    return turned((_ONE << np.uint64(length)) - _ONE, head - length)


@kernel
def turned(positions: np.uint64, by: int) -> np.uint64:
    """Return a set with every position moved ``by`` further around the ring."""
    left = np.uint64(by & (POSITIONS - 1))
    return (positions << left) | (positions >> (np.uint64((POSITIONS - by) & (POSITIONS - 1))))
