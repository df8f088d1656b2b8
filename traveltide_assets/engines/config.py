"""The section `spark` of the settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from traveltide_assets.schema.config import Section


def _without_token(remote: str) -> str:
    if ";token=" in remote:
        raise ValueError("a token does not belong in it, but in SPARK_CONNECT_AUTHENTICATE_TOKEN")
    return remote


_Server = Annotated[str, Field(pattern=r"^sc://[^\s@]+$"), AfterValidator(_without_token)]


class Config(Section):
    """The cluster for `engine = "spark"`.

    All other options of Spark are set in `spark-defaults.conf`, or on the server.
    """

    master: Annotated[str, Field(pattern=r"^(local(\[.+\])?|spark://.+|k8s://.+|yarn)$")] = Field(
        "local[*]", description="Spark master: `spark://host:7077`, `k8s://…`, `yarn` or `local[4]`"
    )
    remote: _Server | None = Field(
        None,
        description="Server of Spark Connect that computes in place of `master`, as "
        "`sc://host:15002`. Its token belongs in `SPARK_CONNECT_AUTHENTICATE_TOKEN`",
    )
