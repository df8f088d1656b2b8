"""The section `evidence` of the settings."""

from __future__ import annotations

import warnings
from typing import Any

from pydantic import Field, model_validator

from traveltide_assets.schema.config import Section

RECOMMENDED = "recommended"
"""The value of the setting `strategy` that lets the scorecard decide."""

LEARNED = "learned"
"""The learned policy decides once it is promoted; until then, what is recommended."""


class Config(Section):
    """The back-test of the perks on customers' behaviour after a cut."""

    months: int = Field(3, ge=1, description="Months of history after a cut")
    cuts: int = Field(
        3,
        ge=1,
        le=100,
        description="Cuts at which perks are tried: the latest that `months` follow, and each "
        "month before it",
    )
    folds: int = Field(
        5, ge=2, description="Folds of customers for strategies that learn from outcomes"
    )
    resamples: int = Field(
        1_000, ge=100, description="Bootstrap draws, and permutations in the first round"
    )
    permutations: int = Field(
        10_000,
        ge=100,
        description="Permutations in total, as long as a lift may still be significant",
    )
    alpha: float = Field(
        0.025,
        gt=0,
        lt=1,
        description="Significance level over all strategies, perks and both directions",
    )
    min_customers: int = Field(
        30, ge=1, description="Fewer customers with a perk are too little data"
    )
    min_opportunities: int = Field(
        100, ge=1, description="Fewer opportunities on either side are too little data"
    )
    min_events: int = Field(
        10,
        ge=1,
        description="Fewer customers on either side who did it, or would be expected to, are too "
        "little data",
    )
    max_detectable: float = Field(
        2.0,
        gt=1,
        description="If only a lift above this would have been found with a power of 80 %, finding "
        "nothing is too little data, not a missing preference",
    )
    sample_rows: int = Field(
        20_000, ge=100, le=65_535, description="Maximum number of customers in the back-test"
    )
    refits: int = Field(3, ge=2, description="Bootstrap refits for a strategy's stability")
    weight_steady: float = Field(
        0.25,
        ge=0,
        le=0.5,
        description="Share of a supported perk's worth that is lost if it was another last month",
    )
    weight_reliable: float = Field(
        0.25,
        ge=0,
        le=0.5,
        description="Share of its worth that is lost if odd and even sessions give different perks",
    )
    switch_margin: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="A strategy takes over only if its worth is higher by more than this, beyond "
        "noise",
    )
    fallback: str = Field(
        "traits",
        description='Strategy that decides with `strategy = "recommended"` as long as no strategy '
        "has a supported perk",
    )

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
