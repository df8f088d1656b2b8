"""The section `spark` of the settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from traveltide_assets.schema.config import Section


class Config(Section):
    """The cluster for `engine = "spark"`.

    All other options of Spark are set in `spark-defaults.conf`.
    """

    master: Annotated[str, Field(pattern=r"^(local(\[.+\])?|spark://.+|k8s://.+|yarn)$")] = Field(
        "local[*]", description="Spark master: `spark://host:7077`, `k8s://…`, `yarn` or `local[4]`"
    )
