"""The section `campaign` of the settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from traveltide_assets.schema.config import Section, Share


class Config(Section):
    """Who is written to."""

    holdout_share: Share = Field(
        0.1, description="Customers who get no invitation, so that its worth can be measured"
    )
    salt: str = Field("holdout", description="Another salt holds out other customers")
    suppression_file: Path | None = Field(
        None, description="CSV of the `user_id`s that must not be written to; none: nobody"
    )
