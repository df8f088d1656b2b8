"""The sections `campaign`, `exploration` and `economics` of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from traveltide_assets.schema.config import Section, Share


class Config(Section):
    """Which customers are contacted."""

    holdout_share: Share = Field(
        0.1,
        description="Share of customers who get no invitation, so that its effect can be measured",
    )
    salt: str = Field(
        "holdout", description="Salt of the holdout. Another salt holds out other customers"
    )
    suppression_file: Path | None = Field(
        None,
        description="CSV of the `user_id`s of customers who must not be contacted. Unset: nobody "
        "is suppressed",
    )


class Exploration(Section):
    """Perks drawn at random for some customers: what makes it possible to learn which works."""

    share: Share = Field(
        0.0,
        description="Share of customers written to whose perk is drawn at random among those they "
        "are eligible for",
    )
    weights: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        {},
        description="How often each perk is drawn, by its id and relative to the others, whichever "
        "strategy decides. A perk that is not named is not drawn. Unset: all that the deciding "
        "strategy hands out, equally often",
    )
    salt: str = Field(
        "exploration", description="Salt of the draws. Another salt draws other customers and perks"
    )


class Economics(Section):
    """What an offer costs and brings, in US dollars. Without a margin nothing depends on money."""

    margin_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Margin as a share of what customers spend. Set: everybody gets the perk with "
        "the highest expected net value, or none. Unset: everybody gets the perk decided",
    )
    budget_usd: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="Most that the offers of a month may be expected to cost. Unset: no bound",
    )
    incremental_share: Share = Field(
        0.2,
        description="Share of redemptions that are trips which would not have been made without "
        "the offer. An assumption until it is measured",
    )
    expected_redemption: Share = Field(
        0.2,
        description="Share of customers with an offer who are expected to use it, for perks whose "
        "entry in the catalogue does not say. An assumption until it is measured",
    )

    @model_validator(mode="after")
    def _values_before_it_bounds(self) -> Economics:
        if self.budget_usd is not None and self.margin_rate is None:
            raise ValueError(
                "budget_usd needs margin_rate: without it nobody can say who is worth the money"
            )
        return self
