"""The section `release` of the settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from traveltide_assets.schema.config import Section


class Config(Section):
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
