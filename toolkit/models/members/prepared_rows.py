"""Rows as the members of an ensemble see them: trees look at raw ones, all others at signals."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PreparedRows:
    """The same rows before and after the preparation."""

    flows: Tensor  # (n, features) float32, raw
    signals: Tensor  # (n, length) float32, prepared
