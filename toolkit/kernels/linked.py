# mypy: allow-untyped-calls
"""Compile what a kernel calls as parts of it: translated once, optimised only with the kernel.

numba by itself compiles every function that a kernel calls as a program of its own: linked with all
that it calls in turn, optimised, translated to machine code, and wrapped for Python and for C.
Where calls are ten deep, the innermost functions are optimised ten times. Here a function that
Python calls is a program, and what it calls in turn only goes into programs: the first start of the
gateway compiles for less than half as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import NativeLowering


class _PartLibrary(JITCodeLibrary):
    """LLVM code of one function, and what it calls: neither linked nor optimised yet."""

    def finalize(self) -> None:
        """Leave everything to the programs that this becomes a part of."""
        self._raise_if_finalized()
        self._finalized = True


class _ProgramLibrary(JITCodeLibrary):
    """LLVM code of a function that Python calls, with all functions that it needs."""

    def finalize(self) -> None:
        """Link and optimise the whole, and translate it to machine code."""
        self._linking_libraries = list(_all_libraries(self._linking_libraries, set()))
        super().finalize()


def _all_libraries(libraries: Iterable[Any], seen: set[Any]) -> Iterator[Any]:
    for library in libraries:
        if library not in seen:
            seen.add(library)
            yield library
            if isinstance(library, _PartLibrary):
                yield from _all_libraries(library._linking_libraries, seen)


class _PartEntry:
    """What numba knows a compiled part by, in place of a function that Python could call."""


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerPart(NativeLowering):
    """Translate one function to LLVM code, for programs to take in."""

    _name = "idskit_lower_part"

    def run_pass(self, state: Any) -> bool:
        """Lower the function that ``state`` holds."""
        state.library = _PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        state.library._ensure_finalized()
        entry = _PartEntry()
        state.targetctx.insert_user_function(entry, state.cr.fndesc, [state.library])
        state.cr = state.cr._replace(cfunc=entry)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerProgram(NativeLowering):
    """Translate a function and all that it calls to machine code."""

    _name = "idskit_lower_program"

    def run_pass(self, state: Any) -> bool:
        """Lower the function that ``state`` holds."""
        state.library = _ProgramLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


def _passes(state: Any, lowering: type[NativeLowering]) -> list[PassManager]:
    """Return numba's own passes with another last one."""
    given = DefaultPassBuilder.define_nopython_pipeline(state).passes
    passes = PassManager("nopython")
    passes.passes = [(lowering if kind is NativeLowering else kind, why) for kind, why in given]
    passes.finalize()
    return [passes]


class PartCompiler(CompilerBase):
    """numba's compiler of functions that only kernels call."""

    def define_pipelines(self) -> list[PassManager]:
        """Return the passes that a function goes through."""
        return _passes(self.state, _LowerPart)


class _ProgramCompiler(CompilerBase):
    def define_pipelines(self) -> list[PassManager]:
        """Return the passes that a function goes through."""
        return _passes(self.state, _LowerProgram)


class _Part(CPUDispatcher):
    """A function as kernels call it, by the types of its arguments."""

    def add_overload(self, cres: Any) -> None:
        """Keep a compiled version for kernels: nothing that Python could call exists."""
        self.overloads[tuple(cres.signature.args)] = cres


class Program(CPUDispatcher):
    """A function as Python calls it; in other kernels its name stands for a part of them."""

    def __init__(self, function: Any, options: dict[str, Any]) -> None:
        self._options = options | {"no_cfunc_wrapper": True}
        super().__init__(function, targetoptions=self._options, pipeline_class=_ProgramCompiler)

    @cached_property
    def _part(self) -> _Part:
        options = self._options | {"no_cpython_wrapper": True}
        return _Part(self.py_func, targetoptions=options, pipeline_class=PartCompiler)

    @property
    def _numba_type_(self) -> types.Dispatcher:
        return types.Dispatcher(self._part)  # type: ignore[arg-type]
