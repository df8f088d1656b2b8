"""The section `prediction` of the settings."""

from __future__ import annotations

from pydantic import Field

from traveltide_assets.schema.config import Section


class Config(Section):
    """Predicting the perk of new customers from their first sessions."""

    folds: int = Field(3, ge=2, description="Folds of customers for cross-validation")
    repeats: int = Field(2, ge=1, description="Repeats of the cross-validation")
    sample_customers: int = Field(
        3_000, ge=100, description="Customers that the cross-validation takes at most"
    )
    trees: int = Field(30, ge=1, description="Trees of the random forest")
    iterations: int = Field(25, ge=1, description="Rounds of gradient boosting")
    holdout: float = Field(
        0.2, gt=0, lt=1, description="Customers never learnt from, on whom models compete"
    )
    resamples: int = Field(1_000, ge=100, description="Bootstrap draws of the competition")
    min_customers: int = Field(100, ge=10, description="Fewer customers are too few to learn from")
