"""The sections `checks` and `automation` of the settings.

This module does not import Dagster, because the settings are also read without it.
"""

from __future__ import annotations

import warnings
from typing import Any

from pydantic import Field, SecretStr, field_validator, model_validator

from traveltide_assets.connections.notify import is_understood
from traveltide_assets.schema.config import Section, Share


class Checks(Section):
    """Thresholds of the asset checks: of those that block a decision, and of those that warn."""

    max_missing_share: Share = Field(
        0.005,
        description="Largest share of booked flights or hotel stays without their row, and of "
        "sessions whose user has none. Beyond it nothing is decided; below it a check warns",
    )
    block_orphan_share: Share = Field(
        0.02,
        description="Largest share of flights or hotel stays of trips that no session books, not "
        "even one that is refused or outside the months. Beyond it nothing is decided once all "
        "months are ingested",
    )
    block_contradiction_share: Share = Field(
        0.05,
        description="Largest share of rows that contradict others, such as flights that depart "
        "before they are booked. Beyond it nothing is decided. Fewer than ten such rows never stop "
        "a decision",
    )
    empty_month_from: int = Field(
        20,
        ge=1,
        description="Sessions of a usual month (median) from which a month between others that has "
        "none stops the decision. Raise it if there was truly no session",
    )
    block_quarantine_share: Share = Field(
        0.2,
        description="Share of rejected rows of a table, a file or a month beyond which nothing is "
        "decided",
    )
    block_format_share: Share = Field(
        0.01,
        description="Share of a column's values that are rejected in a known format, such as a "
        "decimal comma or a US date, beyond or at which nothing is decided. Fewer than five such "
        "rows never stop a decision",
    )
    max_row_loss: Share = Field(
        0.2,
        description="Largest share of rows that a table or a month may lose against the last "
        "ingest. Beyond it the source is refused; below it a check warns. To accept a deliberate "
        "correction, set it to 1 for one run",
    )
    max_quarantine_share: Share = Field(
        0.01, description="Largest share of rejected rows per table before a check warns"
    )
    max_orphan_share: Share = Field(
        0.01, description="Largest share of flights or hotel stays that no session refers to"
    )
    max_cohort_change: float = Field(
        0.5, ge=0, description="Largest relative change of the cohort's size in a month"
    )
    min_segment_share: Share = Field(0.02, description="Smallest share of customers in a segment")
    min_silhouette: float = Field(
        0.15, ge=-1, le=1, description="Lowest silhouette of the chosen number of segments"
    )
    min_stability: float = Field(
        0.6,
        ge=-1,
        le=1,
        description="Lowest mean adjusted Rand index between k-means and its bootstrap refits",
    )
    max_psi: float = Field(
        0.25,
        ge=0,
        description="Largest population stability index of a feature against the month before",
    )

    @model_validator(mode="before")
    @classmethod
    def _ignore_bootstraps(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "bootstraps" not in given:
            return given
        warnings.warn(
            "the setting checks.bootstraps has no effect and can be removed: the stability check "
            "reads the scorecard, and evidence.refits sets the number of refits",
            FutureWarning,
            stacklevel=2,
        )
        return {name: value for name, value in given.items() if name != "bootstraps"}


class Automation(Section):
    """What runs automatically in a deployment."""

    running: bool = Field(
        False,
        description="Whether schedules and sensors are on from the start. Otherwise each is "
        "switched on in the UI",
    )
    monthly: str = Field(
        "0 4 1 * *", description="When to refresh the month that has just ended (cron, UTC)"
    )
    daily: str = Field("0 5 * * *", description="When to refresh the current month (cron, UTC)")
    landing_seconds: int = Field(
        60, ge=1, description="Seconds between two checks for new files of the source"
    )
    stale_hours: int = Field(
        48,
        ge=1,
        description="Age in hours from which gold counts as stale, if `partitions.last` is open",
    )
    slow_minutes: int = Field(
        120, ge=1, description="Length of a run, in minutes, above which an alert is sent"
    )
    webhook: SecretStr | None = Field(
        None,
        description="Where alerts are sent (from the environment only): an `https://…` URL that "
        'accepts `{"text": …}` by POST, or a URL that Apprise supports, such as `slack://…`, '
        "`workflows://…` (Teams), `mailtos://…` or `jsons://…`. Empty: alerts are only logged",
    )

    @field_validator("webhook")
    @classmethod
    def _is_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_understood(value):
            raise ValueError(
                "not a URL for alerts: use https://, or a URL that Apprise supports "
                "(https://appriseit.com/services/)"
            )
        return value
