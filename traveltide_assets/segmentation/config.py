"""The sections `kmeans`, `traits` and `decision` of the settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from traveltide_assets.schema.config import Section, Share
from traveltide_assets.segmentation.trait_behaviour import OPEN_LONG_LEAD
from traveltide_assets.transforms.features.catalogue import CATALOGUE

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


class Decision(Section):
    """From the strategy's perks to the offers of a month."""

    keep_margin: float = Field(
        0.05,
        ge=0,
        description="A customer keeps last month's perk unless another is better by more than "
        "this: in expected lift if the strategy expects one, else in SD of the segment's affinity",
    )


class Traits(Section):
    """The strategy of traits."""

    features: tuple[str, ...] = Field(
        ("age", "married", "has_children", OPEN_LONG_LEAD),
        min_length=1,
        description="Traits that may count: features of users, and open trips booked long ahead",
    )
    alpha: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Significance level of the signal of a perk, which is tried on customers that "
        "its model has not seen",
    )
    min_share: Share = Field(
        0.1,
        description="Share of customers that each perk with a signal must get, or all customers "
        "whom it speaks for if these are fewer",
    )
    max_share: Share = Field(
        0.75, description="Share of customers that each perk with a signal may get"
    )
    default_perk: str = Field(
        "",
        description="Perk of customers without a known preference. Empty: the perk with the "
        "clearest signal",
    )

    @field_validator("features")
    @classmethod
    def _can_be_learnt(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = [f.name for f in CATALOGUE if f.source == "users"] + [OPEN_LONG_LEAD]
        if unknown := [name for name in names if name not in known]:
            raise ValueError(
                f"not traits that can be learned: {', '.join(unknown)}; choose from "
                f"{', '.join(known)}"
            )
        return names
