"""The section `sample` of the settings."""

from __future__ import annotations

from pydantic import Field

from traveltide_assets.schema.config import Section, Share


class Config(Section):
    """The generated source, used if no other is configured."""

    users: int = Field(20_000, ge=1, description="Number of users")
    seed: int = Field(7, ge=0, description="Random seed. The same seed gives the same bytes")
    active_share: Share = Field(
        0.3, description="Share of active customers (0.00588 in the real database)"
    )
    affinity: Share = Field(
        0.0,
        description="0: as in the real data. 1: every customer has a planted favourite perk",
    )
    dirt: Share = Field(0.0, description="Share of rows damaged in known ways")
