"""The member that models benign rows, an autoencoder, as four products and its error."""

from __future__ import annotations

import numpy as np
from torch import nn

from idskit.export.lower.graph_parts import Graph
from idskit.export.lower.weights import numpy_of
from idskit.models.members.autoencoder import ERROR_FLOOR, Autoencoder


def join_novelty(graph: Graph, novelty: Autoencoder, logits: str, signals: str) -> str:
    """Add the logarithm of the autoencoder's error to the logit of every attack.

    Its standardisation goes into the first layer, out of the last and into the mean of the squares.
    """
    scale, center = numpy_of(novelty.scale), numpy_of(novelty.center)
    rebuilt = signals
    for layer in ("encoder", "code", "decoder", "output"):
        linear: nn.Linear = getattr(novelty, layer)
        weight, shift = numpy_of(linear.weight).T, numpy_of(linear.bias)
        if layer == "encoder":
            weight, shift = weight * scale[:, None], shift - (center * scale) @ weight
        if layer == "output":
            weight, shift = weight / scale, shift / scale + center
        rebuilt = graph.gemm(rebuilt, weight, shift, f"novelty.{layer}")
        rebuilt = rebuilt if layer == "output" else graph.node("Relu", [rebuilt], f"{rebuilt}.relu")
    difference = graph.node("Sub", [rebuilt, signals], "novelty.difference")
    squares = graph.node("Mul", [difference, difference], "novelty.squares")
    mean = (scale**2 / len(scale))[:, None]
    mean_square = graph.gemm(squares, mean, np.full(1, ERROR_FLOOR), "novelty.mean")
    most = graph.constant("novelty.most", np.full(1, float(novelty.most)))
    error = graph.node("Min", [mean_square, most], "novelty.error")
    attack = np.arange(graph.classes) > 0
    spread, offset = attack[None].astype(np.float64), attack * float(novelty.offset)
    log_odds = graph.gemm(graph.node("Log", [error], "novelty.log"), spread, offset, "novelty.odds")
    return graph.node("Add", [logits, log_odds], "logits_with_novelty")
