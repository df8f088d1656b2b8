"""The sections `release` and `s3` of the settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from traveltide_assets.schema.config import Section


class Release(Section):
    """When a decided month is released, and how many releases are kept."""

    mode: Literal["auto", "manual"] = Field(
        "auto",
        description="`auto`: every run that decides a month releases it. `manual`: a run prepares "
        "the release, and `traveltide release` makes it current. `TRAVELTIDE_RELEASE=manual` is "
        "short for it",
    )
    keep: int = Field(
        12,
        ge=1,
        description="Releases to keep of each month. The current one and those that were mailed "
        "are kept in any case",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_word(cls, given: Any) -> Any:
        return {"mode": given} if isinstance(given, str) else given


class Config(Section):
    """Time limits of S3, for the lake and for a source there."""

    timeout_seconds: int = Field(
        20, ge=1, description="Seconds to wait for an answer before a request is tried again"
    )
    retry_seconds: int = Field(
        90,
        ge=0,
        description="Seconds for which requests are tried again while S3 is away or busy, counted "
        "from the first failure of an outage. After that, what needs S3 fails",
    )

    def briefly(self) -> Config:
        """These limits for a caller that comes back anyway, such as a sensor or the service."""
        return self.model_copy(update={"retry_seconds": min(self.retry_seconds, 10)})
