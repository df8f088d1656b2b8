"""The section `evidence` of the settings."""

from __future__ import annotations

import warnings
from typing import Any

from pydantic import Field, model_validator

from traveltide_assets.schema.config import Section


class Config(Section):
    """The back-test of the perks on customers' behaviour after a cut."""

    months: int = Field(3, ge=1, description="Months of history after the cut")
    folds: int = Field(
        5, ge=2, description="Folds of customers for strategies that learn from outcomes"
    )
    resamples: int = Field(
        1_000, ge=100, description="Bootstrap draws, and permutations in the first round"
    )
    permutations: int = Field(
        5_000,
        ge=100,
        description="Permutations in total, if the first round finds a lift significant",
    )
    alpha: float = Field(
        0.025,
        gt=0,
        lt=1,
        description="Significance level over all strategies and perks, one-sided (lift above 1)",
    )
    min_customers: int = Field(
        50, ge=1, description="Fewer customers with a perk are too little data"
    )
    min_opportunities: int = Field(
        100, ge=1, description="Fewer opportunities on either side are too little data"
    )
    sample_rows: int = Field(
        20_000, ge=100, le=65_535, description="Maximum number of customers in the back-test"
    )
    refits: int = Field(3, ge=2, description="Bootstrap refits for a strategy's stability")

    @model_validator(mode="before")
    @classmethod
    def _accept_shuffles(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "shuffles" not in given:
            return given
        warnings.warn(
            "the setting evidence.shuffles is now called evidence.permutations",
            FutureWarning,
            stacklevel=2,
        )
        rest = {name: value for name, value in given.items() if name != "shuffles"}
        return {"permutations": given["shuffles"], **rest}
