"""How the flow engine compiles its loops: the same options for every kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import config, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile ``function`` with numba: kept on disk, and run without the interpreter lock.

    With ``NUMBA_DISABLE_JIT=1`` it stays a plain Python function; kernels therefore keep their
    numbers in ``int`` and mask what they store, so that both give the same.
    """
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


@kernel
def signed(value: Any) -> int:
    """A field or item of any width as int64, in which sums with other numbers stay integers.

    Where numba meets signed and unsigned numbers of 64 bits, it goes on in floating point.
    """
    return int(np.int64(value))


def borrowed(data: NDArray[Any]) -> NDArray[Any]:
    """Inside a kernel, the items of the one-dimensional ``data`` as a bare pointer.

    Passing an array to a function that is not inlined counts a reference up and down, atomically,
    which is a third of the time of a short function. A pointer costs nothing; it has no length and
    checks nothing, and ``data`` must outlive it. With ``NUMBA_BOUNDSCHECK=1``, or without
    compilation, it is ``data`` itself, whose indices are checked.
    """
    return data


@overload(borrowed, inline="always")
def _borrowed(data: types.Array) -> Callable[..., Any]:  # noqa: ARG001
    def checked(data: types.Array) -> Any:
        return data

    def bare(data: types.Array) -> Any:
        return _pointer(data)  # type: ignore[call-arg]  # an intrinsic's first argument is numba's

    return checked if config.BOUNDSCHECK else bare  # type: ignore[attr-defined]


@intrinsic
def _pointer(typing_context: Any, data: types.Array) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(data.dtype)(data), generate  # type: ignore[no-untyped-call]
