"""K-means on a few behavioural features, as the classic reading of the case has it.

The fitted model is data: scales, centroids and feature order. Cluster ids are not identities, so
segments are ordered and named by their profile, and keep the name of last month's segment that
they continue.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import (
    calinski_harabasz_score,
    davies_bouldin_score,
    pairwise_distances,
    silhouette_score,
)

from traveltide_assets.segmentation import naming
from traveltide_assets.segmentation import perks as perk_rules
from traveltide_assets.segmentation.perks import Perk
from traveltide_assets.segmentation.scaling import NUMERIC, fills, min_max, numeric
from traveltide_assets.segmentation.strategy import ASSIGNMENT, History
from traveltide_assets.segmentation.threads import one_thread
from traveltide_assets.settings import KMeans as Config

_DECIMALS = 10


class ClusteringError(ValueError):
    """The model cannot be fitted; the message says why."""


@dataclass(frozen=True)
class Model:
    """What assigns a customer to a segment. `centroids` are on the model's 0 to 1 scale."""

    features: tuple[str, ...]
    fill: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    centroids: np.ndarray
    segments: tuple[str, ...] = ()
    perks: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Hash of everything that decides which segment a customer falls into."""
        digest = hashlib.sha256("|".join(self.features).encode())
        for values in (self.fill, self.minimum, self.maximum, self.centroids):
            digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        return digest.hexdigest()[:12]

    @property
    def centroids_in_units(self) -> np.ndarray:
        return self.minimum + self.centroids * (self.maximum - self.minimum)

    def scale(self, features: pd.DataFrame) -> np.ndarray:
        """The features of each customer (row) on the model's scale."""
        values = numeric(features)[list(self.features)].to_numpy()
        filled = np.where(np.isnan(values), self.fill, values)
        return min_max(filled, self.minimum, self.maximum)

    def assign(self, scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Index of the nearest centroid of each row of scaled features, and its margin."""
        return nearest(scaled, self.centroids)

    def to_frame(self) -> pd.DataFrame:
        """One row per segment and feature; `from_frame` reads it back."""
        count, width = self.centroids.shape
        return pd.DataFrame(
            {
                "segment_rank": np.repeat(np.arange(1, count + 1), width),
                "segment": np.repeat(self.segments, width),
                "perk": np.repeat(self.perks, width),
                "position": np.tile(np.arange(width), count),
                "feature": np.tile(self.features, count),
                "fill": np.tile(self.fill, count),
                "minimum": np.tile(self.minimum, count),
                "maximum": np.tile(self.maximum, count),
                "centroid": self.centroids_in_units.ravel(),
                "centroid_scaled": self.centroids.ravel(),
                "model_version": self.version,
            }
        )

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Model:
        ordered = frame.sort_values(["segment_rank", "position"])
        first = ordered[ordered["segment_rank"] == 1]
        heads = ordered[ordered["position"] == 0]
        return cls(
            features=tuple(first["feature"]),
            fill=first["fill"].to_numpy(),
            minimum=first["minimum"].to_numpy(),
            maximum=first["maximum"].to_numpy(),
            centroids=ordered["centroid_scaled"].to_numpy().reshape(len(heads), len(first)),
            segments=tuple(heads["segment"]),
            perks=tuple(heads["perk"]),
        )


@dataclass(frozen=True)
class FittedKMeans:
    """A model with the perk catalogue that explains its segments."""

    model: Model
    perks: tuple[Perk, ...]

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """The columns of `ASSIGNMENT`; `score` is 1 at the centroid, 0 halfway to the next."""
        labels, margin = self.model.assign(self.model.scale(features))
        reasons = _reasons(features, self.model, self.perks)
        segment, perk, reason = (
            np.array(words, dtype=object)[labels]
            for words in (
                self.model.segments,
                self.model.perks,
                [reasons[name] for name in self.model.segments],
            )
        )
        columns = (features["user_id"].to_numpy(), segment, perk, margin, reason)
        return pd.DataFrame(dict(zip(ASSIGNMENT, columns, strict=True)))


@dataclass(frozen=True)
class KMeansStrategy:
    """The classic reading as a strategy; its asset also keeps the model and the elbow."""

    config: Config
    perks: tuple[Perk, ...]
    name: str = "kmeans"
    description: str = "K-means on six scaled behaviours, perks by the profile of the cluster"
    learns_from_outcomes: bool = False

    @property
    def inputs(self) -> frozenset[str]:
        return frozenset(self.config.features) | perk_rules.features_of(self.perks)

    def reseeded(self, seed: int) -> KMeansStrategy:
        return replace(self, config=self.config.model_copy(update={"seed": seed}))

    def fit(self, history: History) -> FittedKMeans:
        return FittedKMeans(fit(history.features, self.config, self.perks, None), self.perks)


def sample(features: ibis.Table, config: Config) -> pd.DataFrame:
    """The customers that the model is fitted on: all, or `config.fit_rows` drawn by the seed."""
    draw = ibis.literal(f"{config.seed}:") + features.user_id.cast("string")
    drawn = features.order_by(draw.hexdigest("md5"), "user_id").limit(config.fit_rows)
    return bounded(drawn.to_pyarrow().to_pandas(), config)


def bounded(features: pd.DataFrame, config: Config) -> pd.DataFrame:
    """At most `config.fit_rows` customers, drawn by the seed."""
    # The seed draws customers by their place, so their order must not depend on the caller.
    features = features.sort_values("user_id", ignore_index=True)
    if len(features) <= config.fit_rows:
        return features
    drawn = features.sample(config.fit_rows, random_state=config.seed)
    return drawn.sort_values("user_id", ignore_index=True)


def fit(
    features: pd.DataFrame, config: Config, perks: tuple[Perk, ...], previous: Model | None
) -> Model:
    """The model of the cohort (one row of `features` per customer)."""
    features = bounded(features, config)
    unfitted = _unfitted(features, config)
    scaled = unfitted.scale(features)
    model = _ordered(replace(unfitted, centroids=centroids_of(scaled, cluster(scaled, config))))
    profile = perk_rules.profiles(features, pd.Series(model.assign(scaled)[0]))
    perk = perk_rules.assign(perk_rules.affinities(profile, perks))
    names = _inherited(model, naming.names(profile[list(config.features)]), previous)
    return replace(model, segments=tuple(names), perks=tuple(perk))


def diagnose(features: pd.DataFrame, model: Model, config: Config) -> pd.DataFrame:
    """Every k up to `config.max_k`, one row per k, with what speaks for it."""
    features = bounded(features, config)
    tried, _ = try_all(model.scale(features), config)
    return tried.assign(chosen=tried["k"] == len(model.centroids))


def segment(
    features: ibis.Table, model: Model, perks: tuple[Perk, ...], sample: pd.DataFrame
) -> ibis.Table:
    """One row per customer: segment, perk, margin, reason and place in the picture, lazily.

    The profile that gives the reasons, and the axes of the picture, are those of the sample.
    """
    reasons = _reasons(sample, model, perks)
    centre, axes = _components(model.scale(sample))
    scaled = features.select("user_id", **_scaled(features, model))
    placed = scaled.select(
        "user_id",
        **{
            f"distance_{i}": _length([scaled[f"own_{j}"] - x for j, x in enumerate(centroid)])
            for i, centroid in enumerate(model.centroids.tolist())
        },
        **{
            name: _sum([(scaled[f"own_{j}"] - centre[j]) * x for j, x in enumerate(axis)]).round(
                _DECIMALS
            )
            for name, axis in zip(("pca_x", "pca_y"), axes.tolist(), strict=True)
        },
    )
    distances = [placed[f"distance_{i}"] for i in range(len(model.centroids))]
    nearest = reduce(ibis.least, distances)

    def of_segment(values: Sequence[object]) -> ir.Value:
        """The value of the first of the nearest centroids."""
        pairs = zip(distances, values, strict=True)
        return ibis.cases(*((distance == nearest, value) for distance, value in pairs))

    return placed.select(
        "user_id",
        segment=of_segment(model.segments),
        perk=of_segment(model.perks),
        score=of_segment([_margin(nearest, distances, i) for i in range(len(distances))]),
        reason=of_segment([reasons[name] for name in model.segments]),
        pca_x=placed.pca_x,
        pca_y=placed.pca_y,
        model_version=ibis.literal(model.version),
    )


def _reasons(sample: pd.DataFrame, model: Model, perks: tuple[Perk, ...]) -> dict[str, str]:
    """The features that decided the perk of each segment; none of a segment nobody is in."""
    segments = pd.Series(
        np.array(model.segments, dtype=object)[model.assign(model.scale(sample))[0]]
    )
    profile = perk_rules.profiles(sample, segments)
    perk = pd.Series(model.perks, index=model.segments)
    found = perk_rules.deciding(profile, perk[profile.index], perks)
    return {name: found.get(name, "") for name in model.segments}


def _scaled(features: ibis.Table, model: Model) -> dict[str, ir.FloatingValue]:
    """What `Model.scale` does, as columns `own_0`, `own_1` and so forth."""
    columns = {}
    for j, name in enumerate(model.features):
        low, high = float(model.minimum[j]), float(model.maximum[j])
        filled = features[name].cast("float64").fill_null(float(model.fill[j]))
        columns[f"own_{j}"] = (filled - low) / (high - low) if high > low else filled * 0.0
    return columns


def _margin(
    nearest: ir.FloatingValue, distances: list[ir.FloatingValue], own: int
) -> ir.FloatingValue:
    """What `nearest` calls the margin, of a customer whose centroid is `own`."""
    others = distances[:own] + distances[own + 1 :]
    if not others:
        return ibis.literal(1.0)
    second = reduce(ibis.least, others)
    return 1 - nearest / ibis.ifelse(second > 0, second, 1.0)


def _length(differences: list[ir.FloatingValue]) -> ir.FloatingValue:
    return _sum([difference * difference for difference in differences]).sqrt()


def _sum(values: list[ir.FloatingValue]) -> ir.FloatingValue:
    return reduce(operator.add, values)


def nearest(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the nearest centroid of each point (row), and its margin.

    The margin is 1 at the centroid and 0 halfway to the next one.
    """
    distances = cdist(points, centroids)
    labels = distances.argmin(axis=1)
    if len(centroids) == 1:
        return labels, np.ones(len(points))
    two = np.partition(distances, 1, axis=1)[:, :2]
    return labels, 1 - two[:, 0] / np.where(two[:, 1] > 0, two[:, 1], 1.0)


def cluster(scaled: np.ndarray, config: Config) -> np.ndarray:
    """The cluster of each row, for the configured k or the one with the highest silhouette."""
    if isinstance(config.k, int):
        _must_differ(scaled, config.k)
        return _cluster(scaled, config.k, config.seed, config.restarts).labels_
    tried, labels = try_all(scaled, config)
    return labels[int(tried.loc[tried["silhouette"].fillna(-np.inf).idxmax(), "k"])]


def try_all(scaled: np.ndarray, config: Config) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """Every k up to `config.max_k`: its indices (one row per k), and its label of each row.

    Silhouette and its kin are computed on a sample of `config.sample_rows`. `ClusteringError` if
    the rows do not differ enough for the k configured.
    """
    fixed = config.k if isinstance(config.k, int) else 2
    distinct = _must_differ(scaled, fixed)
    sample = np.random.default_rng(config.seed).permutation(len(scaled))[: config.sample_rows]
    sample.sort()
    with one_thread():
        distances = pairwise_distances(scaled[sample])
    rows, labels = [], {}
    for k in range(1, min(max(config.max_k, fixed), distinct) + 1):
        fitted = _cluster(scaled, k, config.seed, config.restarts)
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
    return means.round(_DECIMALS)


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


def _components(scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and first two principal axes (rows); zeros where the data has fewer dimensions."""
    size = min(2, *scaled.shape)
    with one_thread():
        fitted = PCA(size, svd_solver="full").fit(scaled)
    return fitted.mean_, np.pad(fitted.components_, ((0, 2 - size), (0, 0)))
