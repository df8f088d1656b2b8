"""The section `postgres` of the settings."""

from __future__ import annotations

from pydantic import Field

from traveltide_assets.schema.config import Section


class Config(Section):
    """Time limits and retries of PostgreSQL connections."""

    connect_timeout_seconds: int = Field(10, ge=1, description="Connection timeout")
    statement_timeout_seconds: int = Field(
        1_800, ge=1, description="Statement timeout, which also covers the extraction of a table"
    )
    attempts: int = Field(
        6,
        ge=1,
        description="Attempts at an extraction if the connection breaks, 1, 2, 4, … seconds apart",
    )
