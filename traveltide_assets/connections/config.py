"""The section `postgres` of the settings."""

from __future__ import annotations

from pydantic import Field

from traveltide_assets.schema.config import Section


class Config(Section):
    """How patient we are with a PostgreSQL database."""

    connect_timeout_seconds: int = Field(10, ge=1, description="Longest wait for a connection")
    statement_timeout_seconds: int = Field(
        1_800, ge=1, description="Longest time a statement may take, extraction of a table included"
    )
    attempts: int = Field(
        6, ge=1, description="Attempts at an extraction whose connection breaks, 1, 2, 4, … s apart"
    )
