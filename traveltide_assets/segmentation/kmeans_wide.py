"""K-means on many behavioural and demographic features, and an evaluation of DBSCAN.

Features are winsorised and standardised, and the principal components with most of the variance are
clustered. Undefined values become the cohort's mean, which is 0 after standardisation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator
from scipy.spatial.distance import cdist
from sklearn.cluster import DBSCAN
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from traveltide_assets.catalogue.perks import Perk, Program, features_of, of_program
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation import affinities, cluster_model, kmeans, naming
from traveltide_assets.segmentation import config as classic
from traveltide_assets.segmentation.scaling import NUMERIC, numeric
from traveltide_assets.segmentation.strategy import ASSIGNMENT, History
from traveltide_assets.segmentation.tables import DBSCAN_TRIAL
from traveltide_assets.stats.side_by_side import ALONE, Processes
from traveltide_assets.stats.silhouette import distances_to, silhouette
from traveltide_assets.stats.threads import one_thread

if TYPE_CHECKING:
    from traveltide_assets.settings import Settings

WIDE_FEATURES = (
    "mean_page_clicks",
    "conversion_rate",
    "session_cancellation_rate",
    "flight_discount_rate",
    "hotel_discount_rate",
    "discounted_booking_rate",
    "total_trips",
    "total_flights",
    "mean_seats",
    "mean_checked_bags",
    "mean_base_fare",
    "mean_distance_km",
    "mean_lead_days",
    "mean_nights",
    "mean_rooms",
    "mean_room_price",
    "package_rate",
    "short_solo_trip_share",
    "age",
    "married",
    "has_children",
)
_DECIMALS = 10
_MIN_SAMPLES = (5, 10, 20)
_EPS_QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99)


class Config(classic.Config):
    """The wide cluster model: the settings of the classic one, and those of its space."""

    features: tuple[str, ...] = Field(
        WIDE_FEATURES, min_length=1, description="Features of the model"
    )
    k: Annotated[int, Field(ge=1)] | Literal["silhouette"] = "silhouette"
    restarts: int = Field(
        3, ge=1, description="Random starts of each k-means fit; the best is kept"
    )
    sample_rows: int = Field(2_000, ge=100, description="Sample size for the silhouette")
    tail: float = Field(0.01, ge=0, lt=0.5, description="Share winsorised at either end")
    variance: float = Field(0.8, gt=0, le=1, description="Share of variance kept")

    @field_validator("features")
    @classmethod
    def _are_numeric(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if name not in NUMERIC]:
            raise ValueError(
                f"not numeric features: {', '.join(unknown)}; choose from {', '.join(NUMERIC)}"
            )
        return names


@dataclass(frozen=True)
class Space:
    """The transformation from features to principal components.

    `low`, `high`, `mean` and `deviation` are in units of the features. `axes` has a row per feature
    and a column per component.
    """

    features: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, features: pd.DataFrame, config: Config) -> Space:
        """The space of a cohort (one row of `features` per customer)."""
        values = numeric(features)[list(config.features)]
        low, high = values.quantile(config.tail), values.quantile(1 - config.tail)
        winsorised = values.clip(low, high, axis=1)
        raw = cls(
            features=tuple(config.features),
            low=low.to_numpy(),
            high=high.to_numpy(),
            mean=winsorised.mean().to_numpy(),
            deviation=winsorised.std(ddof=0).where(high > low, 1.0).to_numpy(),
            axes=np.eye(len(config.features)),
        )
        return replace(raw, axes=_principal_axes(raw.place(features), config.variance))

    def place(self, features: pd.DataFrame) -> np.ndarray:
        """Coordinates (columns) of each customer (row), in standard deviations of the features."""
        values = numeric(features)[list(self.features)].to_numpy()
        standardised = (np.clip(values, self.low, self.high) - self.mean) / self.deviation
        with one_thread():
            return (np.nan_to_num(standardised) @ self.axes).round(_DECIMALS)


@dataclass(frozen=True)
class FittedWide:
    """The space, the centroids (a row per segment), and name, perk and reason of each segment."""

    space: Space
    centroids: np.ndarray
    segments: tuple[str, ...]
    perks: tuple[str, ...]
    reasons: tuple[str, ...]

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """One row per row of `features`, in their order: the columns of `ASSIGNMENT`.

        `score` is 1 at the centroid and 0 halfway to the next one; `reason` is the segment's.
        """
        labels, margin = nearest(self.space.place(features), self.centroids)
        segment, perk, reason = (
            np.array(words, dtype=object)[labels]
            for words in (self.segments, self.perks, self.reasons)
        )
        columns = (features["user_id"].to_numpy(), segment, perk, margin, reason)
        return pd.DataFrame(dict(zip(ASSIGNMENT, columns, strict=True)))


@dataclass(frozen=True)
class WideKMeans:
    """K-means in the space of many features, with the classic perks of a catalogue."""

    perks: tuple[Perk, ...]
    seed: int
    config: Config = field(default_factory=Config)
    name: str = "kmeans_wide"
    title: str = "Wide k-means"
    description: str = (
        "K-means on principal components of about 20 features, k by silhouette, perks by profile"
    )
    learns_from_outcomes: bool = False
    program: Program = "classic"
    extra_columns: tuple[Column, ...] = ()

    @property
    def inputs(self) -> frozenset[str]:
        return frozenset(self.config.features) | features_of(self.perks)

    def reseeded(self, seed: int) -> WideKMeans:
        """The same strategy with other random starts and another sample for the silhouette."""
        return replace(self, seed=seed)

    def fit(self, history: History) -> FittedWide:
        """Cluster the cohort (one row per customer).

        `ClusteringError` if there are fewer different customers than clusters.
        """
        features = kmeans.bounded(history.features, self.config, self.seed)
        space = Space.fit(features, self.config)
        points = space.place(features)
        centroids = kmeans.centroids_of(points, kmeans.cluster(points, self.config, self.seed))
        labels, _ = nearest(points, centroids)
        told_by = sorted({*features_of(self.perks), *space.features})
        profile = affinities.profiles(features, pd.Series(labels), told_by)
        order = profile[list(space.features)].sum(axis=1).sort_values(ascending=False).index
        profile = profile.loc[order].reset_index(drop=True)
        perk = affinities.assign(affinities.affinities(profile, self.perks))
        return FittedWide(
            space=space,
            centroids=centroids[order],
            segments=tuple(naming.numbered(naming.names(profile[list(space.features)]))),
            perks=tuple(perk),
            reasons=tuple(affinities.deciding(profile, perk, self.perks)),
        )


def nearest(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the nearest centroid of each point (row), and its margin.

    The margin is 1 at the centroid and 0 halfway to the next one.
    """
    return cluster_model.nearest(cdist(points, centroids))


