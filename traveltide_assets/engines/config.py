"""The section `spark` of the settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from traveltide_assets.schema.config import Section


class Config(Section):
    """The cluster that computes where `engine` is `spark`.

    Anything else is Spark's own to say, in `spark-defaults.conf`.
    """

    master: Annotated[str, Field(pattern=r"^(local(\[.+\])?|spark://.+|k8s://.+|yarn)$")] = Field(
        "local[*]", description="Its master: `spark://host:7077`, `k8s://…`, `yarn` or `local[4]`"
    )
