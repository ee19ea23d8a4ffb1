"""The trees of the ensemble: fitted by LightGBM to raw rows, then averaged with the network."""

from __future__ import annotations

from torch import Tensor

from idskit.data.dataset import Dataset
from idskit.models.members.trees import Trees
from idskit.models.network import Network
from idskit.training.members.boosted_trees import fit_trees
from idskit.training.members.calibration import fit_share, fit_temperature
from idskit.training.members.choose_derived import pairs_of
from idskit.training.members.member import LabelledSignals
from idskit.training.settings import ResolvedSettings


class TreesMember:
    """Boosted trees; ``network`` gets them when they are fitted, for their size is known then."""

    def __init__(self, network: Network, dataset: Dataset, settings: ResolvedSettings) -> None:
        self._network, self._dataset, self._settings = network, dataset, settings
        self._trees: Trees

    def fit(self) -> None:
        """Fit the kind of trees that the settings name."""
        pairs = pairs_of(self._dataset.schema, self._settings.trees)
        arrays = fit_trees(self._dataset, self._settings, pairs)
        self._trees = Trees.of(arrays, len(self._dataset.classes), pairs)
        self._network.trees = self._trees

    def calibrate(self, held: LabelledSignals) -> None:
        """Choose the temperature of the trees, and their share of the averaged probabilities."""
        trees, raw = self._trees, self._trees.raw(held.rows.flows)
        trees.temperature.fill_(fit_temperature(raw, held.labels, held.weights))
        before, own = (
            log_odds.softmax(dim=1).gather(1, held.labels[:, None])[:, 0]
            for log_odds in (held.log_odds, raw / trees.temperature)
        )
        trees.share.fill_(fit_share(before, own, held.weights))

    def log_odds(self, held: LabelledSignals) -> Tensor:
        """Return the logarithm (n, classes) of the averaged probabilities."""
        return self._trees.join(held.log_odds, held.rows)
