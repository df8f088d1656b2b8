"""The section `kmeans` of the settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from traveltide_assets.schema.config import Section

_CLASSIC_FEATURES = (
    "total_sessions",
    "session_cancellation_rate",
    "discount_usage_rate",
    "total_nights",
    "total_checked_bags",
    "total_base_fare",
)


class Config(Section):
    """The cluster model."""

    features: tuple[str, ...] = Field(
        _CLASSIC_FEATURES, description="Features of the model, from the feature catalogue"
    )
    k: Annotated[int, Field(ge=1)] | Literal["silhouette"] = Field(
        4, description='Number of segments, or `"silhouette"`: the k of the highest silhouette'
    )
    max_k: int = Field(10, ge=2, description="Largest number of clusters tried for the elbow")
    restarts: int = Field(10, ge=1, description="Starts of each k-means; the best one stays")
    fit_rows: int = Field(
        100_000, ge=100, description="Customers that the model is fitted on at most, drawn by seed"
    )
    sample_rows: int = Field(
        4_000, ge=100, description="Customers that silhouette and its kin are computed on"
    )
