"""Compile kernels with numba, all with the same options, and cache them on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import config, types
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from numba.core.event import Event, Listener, install_listener
from numba.core.runtime.nrt import rtsys
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from idskit.files.folders import cache_home, make_private, require_private
from idskit.kernels.linked import Program
from idskit.process.signals import Guard

Function = TypeVar("Function", bound=Callable[..., object])


_SOURCES: dict[object, frozenset[str]] = {}  # files that a kernel is compiled from


def kernel(function: Function) -> Function:
    """Compile ``function`` with numba; it is cached on disk, and releases the interpreter lock.

    The cache is in ``cache_folder()``; where there is none, every process compiles anew. Only what
    Python calls is cached, with all kernels that it calls in turn, of which none may call itself.

    With ``NUMBA_DISABLE_JIT=1`` it stays a plain Python function; kernels therefore keep their
    numbers in ``int`` and mask what they store, so that both give the same.
    """
    return _compiled(function, forceinline=False)


def inlined(function: Function) -> Function:
    """Compile ``function`` as ``kernel`` does, and inline it wherever it is called.

    This is for functions that every packet passes through with many arrays: a call passes all their
    pointers, which takes longer than the work of a short function.
    """
    return _compiled(function, forceinline=True)


def _compiled(function: Function, *, forceinline: bool) -> Function:
    if not is_compiling():
        return function
    options = {"nopython": True, "nogil": True, "error_model": "numpy", "forceinline": forceinline}
    compiled: Any = Program(function, options)
    if cache_folder() is not None:
        _SOURCES[compiled] = _sources(function)
        compiled._cache = _KernelCache(function, _SOURCES[compiled])
    return cast(Function, compiled)


class _KernelCache:
    """What is cached on disk of one kernel, in numba's files.

    Most kernels are compiled into others, and never looked for themselves: numba would make a
    temporary file for each, to see whether it can write.
    """

    def __init__(self, function: Callable[..., object], files: frozenset[str]) -> None:
        self._function, self._files = function, files

    @cached_property
    def _opened(self) -> Any:
        with _cache_directory():
            opened: Any = FunctionCache(self._function)  # type: ignore[no-untyped-call]
        # numba itself would look only at the file of the kernel, not at those compiled into it.
        opened._cache_file._source_stamp = _stamp(self._files)
        return opened

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what is cached for a signature; None where nothing is.

        numba would first import all that it can compile, which takes half a second and 60 MB;
        whatever compiles does that by itself.
        """
        rtsys.initialize(target_context)
        with self._opened._guard_against_spurious_io_errors():
            return self._opened._load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Cache what was compiled for a signature."""
        self._opened.save_overload(sig, data)

    @property
    def cache_path(self) -> str:
        """Return the folder of its files, for ``Dispatcher.stats``."""
        return str(self._opened.cache_path)

    def flush(self) -> None:
        """Drop what is cached, for ``Dispatcher.recompile``."""
        self._opened.flush()


@cache
def cache_folder() -> Path | None:
    """Return the folder that compiled kernels are cached in; None where nothing can be written.

    It is ``idskit`` in ``NUMBA_CACHE_DIR`` if set, else ``idskit/numba`` in ``XDG_CACHE_HOME`` or
    ``~/.cache``. It is not in the package, where numba would put it: whoever may write there need
    not be the user who runs it.

    Raises:
        IdskitError: another user could have put kernels of his own there, or ``NUMBA_CACHE_DIR``
            cannot be written to.
    """
    given = config.CACHE_DIR  # type: ignore[attr-defined]
    if given:
        return require_private(Path(given, "idskit").absolute(), "NUMBA_CACHE_DIR")
    try:
        return make_private(cache_home() / "numba")
    except OSError:
        return None


def is_compiling() -> bool:
    """Return whether kernels are compiled: not with ``NUMBA_DISABLE_JIT=1``."""
    return not config.DISABLE_JIT  # type: ignore[attr-defined]


@contextmanager
def _cache_directory() -> Iterator[None]:
    """Set numba's cache directory while a cache is opened.

    The setting is restored, because it belongs to the whole process and other packages' functions.
    """
    given = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]
    try:
        yield
    finally:
        config.CACHE_DIR = given  # type: ignore[attr-defined]


class Settled:
    """A kernel that is called with arguments of the same types every time.

    numba looks at the types of all arguments of a call, which for sixty arrays takes a tenth of a
    millisecond where the processor's caches hold something else: here only the first call's count.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Call the kernel."""
        if self._compiled is None:
            self._compiled = self._compile(arguments)
        return self._compiled(*arguments)

    def _compile(self, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        """Return what the kernel was compiled to for the types of these arguments."""
        if not isinstance(self._function, Dispatcher):
            return self._function
        return self._function.compile(tuple(map(numba.typeof, arguments)))


class _Compilations(Listener):
    """Listener that calls a function when the first compilation starts; signals end them all."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call, self._called = call, False
        self._guard = Guard()

    def on_start(self, event: Event) -> None:  # noqa: ARG002
        self._guard.begin()
        if not self._called:
            self._called = True
            self._call()

    def on_end(self, event: Event) -> None:  # noqa: ARG002
        self._guard.end()


@contextmanager
def on_first_compilation(call: Callable[[], None]) -> Iterator[None]:
    """Call ``call`` before the first kernel that is not cached is compiled in this context.

    While kernels are compiled, SIGINT, SIGTERM and SIGHUP end the process at once. An error that
    ``call`` raises goes to whoever ran the kernel, which is then not compiled.
    """
    with install_listener("numba:compile", _Compilations(call)):
        yield


def _sources(function: Callable[..., object]) -> frozenset[str]:
    """Return the file of a function, and those of the kernels that its module has imported."""
    names = list(function.__globals__.values())
    known = [_SOURCES[name] for name in names if isinstance(name, Dispatcher) and name in _SOURCES]
    return frozenset({function.__code__.co_filename}).union(*known)


@cache
def _stamp(files: frozenset[str]) -> tuple[float, int]:
    """Return the latest modification time and the total size of some files."""
    found = [Path(file).stat() for file in files]
    return max(file.st_mtime for file in found), sum(file.st_size for file in found)


@kernel
def signed(value: Any) -> int:
    """Return a field or item of any width as int64, so that sums stay integers.

    Where numba meets signed and unsigned numbers of 64 bits, it goes on in floating point.
    """
    return int(np.int64(value))


def raw_pointer(data: NDArray[Any]) -> NDArray[Any]:
    """Return the items of the one-dimensional ``data`` as a raw pointer, inside a kernel.

    Passing an array to a function that is not inlined counts a reference up and down, atomically,
    which is a third of the time of a short function. A pointer costs nothing; it has no length and
    checks nothing, and ``data`` must outlive it. With ``NUMBA_BOUNDSCHECK=1``, or without
    compilation, it is ``data`` itself, whose indices are checked.

    Write through it only in a function that it is passed to: numba 0.68 takes a store in the
    function that made it for dead code and drops it.
    """
    return data


@overload(raw_pointer, inline="always")
def _raw_pointer(data: types.Array) -> Callable[..., Any]:  # noqa: ARG001
    def checked(data: types.Array) -> Any:
        return data

    def unchecked(data: types.Array) -> Any:
        return _pointer(data)  # type: ignore[call-arg]  # an intrinsic's first argument is numba's

    return checked if config.BOUNDSCHECK else unchecked  # type: ignore[attr-defined]


@intrinsic
def _pointer(typing_context: Any, data: types.Array) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(data.dtype)(data), generate  # type: ignore[no-untyped-call]
