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
    """The k-means model."""

    features: tuple[str, ...] = Field(
        _CLASSIC_FEATURES, description="Features of the model, from the feature catalogue"
    )
    k: Annotated[int, Field(ge=1)] | Literal["silhouette"] = Field(
        4, description='Number of segments, or `"silhouette"` for the k with the highest silhouette'
    )
    max_k: int = Field(10, ge=2, description="Largest number of clusters in the elbow plot")
    restarts: int = Field(
        10, ge=1, description="Random starts of each k-means fit; the best result is kept"
    )
    fit_rows: int = Field(
        100_000,
        ge=100,
        description="Maximum number of customers in a fit; a random sample if there are more",
    )
    sample_rows: int = Field(
        4_000,
        ge=100,
        description="Sample size for silhouette, Davies-Bouldin and Calinski-Harabasz",
    )
