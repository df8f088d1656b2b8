"""The k-means of a published work on this case: six features over session rows, four clusters.

It is a preset of `kmeans.py`. The work gave perks by hand, by the number of the cluster, which
changes from fit to fit. Here the profile of a cluster decides which of the four it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from traveltide_assets.catalogue.perks import Perk, Program, chosen, features_of
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation import kmeans
from traveltide_assets.segmentation.cluster_model import Model
from traveltide_assets.segmentation.config import Config
from traveltide_assets.segmentation.kmeans import FittedKMeans
from traveltide_assets.segmentation.strategy import History

if TYPE_CHECKING:
    from traveltide_assets.settings import Settings

PRESET = Config(
    features=(
        "total_sessions",
        "session_cancellation_rate",
        "discounted_row_share_with_cancellations",
        "total_stored_nights_booked",
        "total_checked_bags_booked",
        "total_base_fare_booked",
    ),
    k=4,
)
SEED = 42
TITLE = "Published k-means"
# Each cluster in turn: the features whose sum is highest among the clusters left, name and perk.
_CLUSTERS = (
    (("session_cancellation_rate",), "Risk-Averse Planners", "no_cancellation_fees"),
    (("discounted_row_share_with_cancellations",), "Discount Seekers", "free_checked_bag"),
    (
        ("total_checked_bags_booked", "total_base_fare_booked"),
        "Premium Vacationers",
        "exclusive_discounts",
    ),
    ((), "Light Packers", "free_hotel_night_with_flight"),
)


@dataclass(frozen=True)
class PublishedKMeans:
    """The preset as a strategy, with the perks of the work."""

    perks: tuple[Perk, ...]
    seed: int = SEED
    name: str = "published_kmeans"
    title: str = TITLE
    description: str = (
        "A published k-means on six scaled sums and shares over session rows, perks by hand"
    )
    learns_from_outcomes: bool = False
    program: Program = "classic"
    extra_columns: tuple[Column, ...] = ()

    @property
    def inputs(self) -> frozenset[str]:
        return frozenset(PRESET.features) | features_of(self.perks)

    def reseeded(self, seed: int) -> PublishedKMeans:
        return replace(self, seed=seed)

    def fit(self, history: History) -> FittedKMeans:
        """Cluster the cohort; `ClusteringError` for fewer than four different customers."""
        model = kmeans.fit(history.features, PRESET, self.seed, self.perks, None)
        return FittedKMeans(_called(model), self.perks)


def build(name: str, settings: Settings, perks: tuple[Perk, ...]) -> PublishedKMeans:
    """The strategy; `PerksMissing` if the catalogue lacks a perk of the work."""
    return PublishedKMeans(chosen(perks, [perk for _, _, perk in _CLUSTERS], TITLE))


def _called(model: Model) -> Model:
    """The model with the names and perks of the work."""
    left = list(range(len(model.centroids)))
    names, perks = {}, {}
    for features, name, perk in _CLUSTERS:
        columns = [model.features.index(feature) for feature in features]
        weights = model.centroids[:, columns].sum(axis=1)
        found = left.pop(int(np.argmax(weights[left])))
        names[found], perks[found] = name, perk
    order = range(len(model.centroids))
    return replace(
        model, segments=tuple(names[i] for i in order), perks=tuple(perks[i] for i in order)
    )
