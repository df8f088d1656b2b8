"""The seven segments of a published work on this case, as far as they are known.

Four are clusters: k-means in the space of ten principal components of 21 features, of which twenty
are known. Three are rules that come first. The work publishes neither the rules nor which segment
is which cluster. The rules here are the simplest that come near the published shares, and the
profile of a cluster decides which of the four it is, so only the clustering can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from traveltide_assets.catalogue.perks import Perk, Program, chosen
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation.kmeans import ClusteringError, centroids_of
from traveltide_assets.segmentation.kmeans_wide import nearest
from traveltide_assets.segmentation.strategy import ASSIGNMENT, History
from traveltide_assets.stats.threads import one_thread

if TYPE_CHECKING:
    from traveltide_assets.settings import Settings

FEATURES = (
    "gender",
    "married",
    "home_country",
    "has_children",
    "age",
    "tenure_months",
    "total_trips",
    "total_sessions",
    "mean_page_clicks",
    "cancelled_trips",
    "mean_session_seconds",
    "mean_rooms",
    "mean_stored_nights",
    "mean_hotel_bill_stored",
    "hotel_stays",
    "mean_seats",
    "mean_fare_times_seats",
    "total_flights",
    "mean_checked_bags",
    "mean_distance_km",
)
COMPONENTS, CLUSTERS, SEED = 10, 4, 42
TITLE = "Seven segments"
PERKS = {
    "Family": "free_checked_bag",
    "Senior": "free_hotel_meal",
    "Business": "no_cancellation_fees",
    "Cautious Loyalists": "no_cancellation_fees",
    "Elite": "all_perks",
    "Casual Deal Seekers": "exclusive_discounts",
    "Memory Makers": "free_hotel_night_with_flight",
}
"""The segments and their perks: three rules in their order, then the clusters."""
_TEXTS = ("gender", "home_country")
# Undefined prices become the cohort's median, everything else that is undefined becomes 0.
_PRICES = ("mean_hotel_bill_stored", "mean_fare_times_seats")
_DECIMALS = 10
_BY_RULE = {
    "Family": "has children and books more than one room",
    "Senior": "aged 55 or over",
    "Business": "aged 30 to 54, books three trips or more, one seat and one room",
}
_BY_CLUSTER = {
    "Cautious Loyalists": "nearest to the cluster that cancels most",
    "Elite": "nearest to the cluster with the most trips",
    "Casual Deal Seekers": "nearest to the cluster with the second most trips",
    "Memory Makers": "nearest to the cluster with the fewest trips",
}


@dataclass(frozen=True)
class SevenSegments:
    """The seven segments as a strategy, with the perks of the work."""

    perks: tuple[Perk, ...]
    seed: int = SEED
    name: str = "seven_segments"
    title: str = TITLE
    description: str = (
        "Published segments: families, seniors and business travellers by rules, the others by "
        "k-means on ten principal components"
    )
    learns_from_outcomes: bool = False
    program: Program = "seven_segments"
    extra_columns: tuple[Column, ...] = ()

    @property
    def inputs(self) -> frozenset[str]:
        return frozenset(FEATURES)

    def reseeded(self, seed: int) -> SevenSegments:
        return replace(self, seed=seed)

    def fit(self, history: History) -> FittedSeven:
        """Cluster the cohort; `ClusteringError` for fewer than four different customers."""
        space = Space.fit(history.features)
        points = space.place(history.features)
        distinct = len(np.unique(points, axis=0))
        if distinct < CLUSTERS:
            raise ClusteringError(
                f"{TITLE}: {CLUSTERS} clusters, but {distinct} different customers"
            )
        with one_thread():
            labels = KMeans(CLUSTERS, n_init=10, random_state=self.seed).fit(points).labels_
        told_by = history.features[["cancelled_trips", "total_trips"]].astype("float64").fillna(0.0)
        profile = told_by.groupby(labels).mean()
        return FittedSeven(space, centroids_of(points, labels), _names(profile))


def build(name: str, settings: Settings, perks: tuple[Perk, ...]) -> SevenSegments:
    """The strategy; `PerksMissing` if the catalogue lacks a perk of the work."""
    return SevenSegments(chosen(perks, PERKS.values(), TITLE))


@dataclass(frozen=True)
class Space:
    """From features to principal components.

    `codes` has the number of each value of a text, `fill` replaces undefined values; `mean` and
    `deviation` are in units of the features. `axes` has a row per feature and a column per
    component.
    """

    codes: dict[str, dict[str, int]]
    fill: pd.Series
    mean: np.ndarray
    deviation: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, features: pd.DataFrame) -> Space:
        """The space of a cohort (one row of `features` per customer)."""
        codes = {
            name: {value: code for code, value in enumerate(sorted(set(features[name])))}
            for name in _TEXTS
        }
        fill = pd.Series(0.0, index=FEATURES)
        fill.update(features[list(_PRICES)].astype("float64").median().fillna(0.0))
        values = _numbers(features, codes, fill)
        spread = values.std(axis=0)
        mean, deviation = values.mean(axis=0), np.where(spread > 0, spread, 1.0)
        return cls(codes, fill, mean, deviation, _axes((values - mean) / deviation))

    def place(self, features: pd.DataFrame) -> np.ndarray:
        """Coordinates (columns) of each customer (row)."""
        values = _numbers(features, self.codes, self.fill)
        with one_thread():
            return (((values - self.mean) / self.deviation) @ self.axes).round(_DECIMALS)


@dataclass(frozen=True)
class FittedSeven:
    """The space, the centroids (a row per cluster) and the name of each cluster."""

    space: Space
    centroids: np.ndarray
    names: tuple[str, ...]

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """One row per row of `features`, in their order: the columns of `ASSIGNMENT`.

        `score` is 1 for a rule; in a cluster it is 1 at the centroid and 0 halfway to the next one.
        """
        labels, margin = nearest(self.space.place(features), self.centroids)
        rules = _rules(features)
        ruled = [rules[name] for name in _BY_RULE]
        segment = np.select(ruled, list(_BY_RULE), np.array(self.names, dtype=object)[labels])
        reasons = _BY_RULE | _BY_CLUSTER
        columns = (
            features["user_id"].to_numpy(),
            segment,
            [PERKS[name] for name in segment],
            np.where(np.any(ruled, axis=0), 1.0, margin),
            [reasons[name] for name in segment],
        )
        return pd.DataFrame(dict(zip(ASSIGNMENT, columns, strict=True)))


def _axes(standardised: np.ndarray) -> np.ndarray:
    """The first principal axes (columns); if all customers are equal, all coordinates are 0."""
    size = min(COMPONENTS, *standardised.shape)
    if not standardised.any():
        return np.eye(standardised.shape[1], size)
    with one_thread():
        return PCA(size, svd_solver="full").fit(standardised).components_.T


def _numbers(
    features: pd.DataFrame, codes: dict[str, dict[str, int]], fill: pd.Series
) -> np.ndarray:
    coded = {name: features[name].map(codes[name]) for name in _TEXTS}
    values = features[list(FEATURES)].assign(**coded).astype("float64")
    return values.fillna(fill).to_numpy()


def _names(profile: pd.DataFrame) -> tuple[str, ...]:
    """The name of each cluster (row of `profile`): first who cancels most, then by their trips."""
    cautious = profile["cancelled_trips"].idxmax()
    others = profile["total_trips"].drop(cautious).sort_values(ascending=False, kind="stable")
    names = dict(zip([cautious, *others.index], _BY_CLUSTER, strict=True))
    return tuple(names[label] for label in profile.index)


def _rules(features: pd.DataFrame) -> dict[str, np.ndarray]:
    """Whom each rule takes, before the rules that come first; undefined values satisfy none."""
    values = features[["age", "total_trips", "mean_seats", "mean_rooms"]].astype("float64")
    age, trips, seats, rooms = values.to_numpy().T
    return {
        "Family": features["has_children"].to_numpy(dtype=bool) & (rooms > 1),
        "Senior": age >= 55,
        "Business": (age >= 30) & (trips >= 3) & (seats <= 1) & (rooms <= 1),
    }
