"""The section `prediction` of the settings."""

from __future__ import annotations

import warnings
from typing import Any

from pydantic import Field, model_validator

from traveltide_assets.schema.config import Section


class Config(Section):
    """Predicting the perk of new customers from their profile and first sessions."""

    folds: int = Field(3, ge=2, description="Folds of customers in the cross-validation")
    repeats: int = Field(1, ge=1, description="Repeats of the cross-validation")
    sample_customers: int = Field(
        3_000, ge=100, description="Largest number of customers in the cross-validation"
    )
    iterations: int = Field(25, ge=1, description="Rounds of gradient boosting")
    horizon_days: int = Field(
        180,
        ge=1,
        description="Days after the n-th session within which later behaviour counts",
    )
    months_ahead: int = Field(
        2,
        ge=1,
        description="Last months of the data that the kinds of model are compared on; they learn "
        "from what happened before",
    )
    holdout: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Share of customers that no model is trained on, for comparing models",
    )
    resamples: int = Field(1_000, ge=100, description="Bootstrap draws of that comparison")
    min_customers: int = Field(100, ge=10, description="Fewest customers to train a model on")

    @model_validator(mode="before")
    @classmethod
    def _accept_trees(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "trees" not in given:
            return given
        warnings.warn(
            "the setting prediction.trees has no effect any more: no model is a forest",
            FutureWarning,
            stacklevel=2,
        )
        return {name: value for name, value in given.items() if name != "trees"}
