"""The section `experiment` of the settings."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pydantic import Field

from traveltide_assets.schema.config import Headline, Section


class Config(Section):
    """The personalised perk against a control offer, among the customers who are contacted."""

    start: dt.date | None = Field(
        None,
        description="First day. Unset: no experiment, everybody contacted gets their perk",
    )
    weeks: int = Field(
        8, ge=1, description="Planned length. Earlier looks decide only what reaches their bound"
    )
    ratio: float = Field(0.5, gt=0, lt=1, description="Share of the personalised arm")
    salt: str = Field(
        "experiment", description="Salt of the random assignment. Another salt gives other arms"
    )
    control_offer: str = Field(
        "control_offer",
        description="Offer of the control arm: a perk's id, or `control_offer` for no perk",
    )
    control_headline: Headline = Field(
        "Your next trip is waiting for you.", description="Headline of `control_offer`"
    )
    relative_effect: float = Field(
        0.1,
        gt=0,
        description="Minimum effect worth detecting, relative to the control offer",
    )
    power: float = Field(0.8, gt=0, lt=1, description="Power required to detect that effect")
    alpha: float = Field(0.05, gt=0, lt=1, description="Significance level over all tests")
    assumed_click_through: float = Field(
        0.03,
        gt=0,
        lt=1,
        description="Click-through rate of the invitation assumed until it is measured",
    )
    assumed_sign_ups: float = Field(
        0.2, gt=0, lt=1, description="Sign-up rate assumed until it is measured"
    )
    guardrail_margin: float = Field(
        0.1,
        gt=0,
        description="Worsening of a guardrail that is accepted, relative to the control offer",
    )
    futility: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Chance of still finding `relative_effect` below which an early look says drop",
    )
    horizon_days: int = Field(
        28,
        ge=2,
        description="Days after its mailing over which a campaign's outcomes count. Then it is "
        "closed, and late events change nothing",
    )
    revenue_cap: float = Field(
        0.99,
        gt=0.5,
        le=1,
        description="Percentile, as a share, of what those who spent anything spent, above which "
        "revenue is cut off in comparisons. With 1 it is not",
    )
    reopen: bool = Field(
        False,
        description="Compute the outcomes of closed campaigns again. For one run, to take in a "
        "deliberate correction of their events",
    )
    history_weeks: int = Field(
        26, ge=1, description="Weeks of sessions that the plan is based on, at most"
    )
    outcomes_file: Path | None = Field(
        None,
        description="CSV of measured outcomes: `user_id` and metrics. Unset: outcomes come from "
        "sessions only",
    )
    max_imbalance: float = Field(
        0.1,
        ge=0,
        description="Largest difference of a feature between the arms, in SD, without a warning",
    )
    mismatch_alpha: float = Field(
        0.001,
        gt=0,
        lt=1,
        description="P-value below which the sizes of the arms are a sample ratio mismatch",
    )