def build(name: str, settings: Settings, perks: tuple[Perk, ...]) -> WideKMeans:
    """The strategy for the classic perks of a catalogue; `PerkError` if there are none."""
    config = Config(features=settings.policy.allowed(WIDE_FEATURES))
    return WideKMeans(of_program(perks, "classic"), settings.seed, config)


def try_dbscan(features: pd.DataFrame, seed: int, processes: Processes = ALONE) -> pd.DataFrame:
    """`judge_dbscan` on customers (rows) in the space of the wide model."""
    points = Space.fit(features, Config()).place(features)
    return judge_dbscan(points, seed, processes=processes)


def judge_dbscan(
    scaled: np.ndarray, seed: int, sample_rows: int = 2_500, processes: Processes = ALONE
) -> pd.DataFrame:
    """DBSCAN on the points (rows): one row per `min_samples` and `eps` tried.

    `eps` are quantiles of the distance to the `min_samples`-th neighbour, the k-distance curve.
    `noise_share` and `largest_share` are shares of the points; `silhouette` is computed on the
    points in clusters (NaN with fewer than two clusters). The points are a sample of `scored_rows`,
    because the cost of neighbourhoods grows with the square of the rows.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(scaled))[:sample_rows])
    points = scaled[rows]
    tried = [
        (min_samples, quantile, eps)
        for min_samples in _MIN_SAMPLES
        if min_samples <= len(points)
        for quantile, eps in _candidates(points, min_samples)
    ]
    found = processes.each(_evaluated, [(points, eps, samples) for samples, _, eps in tried])
    # The columns are named for fewer customers than any number of neighbours.
    return pd.DataFrame(
        columns=[column.name for column in DBSCAN_TRIAL.columns],
        data=[
            {
                "min_samples": min_samples,
                "eps_quantile": quantile,
                "eps": eps,
                **judged,
                "scored_rows": len(points),
            }
            for (min_samples, quantile, eps), judged in zip(tried, found, strict=True)
        ],
    )


def _principal_axes(standardised: np.ndarray, variance: float) -> np.ndarray:
    """The fewest principal axes (columns) that keep the share of variance, largest first.

    The strongest feature of each axis has a positive sign. If all customers are equal, there is one
    axis, and all coordinates on it are 0.
    """
    if not standardised.any():
        return np.eye(standardised.shape[1], 1)
    # Uses the covariance: decomposing the matrix of customers takes 6 s for a million.
    solver = PCA(variance if variance < 1 else None, svd_solver="covariance_eigh")
    with one_thread():
        return solver.fit(standardised).components_.T


def _candidates(points: np.ndarray, min_samples: int) -> list[tuple[float, float]]:
    """Quantiles of the k-distance curve, each with its `eps`."""
    # Each point is its own first neighbour, just as it counts towards its own `min_samples`.
    neighbours = NearestNeighbors(n_neighbors=min_samples, algorithm="brute").fit(points)
    distances, _ = neighbours.kneighbors(points)
    curve = np.maximum(distances[:, -1], np.finfo(float).tiny)
    return [(quantile, float(np.quantile(curve, quantile))) for quantile in _EPS_QUANTILES]


def _evaluated(points: np.ndarray, eps: float, min_samples: int) -> dict[str, float]:
    # In this many dimensions, comparing all pairs is several times faster than a tree.
    labels = DBSCAN(eps=eps, min_samples=min_samples, algorithm="brute").fit(points).labels_
    clustered = labels >= 0
    sizes = np.bincount(labels[clustered])
    apart = float("nan")
    if len(sizes) > 1:
        apart = silhouette(distances_to(points[clustered]), labels[clustered])
    return {
        "clusters": len(sizes),
        "noise_share": float(1 - clustered.mean()),
        "largest_share": float(sizes.max(initial=0) / len(points)),
        "silhouette": apart,
    }
