"""Arrays of records as raw pointers inside kernels; ``compile.raw_pointer`` says why."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import config, types
from numba.extending import intrinsic, models, overload, register_model
from numpy.typing import NDArray


def record_pointer(data: NDArray[np.void]) -> NDArray[np.void]:
    """Return the records of one-dimensional, contiguous ``data`` as a raw pointer, inside a kernel.

    ``record_pointer(data)[i]`` is the record ``data[i]``. The pointer has no length and checks
    nothing, and ``data`` must outlive it. With ``NUMBA_BOUNDSCHECK=1``, or without compilation, it
    is ``data`` itself, whose indices are checked.
    """
    return data


def prefetch(pointer: NDArray[Any], index: int) -> None:
    """Prefetch a record or number into the processor's cache: a hint that changes no result.

    ``pointer`` comes from ``record_pointer`` or ``raw_pointer``.
    """


class _Rows(types.Type):
    """Type of a pointer to the first of many records of one dtype."""

    def __init__(self, record: types.Record) -> None:
        self.record = record
        super().__init__(name=f"Rows({record})")


@register_model(_Rows)
class _RowsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, rows_type: _Rows) -> None:
        byte = ir.IntType(8)
        super().__init__(manager, rows_type, byte.as_pointer())  # type: ignore[no-untyped-call]


@overload(record_pointer, inline="always")
def _record_pointer(data: types.Array) -> Callable[..., Any]:  # noqa: ARG001
    def checked(data: types.Array) -> Any:
        return data

    def unchecked(data: types.Array) -> Any:
        return _first(data)  # type: ignore[call-arg]  # an intrinsic's first argument is numba's

    return checked if config.BOUNDSCHECK else unchecked  # type: ignore[attr-defined]


@intrinsic
def _first(typing_context: Any, data: types.Array) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.bitcast(pointer, ir.IntType(8).as_pointer())

    return _Rows(data.dtype)(data), generate  # type: ignore[arg-type]


@overload(operator.getitem)
def _item(pointer: Any, index: Any) -> Callable[..., Any] | None:  # noqa: ARG001
    def item(pointer: Any, index: Any) -> Any:
        return _record(pointer, index)  # type: ignore[call-arg]

    return item if isinstance(pointer, _Rows) else None


@intrinsic
def _record(typing_context: Any, pointer: _Rows, index: types.Integer) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = context.cast(builder, arguments[1], signature.args[1], types.intp)
        offset = builder.mul(wide, wide.type(pointer.record.size))
        address = builder.gep(arguments[0], [offset])
        return builder.bitcast(address, context.get_value_type(pointer.record))

    return pointer.record(pointer, index), generate


@overload(prefetch, inline="always")
def _prefetch(pointer: Any, index: Any) -> Callable[..., None]:  # noqa: ARG001
    def fetch(pointer: Any, index: Any) -> None:
        _prefetch_lines(pointer, index)  # type: ignore[call-arg]

    def nothing(pointer: Any, index: Any) -> None:
        pass

    return fetch if isinstance(pointer, (_Rows, types.CPointer)) else nothing


_LINE = 64  # bytes of a cache line


@intrinsic
def _prefetch_lines(typing_context: Any, pointer: _Rows, index: types.Integer) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        signature_type = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], signature_type)
        wide = context.cast(builder, arguments[1], signature.args[1], types.intp)
        size = pointer.record.size if isinstance(pointer, _Rows) else pointer.dtype.bitwidth // 8
        start = builder.bitcast(arguments[0], byte)
        first = builder.gep(start, [builder.mul(wide, wide.type(size))])
        for offset in range(0, size, _LINE):
            address = builder.gep(first, [wide.type(offset)])
            builder.call(fetch, [address, word(1), word(3), word(1)])  # to write, keep, data
        return context.get_dummy_value()

    return types.none(pointer, index), generate
