"""The section `evidence` of the settings."""

from __future__ import annotations

from pydantic import Field

from traveltide_assets.schema.config import Section


class Config(Section):
    """How the perks are tried on what customers did after a cut."""

    months: int = Field(3, ge=1, description="Length of the part of the history after the cut")
    folds: int = Field(5, ge=2, description="Folds of customers for strategies that learn")
    resamples: int = Field(1_000, ge=100, description="Bootstrap draws, and first shuffles")
    shuffles: int = Field(
        5_000, ge=100, description="Shuffles in all, where the first find a lift unlikely"
    )
    alpha: float = Field(
        0.025,
        gt=0,
        lt=1,
        description="Level of significance, over all strategies and perks; for lifts above 1 only",
    )
    min_customers: int = Field(50, ge=1, description="Fewer customers are too little data")
    min_opportunities: int = Field(100, ge=1, description="Fewer opportunities are, too")
    sample_rows: int = Field(
        20_000, ge=100, le=65_535, description="Customers the trial takes at most"
    )
    refits: int = Field(3, ge=2, description="Bootstrap refits for a strategy's stability")
