"""K-means on a few behavioural features, as the classic reading of the case has it: how it is fitted.

Cluster ids are not identities, so segments are ordered and named by their profile, and keep the
name of last month's segment that they continue. How a fitted model assigns customers is in
`cluster_model.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import ibis
import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist
from sklearn.cluster import KMeans
from sklearn.metrics import (
    calinski_harabasz_score,
    davies_bouldin_score,
    pairwise_distances,
    silhouette_score,
)

from traveltide_assets.catalogue.perks import Perk, Program, features_of, of_program
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation import affinities, naming
from traveltide_assets.segmentation.cluster_model import DECIMALS, Model, reasons
from traveltide_assets.segmentation.config import Config
from traveltide_assets.segmentation.scaling import NUMERIC, fills, min_max, numeric
from traveltide_assets.segmentation.strategy import ASSIGNMENT, CannotFit, History
from traveltide_assets.stats.threads import one_thread

if TYPE_CHECKING:
    from traveltide_assets.settings import Settings


class ClusteringError(CannotFit):
    """The model cannot be fitted; the message says why."""


@dataclass(frozen=True)
class FittedKMeans:
    """A model with the perk catalogue that explains its segments."""

    model: Model
    perks: tuple[Perk, ...]

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """The columns of `ASSIGNMENT`; `score` is 1 at the centroid, 0 halfway to the next."""
        labels, margin = self.model.assign(features)
        why = reasons(features, self.model, self.perks)
        segment, perk, reason = (
            np.array(words, dtype=object)[labels]
            for words in (
                self.model.segments,
                self.model.perks,
                [why[name] for name in self.model.segments],
            )
        )
        columns = (features["user_id"].to_numpy(), segment, perk, margin, reason)
        return pd.DataFrame(dict(zip(ASSIGNMENT, columns, strict=True)))


@dataclass(frozen=True)
class KMeansStrategy:
    """The classic reading as a strategy; its asset also keeps the model and the elbow."""

    config: Config
    perks: tuple[Perk, ...]
    seed: int
    name: str = "kmeans"
    title: str = "K-means"
    description: str = "K-means on six scaled behaviours, perks by the profile of the cluster"
    learns_from_outcomes: bool = False
    program: Program = "classic"
    extra_columns: tuple[Column, ...] = (
        Column("pca_x", "float64", "First principal component of the scaled features"),
        Column("pca_y", "float64", "Second principal component of the scaled features"),
        Column("model_version", "string", "Version of the cluster model"),
    )

    @property
    def inputs(self) -> frozenset[str]:
        return frozenset(self.config.features) | features_of(self.perks)

    def reseeded(self, seed: int) -> KMeansStrategy:
        return replace(self, seed=seed)

    def fit(self, history: History) -> FittedKMeans:
        model = fit(history.features, self.config, self.seed, self.perks, None)
        return FittedKMeans(model, self.perks)


def build(name: str, settings: Settings, perks: tuple[Perk, ...]) -> KMeansStrategy:
    """The strategy as the settings have it."""
    return KMeansStrategy(settings.kmeans, of_program(perks, "classic"), settings.seed)


def sample(features: ibis.Table, config: Config, seed: int) -> pd.DataFrame:
    """The customers that the model is fitted on: all, or `config.fit_rows` drawn by the seed."""
    draw = ibis.literal(f"{seed}:") + features.user_id.cast("string")
    drawn = features.order_by(draw.hexdigest("md5"), "user_id").limit(config.fit_rows)
    return bounded(drawn.to_pyarrow().to_pandas(), config, seed)


def bounded(features: pd.DataFrame, config: Config, seed: int) -> pd.DataFrame:
    """At most `config.fit_rows` customers, drawn by the seed."""
    # The seed draws customers by their place, so their order must not depend on the caller.
    features = features.sort_values("user_id", ignore_index=True)
    if len(features) <= config.fit_rows:
        return features
    drawn = features.sample(config.fit_rows, random_state=seed)
    return drawn.sort_values("user_id", ignore_index=True)


def fit(
    features: pd.DataFrame,
    config: Config,
    seed: int,
    perks: tuple[Perk, ...],
    previous: Model | None,
) -> Model:
    """The model of the cohort (one row of `features` per customer)."""
    features = bounded(features, config, seed)
    unfitted = _unfitted(features, config)
    scaled = unfitted.scale(features)
    centroids = centroids_of(scaled, cluster(scaled, config, seed))
    model = _ordered(replace(unfitted, centroids=centroids))
    profile = affinities.profiles(features, pd.Series(model.assign(features)[0]))
    perk = affinities.assign(affinities.affinities(profile, perks))
    names = _inherited(model, naming.names(profile[list(config.features)]), previous)
    return replace(model, segments=tuple(names), perks=tuple(perk))


def diagnose(features: pd.DataFrame, model: Model, config: Config, seed: int) -> pd.DataFrame:
    """Every k up to `config.max_k`, one row per k, with what speaks for it."""
    features = bounded(features, config, seed)
    tried, _ = try_all(model.scale(features), config, seed)
    return tried.assign(chosen=tried["k"] == len(model.centroids))


def cluster(scaled: np.ndarray, config: Config, seed: int) -> np.ndarray:
    """The cluster of each row, for the configured k or the one with the highest silhouette."""
    if isinstance(config.k, int):
        _must_differ(scaled, config.k)
        return _cluster(scaled, config.k, seed, config.restarts).labels_
    tried, labels = try_all(scaled, config, seed)
    return labels[int(tried.loc[tried["silhouette"].fillna(-np.inf).idxmax(), "k"])]


def try_all(
    scaled: np.ndarray, config: Config, seed: int
) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """Every k up to `config.max_k`: its indices (one row per k), and its label of each row.

    Silhouette and its kin are computed on a sample of `config.sample_rows`. `ClusteringError` if
    the rows do not differ enough for the k configured.
    """
    fixed = config.k if isinstance(config.k, int) else 2
    distinct = _must_differ(scaled, fixed)
    sample = np.random.default_rng(seed).permutation(len(scaled))[: config.sample_rows]
    sample.sort()
    with one_thread():
        distances = pairwise_distances(scaled[sample])
    rows, labels = [], {}
    for k in range(1, min(max(config.max_k, fixed), distinct) + 1):
        fitted = _cluster(scaled, k, seed, config.restarts)
        labels[k] = fitted.labels_
        rows.append(
            {
                "k": k,
                "inertia": float(fitted.inertia_),
                **_indices(scaled[sample], fitted.labels_[sample], distances),
                "smallest_share": float(np.bincount(fitted.labels_).min() / len(scaled)),
                "scored_rows": len(sample),
            }
        )
    return pd.DataFrame(rows), labels


def centroids_of(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean of the points (rows) of each label, in the order of the labels."""
    means = pd.DataFrame(points).groupby(labels).mean().to_numpy()
    return means.round(DECIMALS)


