"""The section `experiment` of the settings."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pydantic import Field

from traveltide_assets.schema.config import Headline, Section


class Config(Section):
    """Personalised perk against a control offer, among the customers who are written to."""

    start: dt.date | None = Field(
        None, description="First day; none: everybody written to gets their perk"
    )
    weeks: int = Field(8, ge=1, description="Planned length; results before its end are a peek")
    ratio: float = Field(0.5, gt=0, lt=1, description="Share given their personalised perk")
    salt: str = Field("experiment", description="Another salt, another split")
    control_offer: str = Field(
        "control_offer",
        description="What the others are offered: a perk's id, or `control_offer`, no perk",
    )
    control_headline: Headline = Field(
        "Your next trip is waiting for you.", description="Headline of `control_offer`"
    )
    relative_effect: float = Field(
        0.1, gt=0, description="Smallest change worth finding, relative to the control offer"
    )
    power: float = Field(0.8, gt=0, lt=1, description="Chance to find it that is asked for")
    alpha: float = Field(0.05, gt=0, lt=1, description="Level of significance, over all tests")
    assumed_click_through: float = Field(
        0.03, gt=0, lt=1, description="Share who click the invitation, until it is measured"
    )
    assumed_sign_ups: float = Field(
        0.2, gt=0, lt=1, description="Share who sign up, until it is measured"
    )
    history_weeks: int = Field(
        26, ge=1, description="Weeks of sessions, at most, that the plan rests on"
    )
    outcomes_file: Path | None = Field(
        None, description="CSV of measured outcomes: `user_id` and metrics; none: sessions only"
    )
    max_imbalance: float = Field(
        0.1, ge=0, description="Difference of a feature between the halves, in SD, that warns"
    )
    mismatch_alpha: float = Field(
        0.001, gt=0, lt=1, description="P-value below which the sizes of the halves are a fault"
    )
