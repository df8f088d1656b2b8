"""The section `s3` of the settings."""

from __future__ import annotations

from pydantic import Field

from traveltide_assets.schema.config import Section


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
