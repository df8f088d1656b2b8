"""The section `campaign` of the settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from traveltide_assets.schema.config import Section, Share


class Config(Section):
    """Which customers are contacted."""

    holdout_share: Share = Field(
        0.1,
        description="Share of customers who get no invitation, so that its effect can be measured",
    )
    salt: str = Field(
        "holdout", description="Salt of the holdout. Another salt holds out other customers"
    )
    suppression_file: Path | None = Field(
        None,
        description="CSV of the `user_id`s of customers who must not be contacted. Unset: nobody "
        "is suppressed",
    )
