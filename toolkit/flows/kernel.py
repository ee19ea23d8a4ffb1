"""How the flow engine compiles its loops: the same options for every kernel."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import config, types
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., object])


_SOURCES: dict[object, frozenset[str]] = {}  # files that a kernel is compiled from


def kernel(function: Function) -> Function:
    """Compile ``function`` with numba: kept on disk, and run without the interpreter lock.

    With ``NUMBA_DISABLE_JIT=1`` it stays a plain Python function; kernels therefore keep their
    numbers in ``int`` and mask what they store, so that both give the same.
    """
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if file is not None:
        _SOURCES[compiled] = _sources(function)
        file._source_stamp = _stamp(_SOURCES[compiled])
    return cast(Function, compiled)


def _sources(function: Callable[..., object]) -> frozenset[str]:
    """The file of a function, and those of the kernels that its module has imported."""
    names = list(function.__globals__.values())
    known = [_SOURCES[name] for name in names if isinstance(name, Dispatcher) and name in _SOURCES]
    return frozenset({function.__code__.co_filename}).union(*known)


@cache
def _stamp(files: frozenset[str]) -> tuple[float, int]:
    """Latest change and size of some files.

    What numba keeps on disk it takes for good until the file of the kernel itself changes; but the
    kernels of other files are compiled into it.
    """
    found = [Path(file).stat() for file in files]
    return max(file.st_mtime for file in found), sum(file.st_size for file in found)


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
