"""A member that knows benign traffic only: how badly an autoencoder rebuilds a row.

A classifier has no reason to call a row an attack that resembles none it was shown. An autoencoder
of benign rows rebuilds such a row badly, whatever it is. The logarithm of its error is added to the
log-odds of attack, up to the error that one benign row in a hundred exceeds: that a row is new is
known by then, and how new it is would only rank odd benign traffic above plain attacks.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from idskit.models.members.prepared_rows import PreparedRows

Novelty = Literal["none", "autoencoder"]
NOVELTIES: tuple[Novelty, ...] = ("none", "autoencoder")
HIDDEN, CODE = 128, 24
ERROR_FLOOR = 1e-4  # a row rebuilt better than this is rebuilt


class Autoencoder(nn.Module):
    """What rebuilds prepared rows of benign traffic, and what its error says of an attack."""

    center: Tensor  # (length,), of benign training rows, as is scale
    scale: Tensor
    most: Tensor  # () error that counts, fitted on validation rows, as is offset
    offset: Tensor  # ()

    def __init__(self, length: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(length))
        self.register_buffer("scale", torch.ones(length))
        self.register_buffer("most", torch.full((), torch.inf))
        self.register_buffer("offset", torch.zeros(()))
        self.encoder = nn.Linear(length, HIDDEN)
        self.code = nn.Linear(HIDDEN, CODE)
        self.decoder = nn.Linear(CODE, HIDDEN)
        self.output = nn.Linear(HIDDEN, length)

    def log_odds(self, signals: Tensor) -> Tensor:
        """Return the log-odds (n,) of an attack that rebuilding signals (n, length) adds."""
        return self.error(signals).clamp(max=self.most).log() + self.offset

    def join(self, log_odds: Tensor, rows: PreparedRows) -> Tensor:
        """Add its own (n,) to the log-odds (n, classes) of the members before, but of benign."""
        attack = log_odds[:, 1:] + self.log_odds(rows.signals)[:, None]
        return torch.cat([log_odds[:, :1], attack], dim=1)

    def error(self, signals: Tensor) -> Tensor:
        """Return how badly signals (n, length) are rebuilt: (n,)."""
        standard = self.standardise(signals)
        squares = (self.rebuild(standard) - standard).square()
        return squares.mean(dim=1) + ERROR_FLOOR

    def standardise(self, signals: Tensor) -> Tensor:
        """Return signals (n, length) in the spread of benign rows."""
        return (signals - self.center) * self.scale

    def rebuild(self, standard: Tensor) -> Tensor:
        """Standardised rows (n, length) as the code describes them."""
        code = self.code(self.encoder(standard).relu())
        rebuilt: Tensor = self.output(self.decoder(code.relu()).relu())
        return rebuilt
