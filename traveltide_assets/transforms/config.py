"""The section `cohort` of the settings."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BeforeValidator, Field

from traveltide_assets.schema.config import Section


class Config(Section):
    """Who counts as an active customer; the defaults are the rule of the program's brief."""

    active_since: Annotated[dt.date | None, BeforeValidator(lambda day: day or None)] = Field(
        dt.date(2023, 1, 4), description="Only sessions from this day on count; empty: any day"
    )
    min_sessions: int = Field(8, ge=1, description="Fewest sessions of a customer")
    window_months: int | None = Field(
        None, ge=1, description="Only sessions of the last so many months count; none: no window"
    )
    minimum_age: int | None = Field(
        None, ge=0, description="Fewest completed years at the end of the month; none: any age"
    )
