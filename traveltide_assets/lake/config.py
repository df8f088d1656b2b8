"""The section `lease` of the settings."""

from __future__ import annotations

from pydantic import Field

from traveltide_assets.schema.config import Section


class Config(Section):
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
