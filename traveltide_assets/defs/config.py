"""The sections `checks` and `automation` of the settings.

This module imports no Dagster: the settings are read without it.
"""

from __future__ import annotations

import warnings
from typing import Any

from pydantic import Field, SecretStr, field_validator, model_validator

from traveltide_assets.connections.notify import is_understood
from traveltide_assets.schema.config import Section, Share


class Checks(Section):
    """Limits of the asset checks that warn."""

    max_quarantine_share: Share = Field(0.01, description="Rows refused, per table")
    max_orphan_share: Share = Field(0.01, description="Flights or stays no session names")
    max_cohort_change: float = Field(
        0.5, ge=0, description="Change of the cohort's size against the month before"
    )
    min_segment_share: Share = Field(0.02, description="Customers in the smallest segment")
    min_silhouette: float = Field(0.15, ge=-1, le=1, description="Silhouette of the chosen k")
    min_stability: float = Field(
        0.6, ge=-1, le=1, description="Mean adjusted Rand index of k-means with bootstrap refits"
    )
    max_psi: float = Field(
        0.25, ge=0, description="Population stability index of a feature against last month"
    )

    @model_validator(mode="before")
    @classmethod
    def _ignore_bootstraps(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "bootstraps" not in given:
            return given
        warnings.warn(
            "the setting checks.bootstraps has no effect and can be removed: the check of "
            "stability reads the scorecard, whose refits are set by evidence.refits",
            FutureWarning,
            stacklevel=2,
        )
        return {name: value for name, value in given.items() if name != "bootstraps"}


class Automation(Section):
    """What runs by itself in a deployment."""

    running: bool = Field(
        False,
        description="Schedules and sensors run from the start; otherwise each is switched on "
        "in the UI",
    )
    monthly: str = Field(
        "0 4 1 * *", description="When the month just ended is refreshed, as cron, UTC"
    )
    daily: str = Field("0 5 * * *", description="When the current month is refreshed, as cron, UTC")
    landing_seconds: int = Field(
        60, ge=1, description="Seconds between two looks at the files of the source"
    )
    stale_hours: int = Field(
        48, ge=1, description="Gold older than this is stale, where the last month is open"
    )
    slow_minutes: int = Field(120, ge=1, description="A run longer than this raises an alert")
    webhook: SecretStr | None = Field(
        None,
        description="Where alerts are sent (from the environment only): `https://…`, which is "
        'posted `{"text": …}`, or a URL that Apprise knows, such as `slack://…`, `workflows://…` '
        "(Teams), `mailtos://…` or `jsons://…`. Empty: they are logged",
    )

    @field_validator("webhook")
    @classmethod
    def _is_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_understood(value):
            raise ValueError(
                "alerts are sent to an https:// URL, or to one that Apprise understands "
                "(https://appriseit.com/services/)"
            )
        return value
