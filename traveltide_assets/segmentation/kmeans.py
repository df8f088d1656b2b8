"""K-means on a few behavioural features, the classic solution of the case: how it is fitted.

Cluster ids change from fit to fit, so segments are ordered and named by their profile. A segment
that continues one of last month keeps its name. A fitted model assigns customers in
`cluster_model.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import ibis
import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist
from sklearn.cluster import KMeans
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

from traveltide_assets.catalogue.perks import Perk, Program, features_of, of_program
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation import affinities, naming
from traveltide_assets.segmentation.cluster_model import DECIMALS, Model, reasons
from traveltide_assets.segmentation.config import Config
from traveltide_assets.segmentation.scaling import ALL_NUMERIC, fills, min_max, numeric
from traveltide_assets.segmentation.strategy import ASSIGNMENT, CannotFit, History
from traveltide_assets.stats.silhouette import distances_to, silhouette
from traveltide_assets.stats.threads import one_thread

if TYPE_CHECKING:
    from traveltide_assets.settings import Settings


class ClusteringError(CannotFit):
    """The model cannot be fitted; the message says why."""


@dataclass(frozen=True)
class FittedKMeans:
    """A fitted model, with the perks that explain its segments."""

    model: Model
    perks: tuple[Perk, ...]

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """One row per row of `features`, in their order: the columns of `ASSIGNMENT`.

        `score` is 1 at the centroid and 0 halfway to the next one.
        """
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
    """The classic solution as a strategy; its asset also stores the model and the diagnostics."""

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
    """The strategy as configured in the settings."""
    return KMeansStrategy(settings.kmeans, of_program(perks, "classic"), settings.seed)


def sample(features: ibis.Table, config: Config, seed: int) -> pd.DataFrame:
    """One row per customer that the model is fitted on.

    These are all customers, or a random sample of `config.fit_rows`.
    """
    draw = ibis.literal(f"{seed}:") + features.user_id.cast("string")
    drawn = features.order_by(draw.hexdigest("md5"), "user_id").limit(config.fit_rows)
    return bounded(drawn.to_pyarrow().to_pandas(), config, seed)


def bounded(features: pd.DataFrame, config: Config, seed: int) -> pd.DataFrame:
    """At most `config.fit_rows` customers, drawn at random, ordered by `user_id`."""
    # Customers are drawn by position, so their order must not depend on the caller.
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
    """Fit the model on the cohort (one row of `features` per customer).

    Segments that continue one of `previous` keep its name. `ClusteringError` if a configured
    feature is unknown, or if the customers differ too little for k clusters.
    """
    features = bounded(features, config, seed)
    unfitted = _unfitted(features, config)
    scaled = unfitted.scale(features)
    centroids = centroids_of(scaled, cluster(scaled, config, seed))
    model = _ordered(replace(unfitted, centroids=centroids))
    told_by = sorted({*features_of(perks), *config.features})
    profile = affinities.profiles(features, pd.Series(model.assign(features)[0]), told_by)
    perk = affinities.assign(affinities.affinities(profile, perks))
    names = _inherited(model, naming.names(profile[list(config.features)]), previous)
    return replace(model, segments=tuple(names), perks=tuple(perk))


def diagnose(features: pd.DataFrame, model: Model, config: Config, seed: int) -> pd.DataFrame:
    """One row per k up to `config.max_k`: its quality indices, and whether it was chosen."""
    features = bounded(features, config, seed)
    tried, _ = try_all(model.scale(features), config, seed)
    return tried.assign(chosen=tried["k"] == len(model.centroids))


def cluster(scaled: np.ndarray, config: Config, seed: int) -> np.ndarray:
    """The cluster of each row, for the configured k or for the k with the highest silhouette."""
    if isinstance(config.k, int):
        _count_distinct(scaled, config.k)
        return _cluster(scaled, config.k, seed, config.restarts).labels_
    sample, distances = _scored(scaled, config, seed)
    labels = {k: fitted.labels_ for k, fitted in _fits(scaled, config, seed)}
    # The other indices would not change the choice, and take longer than the fits.
    apart = {k: silhouette(distances, found[sample]) for k, found in labels.items()}
    return labels[max(labels, key=lambda k: np.nan_to_num(apart[k], nan=-np.inf))]


def try_all(
    scaled: np.ndarray, config: Config, seed: int
) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """Cluster with each k up to `config.max_k`: quality indices (one row per k) and labels by k.

    The indices other than inertia are computed on a sample of `config.sample_rows`.
    `ClusteringError` if there are fewer different rows than the configured k.
    """
    sample, distances = _scored(scaled, config, seed)
    rows, labels = [], {}
    for k, fitted in _fits(scaled, config, seed):
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


def _fits(scaled: np.ndarray, config: Config, seed: int) -> Iterator[tuple[int, KMeans]]:
    """Each k up to `config.max_k` with its fit."""
    fixed = config.k if isinstance(config.k, int) else 2
    distinct = _count_distinct(scaled, fixed)
    for k in range(1, min(max(config.max_k, fixed), distinct) + 1):
        yield k, _cluster(scaled, k, seed, config.restarts)


def _scored(scaled: np.ndarray, config: Config, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows that fits are judged on, at most `config.sample_rows`, and their distances."""
    sample = np.random.default_rng(seed).permutation(len(scaled))[: config.sample_rows]
    sample.sort()
    return sample, distances_to(scaled[sample])


