"""The section `prediction` of the settings."""

from __future__ import annotations

from pydantic import Field

from traveltide_assets.schema.config import Section


class Config(Section):
    """Predicting the perk of new customers from their first sessions."""

    folds: int = Field(3, ge=2, description="Folds of customers in the cross-validation")
    repeats: int = Field(2, ge=1, description="Repeats of the cross-validation")
    sample_customers: int = Field(
        3_000, ge=100, description="Largest number of customers in the cross-validation"
    )
    trees: int = Field(30, ge=1, description="Number of trees of the random forest")
    iterations: int = Field(25, ge=1, description="Rounds of gradient boosting")
    holdout: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Share of customers that no model is trained on, for comparing models",
    )
    resamples: int = Field(1_000, ge=100, description="Bootstrap draws of that comparison")
    min_customers: int = Field(100, ge=10, description="Fewest customers to train a model on")
