"""The section `cohort` of the settings."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BeforeValidator, Field

from traveltide_assets.schema.config import Section


class Config(Section):
    """The cohort rule: who is an active customer. The defaults follow the program's brief."""

    active_since: Annotated[dt.date | None, BeforeValidator(lambda day: day or None)] = Field(
        dt.date(2023, 1, 4),
        description="First day of the sessions that count. Leave empty for no bound",
    )
    min_sessions: int = Field(8, ge=1, description="Minimum number of sessions of a customer")
    window_months: int | None = Field(
        None, ge=1, description="Only sessions of the last N months count. If not set, all count"
    )
    minimum_age: int | None = Field(
        None,
        ge=0,
        description="Minimum age in completed years at the month's end. If not set, any age",
    )
