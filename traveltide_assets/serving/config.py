"""The section `serving` of the settings."""

from __future__ import annotations

from pydantic import Field

from traveltide_assets.schema.config import Section


class Config(Section):
    """The scoring service."""

    max_body_bytes: int = Field(33_554_432, ge=1_024, description="Largest request body, in bytes")
    max_batch: int = Field(10_000, ge=1, description="Largest number of customers in one request")
    timeout_seconds: float = Field(
        30, gt=0, description="Seconds after which a request is answered with 504"
    )
    poll_seconds: float = Field(5, gt=0, description="Seconds between checks for a new model")