def _unfitted(features: pd.DataFrame, config: Config) -> Model:
    unknown = [name for name in config.features if name not in NUMERIC]
    if unknown or not config.features:
        raise ClusteringError(
            f"kmeans.features: {unknown or 'nothing'} is not a numeric feature; "
            f"choose from {', '.join(NUMERIC)}"
        )
    values = numeric(features)[list(config.features)]
    fill = fills(values)
    values = values.fillna(fill)
    return Model(
        features=tuple(config.features),
        fill=fill.to_numpy(),
        minimum=values.min().to_numpy(),
        maximum=values.max().to_numpy(),
        centroids=np.empty((0, len(config.features))),
    )


def _cluster(scaled: np.ndarray, k: int, seed: int, restarts: int) -> KMeans:
    # Threads add up distances in an order of their own; one thread makes a fit repeatable.
    with one_thread():
        return KMeans(k, n_init=restarts, random_state=seed).fit(scaled)


def _must_differ(scaled: np.ndarray, k: int) -> int:
    """The number of different rows; `ClusteringError` if fewer than k."""
    distinct = len(np.unique(scaled, axis=0))
    if distinct < k:
        raise ClusteringError(
            f"kmeans.k = {k}, but the cohort has only {distinct} different customers; "
            "lower kmeans.k, or widen the cohort rule"
        )
    return distinct


def _indices(scaled: np.ndarray, labels: np.ndarray, distances: np.ndarray) -> dict[str, float]:
    if not 1 < len(np.unique(labels)) < len(labels):
        return dict.fromkeys(("silhouette", "davies_bouldin", "calinski_harabasz"), float("nan"))
    return {
        "silhouette": float(silhouette_score(distances, labels, metric="precomputed")),
        "davies_bouldin": float(davies_bouldin_score(scaled, labels)),
        "calinski_harabasz": float(calinski_harabasz_score(scaled, labels)),
    }


def _ordered(model: Model) -> Model:
    """Segments from the most to the least active profile, whatever the clustering called them."""
    order = sorted(
        range(len(model.centroids)),
        key=lambda i: (-model.centroids[i].sum(), *model.centroids[i]),
    )
    return replace(model, centroids=model.centroids[order])


def _inherited(model: Model, names: list[str], previous: Model | None) -> list[str]:
    """Last month's name for each segment that continues one of last month's, else its own.

    A segment continues another if it is matched to it and lies closer to it than half the distance
    between the two nearest segments of this month.
    """
    names = list(names)
    if previous is not None and previous.features == model.features:
        before = min_max(previous.centroids_in_units, model.minimum, model.maximum)
        distance = cdist(model.centroids, before)
        reach = pdist(model.centroids).min() / 2 if len(model.centroids) > 1 else np.inf
        pairs = zip(*linear_sum_assignment(distance), strict=True)
        continued = {i: previous.segments[j] for i, j in pairs if distance[i, j] < reach}
        taken = set(continued.values())
        for i, name in enumerate(names):
            names[i] = continued.get(i, f"{name} (new)" if name in taken else name)
    return naming.numbered(names)
