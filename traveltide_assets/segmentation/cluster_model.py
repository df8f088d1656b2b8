"""The fitted cluster model, and the one place where it assigns customers to segments.

The model is data: scales, centroids and the order of features. It assigns customers with an Ibis
expression, which engines run over any number of customers. Frames in memory are computed here, by
the same steps in the same order, so that results are equal to the bit: to plan an expression takes
longer than to place thousands of customers, and a month places its cohort a hundred times. Models
are fitted in `kmeans.py`.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from traveltide_assets.catalogue.perks import Perk, features_of
from traveltide_assets.segmentation import affinities
from traveltide_assets.segmentation.scaling import min_max
from traveltide_assets.stats.threads import one_thread

DECIMALS = 10


@dataclass(frozen=True)
class Model:
    """A fitted cluster model.

    `fill` replaces undefined values. `minimum` and `maximum` are in units of the features;
    `centroids` (a row per segment, a column per feature) are on the model's scale from 0 to 1.
    """

    features: tuple[str, ...]
    fill: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    centroids: np.ndarray
    segments: tuple[str, ...] = ()
    perks: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Hash of everything that decides the segment of a customer."""
        digest = hashlib.sha256("|".join(self.features).encode())
        for values in (self.fill, self.minimum, self.maximum, self.centroids):
            digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        return digest.hexdigest()[:12]

    @property
    def centroids_in_units(self) -> np.ndarray:
        return self.minimum + self.centroids * (self.maximum - self.minimum)

    def scale(self, features: pd.DataFrame) -> np.ndarray:
        """The features (columns) of each customer (row) on the model's scale."""
        values = features[list(self.features)].astype("float64").to_numpy()
        filled = np.where(np.isnan(values), self.fill, values)
        return min_max(filled, self.minimum, self.maximum)

    def assign(self, features: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Index of the nearest centroid of each customer (row), and its margin.

        The margin is 1 at the centroid and 0 halfway to the next one.
        """
        scaled = self.scale(features)
        apart = [_sum([*np.square(scaled - centroid).T]) for centroid in self.centroids]
        return nearest(np.sqrt(np.column_stack(apart)))

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
        """The model from the rows of `to_frame`, in any order."""
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


def segment(
    features: ibis.Table, model: Model, perks: tuple[Perk, ...], sample: pd.DataFrame
) -> ibis.Table:
    """One row per customer, as an expression: segment, perk, margin, reason and `pca_x`, `pca_y`.

    The reasons and the principal axes are computed from `sample`.
    """
    why = reasons(sample, model, perks)
    centre, axes = _components(model.scale(sample))
    found = _assigned(features, model, ["user_id"])
    own = [found[f"own_{j}"] for j in range(len(model.features))]
    places = {
        name: _sum([(value - centre[j]) * axis[j] for j, value in enumerate(own)]).round(DECIMALS)
        for name, axis in zip(("pca_x", "pca_y"), axes.tolist(), strict=True)
    }

    def of_segment(values: Sequence[str]) -> ir.StringValue:
        return ibis.cases(*((found.label == i, value) for i, value in enumerate(values)))

    return found.select(
        "user_id",
        segment=of_segment(model.segments),
        perk=of_segment(model.perks),
        score=found.margin,
        reason=of_segment([why[name] for name in model.segments]),
        **places,
        model_version=ibis.literal(model.version),
    )


def nearest(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the nearest centroid (column) of each customer (row), and its margin.

    The margin is 1 at the centroid and 0 halfway to the next one. If several centroids are equally
    near, the first counts.
    """
    labels = distances.argmin(axis=1)
    if distances.shape[1] == 1:
        return labels, np.ones(len(distances))
    two = np.partition(distances, 1, axis=1)[:, :2]
    return labels, 1 - two[:, 0] / np.where(two[:, 1] > 0, two[:, 1], 1.0)


def reasons(sample: pd.DataFrame, model: Model, perks: tuple[Perk, ...]) -> dict[str, str]:
    """The features that decided the perk of each segment; empty for a segment without customers."""
    segments = pd.Series(np.array(model.segments, dtype=object)[model.assign(sample)[0]])
    given = [perk for perk in perks if perk.id in model.perks]
    profile = affinities.profiles(sample, segments, sorted(features_of(given)))
    perk = pd.Series(model.perks, index=model.segments)
    found = affinities.deciding(profile, perk[profile.index], perks)
    return {name: found.get(name, "") for name in model.segments}


def _assigned(features: ibis.Table, model: Model, keys: list[str]) -> ibis.Table:
    """Each row's keys, scaled features (`own_…`), nearest centroid (`label`) and `margin`.

    If several centroids are equally near, `label` is the first.
    """
    scaled = features.select(*keys, **_scaled(features, model))
    apart = {
        f"distance_{i}": _length([scaled[f"own_{j}"] - x for j, x in enumerate(centroid)])
        for i, centroid in enumerate(model.centroids.tolist())
    }
    placed = scaled.mutate(**apart)
    distances = [placed[name] for name in apart]
    nearest = reduce(ibis.least, distances)
    margins = [_margin(nearest, distances, i) for i in range(len(distances))]
    return placed.mutate(
        label=ibis.cases(*((distance == nearest, i) for i, distance in enumerate(distances))),
        margin=ibis.cases(*zip((d == nearest for d in distances), margins, strict=True)),
    ).drop(*apart)


def _scaled(features: ibis.Table, model: Model) -> dict[str, ir.FloatingValue]:
    """Features scaled so that the cohort's minimum is 0 and its maximum 1: `own_0`, …"""
    columns = {}
    for j, name in enumerate(model.features):
        low, high = float(model.minimum[j]), float(model.maximum[j])
        filled = features[name].cast("float64").fill_null(float(model.fill[j]))
        columns[f"own_{j}"] = (filled - low) / (high - low) if high > low else filled * 0.0
    return columns


def _margin(
    nearest: ir.FloatingValue, distances: list[ir.FloatingValue], own: int
) -> ir.FloatingValue:
    others = distances[:own] + distances[own + 1 :]
    if not others:
        return ibis.literal(1.0)
    second = reduce(ibis.least, others)
    return 1 - nearest / ibis.ifelse(second > 0, second, 1.0)


def _length(differences: list[ir.FloatingValue]) -> ir.FloatingValue:
    return _sum([difference * difference for difference in differences]).sqrt()


def _sum(values: list[Any]) -> Any:
    """The sum of columns, or of arrays, from the first to the last."""
    return reduce(operator.add, values)


def _components(scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and first two principal axes (rows); zeros if the data has fewer dimensions."""
    size = min(2, *scaled.shape)
    with one_thread():
        fitted = PCA(size, svd_solver="full").fit(scaled)
    return fitted.mean_, np.pad(fitted.components_, ((0, 2 - size), (0, 0)))
