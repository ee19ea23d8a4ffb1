"""What arithmetic a target has, and the recipe that follows from it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from idskit.errors import IdskitError


@dataclass(frozen=True, kw_only=True)
class Target:
    """A machine's recipe.

    Example:
        >>> target_named("arm64").signed_activations
        True
    """

    name: str
    signed_activations: bool  # S8S8 (ARM's kernels) instead of U8S8 (x86's)
    reduce_range: bool  # 7-bit weights: U8S8 pairs saturate 16 bits on x86 without VNNI
    precisions: tuple[str, ...] = ("int8",)  # those that are faster there than fp32


TARGETS = {
    target.name: target
    for target in (
        # Right on every x86-64, the same answer with and without VNNI.
        Target(name="x86-64", signed_activations=False, reduce_range=True),
        Target(name="x86-64-avx2", signed_activations=False, reduce_range=True),
        Target(name="x86-64-vnni", signed_activations=False, reduce_range=False),
        Target(name="arm64", signed_activations=True, reduce_range=False),
        Target(name="rpi4", signed_activations=True, reduce_range=False),
        Target(name="rpi5", signed_activations=True, reduce_range=False),
        Target(
            name="jetson",
            signed_activations=True,
            reduce_range=False,
            precisions=("int8", "fp16"),
        ),
        # onnxruntime's CUDA provider runs quantised products in float, after dequantising.
        Target(name="cuda", signed_activations=True, reduce_range=False, precisions=("fp16",)),
    )
}


def target_named(name: str) -> Target:
    """Look a target up; ``auto`` is this machine.

    Raises:
        IdskitError: unknown target, or a machine that ``auto`` does not know.
    """
    chosen = _this_machine() if name == "auto" else name
    if chosen not in TARGETS:
        raise IdskitError(
            f"target {chosen!r} is not known: choose one of auto, {', '.join(TARGETS)}"
        )
    return TARGETS[chosen]


def require_precision(target: Target, precision: str) -> None:
    """Return if ``target`` gains by ``precision``; fp32 runs everywhere.

    Raises:
        IdskitError: it would be slower than fp32 there.
    """
    if precision in ("none", *target.precisions):
        return
    able = ", ".join(name for name, other in TARGETS.items() if precision in other.precisions)
    raise IdskitError(
        f"{precision} was asked for target {target.name}, where onnxruntime has no {precision} "
        "products and would convert every value to float and back, slower than fp32: choose "
        f"--quantize {target.precisions[0]}, or a target of {able}"
    )


def _this_machine() -> str:
    machine = platform.machine()
    if machine == "aarch64":
        return "arm64"
    if machine in ("x86_64", "AMD64"):
        flags = Path("/proc/cpuinfo")
        vnni = flags.exists() and "vnni" in flags.read_text(errors="replace")
        return "x86-64-vnni" if vnni else "x86-64-avx2"
    return machine