def centroids_of(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean of the points (rows) of each label, ordered by label."""
    means = pd.DataFrame(points).groupby(labels).mean().to_numpy()
    return means.round(DECIMALS)


def _unfitted(features: pd.DataFrame, config: Config) -> Model:
    unknown = [name for name in config.features if name not in ALL_NUMERIC]
    if unknown or not config.features:
        raise ClusteringError(
            f"kmeans.features: {_problem(unknown)}; choose from {', '.join(ALL_NUMERIC)}"
        )
    values = numeric(features, config.features)
    fill = fills(values)
    values = values.fillna(fill)
    return Model(
        features=tuple(config.features),
        fill=fill.to_numpy(),
        minimum=values.min().to_numpy(),
        maximum=values.max().to_numpy(),
        centroids=np.empty((0, len(config.features))),
    )


def _problem(unknown: list[str]) -> str:
    if not unknown:
        return "the list is empty"
    verb = "is not a numeric feature" if len(unknown) == 1 else "are not numeric features"
    return f"{', '.join(unknown)} {verb}"


def _cluster(scaled: np.ndarray, k: int, seed: int, restarts: int) -> KMeans:
    # Several threads add distances in varying order; with one thread a fit is repeatable.
    with one_thread():
        return KMeans(k, n_init=restarts, random_state=seed).fit(scaled)


def _count_distinct(scaled: np.ndarray, k: int) -> int:
    """The number of different rows; `ClusteringError` if it is less than k."""
    distinct = len(np.unique(scaled, axis=0))
    if distinct < k:
        raise ClusteringError(
            f"kmeans.k = {k}, but the cohort has only {distinct} different customers: "
            "lower kmeans.k or widen the cohort rule"
        )
    return distinct


def _indices(scaled: np.ndarray, labels: np.ndarray, distances: np.ndarray) -> dict[str, float]:
    # There are several clusters, and not all of a single row: indices need both.
    if not 1 < len(np.unique(labels)) < len(labels):
        return dict.fromkeys(("silhouette", "davies_bouldin", "calinski_harabasz"), float("nan"))
    return {
        "silhouette": silhouette(distances, labels),
        "davies_bouldin": float(davies_bouldin_score(scaled, labels)),
        "calinski_harabasz": float(calinski_harabasz_score(scaled, labels)),
    }


def _ordered(model: Model) -> Model:
    """The model with its segments ordered from the most to the least active profile."""
    order = sorted(
        range(len(model.centroids)),
        key=lambda i: (-model.centroids[i].sum(), *model.centroids[i]),
    )
    return replace(model, centroids=model.centroids[order])


def _inherited(model: Model, names: list[str], previous: Model | None) -> list[str]:
    """The names of the segments; a segment that continues one of last month inherits its name.

    Segments of the two months are matched one to one. A segment continues its match if they are
    closer than half the distance between the two nearest segments of this month.
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
