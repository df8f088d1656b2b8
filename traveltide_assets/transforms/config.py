"""The section `cohort` of the settings."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BeforeValidator, Field

from traveltide_assets.schema.config import Section

LONG_LEAD_DAYS = 60


class Config(Section):
    """The cohort rule: who is an active customer. The defaults follow the program's brief."""

    active_since: Annotated[dt.date | None, BeforeValidator(lambda day: day or None)] = Field(
        dt.date(2023, 1, 4),
        description="First day of the sessions that count. Leave empty for no bound. If not set "
        "and your source does not cover the default, seven months of it",
    )
    min_sessions: int = Field(8, ge=1, description="Minimum number of sessions of a customer")
    window_months: int | None = Field(
        None, ge=1, description="Only sessions of the last N months count. If not set, all count"
    )
    minimum_age: Annotated[int | None, BeforeValidator(lambda age: None if age == "" else age)] = (
        Field(
            18,
            ge=0,
            le=120,
            description="Minimum age of whoever is written to, in completed years at the month's "
            "end. Younger customers, and those of unknown age, are analysed and get no mail. Leave "
            "empty for any age",
        )
    )
    long_lead_days: int = Field(
        LONG_LEAD_DAYS,
        ge=0,
        description="A trip is booked long ahead if it starts more than this many days after its "
        "booking",
    )
