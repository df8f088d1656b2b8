"""The sections `lease` and `release` of the settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from traveltide_assets.schema.config import Section


class Lease(Section):
    """How runs take turns: one at a time writes a lake."""

    wait_seconds: int = Field(
        600, ge=0, description="How long a run waits for another one on the same lake to end"
    )
    stale_seconds: int = Field(
        60,
        ge=6,
        description="After so many seconds without a sign of life from a run on another machine, "
        "its lake can be taken over. On the same machine its process counts",
    )


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
