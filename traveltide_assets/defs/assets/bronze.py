"""Bronze: the rows of the source, verbatim. Sessions by month of their start, the rest whole."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import ibis

from traveltide_assets.defs.assets.inputs import table_of
from traveltide_assets.defs.beta import relied_on
from traveltide_assets.defs.gate import Gate
from traveltide_assets.defs.partitions import MONTHLY, RANGE_PER_RUN
from traveltide_assets.defs.retries import READ_RETRIES, permanent_errors_end_the_step
from traveltide_assets.settings import Settings
from traveltide_assets.sources.base import FileSource, Source

FILES = "files"
"""Metadata of bronze: the files of the source and their versions."""


def _origins(source: Source, name: str) -> dg.MetadataValue:
    return dg.MetadataValue.md("\n".join(f"- `{origin}`" for origin in source.origins(name)))


def _files(source: Source, name: str) -> dict[str, dg.MetadataValue]:
    """The files that a table is read from, with their versions.

    The landing sensor reads it to know what has been ingested.
    """
    return {FILES: dg.MetadataValue.json(_versions(source, name))}


def _versions(source: Source, name: str) -> dict[str, str]:
    return source.versions_of(name) if isinstance(source, FileSource) else {}


def _files_of_months(source: Source, months: Sequence[str]) -> dict[str, dict[str, str]]:
    """By month: the files with sessions of it, and their versions."""
    files = _versions(source, "sessions")
    touched = source.months_of(files) if isinstance(source, FileSource) else {}
    return {
        month: {name: version for name, version in files.items() if month in touched[name]}
        for month in months
    }


def _snapshot(name: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"{name}_raw",
        key_prefix="bronze",
        kinds={"duckdb"},
        deps=[table_of(name)],
        retry_policy=READ_RETRIES,
    )
    def raw(
        context: dg.AssetExecutionContext,
        source: dg.ResourceParam[Source],
        gate: dg.ResourceParam[Gate],
    ) -> dg.MaterializeResult[dict[Any, Any]]:
        with permanent_errors_end_the_step():
            gate.require_rows(source, context.run)
            return dg.MaterializeResult(
                value=source.parts(name, []),
                metadata={
                    "origins": _origins(source, name),
                    **gate.rows_before(name),
                    **_files(source, name),
                },
            )

    return raw


users_raw = _snapshot("users")
flights_raw = _snapshot("flights")
hotels_raw = _snapshot("hotels")
responses_raw = _snapshot("responses")


with relied_on():

    @dg.asset(
        key_prefix="bronze",
        kinds={"duckdb"},
        partitions_def=MONTHLY,
        deps=[table_of("sessions")],
        backfill_policy=RANGE_PER_RUN,
        retry_policy=READ_RETRIES,
    )
    def sessions_raw(
        context: dg.AssetExecutionContext,
        source: dg.ResourceParam[Source],
        gate: dg.ResourceParam[Gate],
    ) -> dg.MaterializeResult[dict[Any, Any]]:
        with permanent_errors_end_the_step():
            gate.require_rows(source, context.run)
            months = list(context.partition_keys)
            for month, files in _files_of_months(source, months).items():
                facts = {**gate.rows_before("sessions", month), FILES: files}
                context.add_asset_metadata(facts, partition_key=month)
            return dg.MaterializeResult(
                value=source.parts("sessions", months),
                metadata={"origins": _origins(source, "sessions")},
            )


@dg.asset(
    key_prefix="bronze",
    kinds={"duckdb"},
    deps=[table_of("sessions")],
    retry_policy=READ_RETRIES,
)
def sessions_undated(
    source: dg.ResourceParam[Source], settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult[ibis.Table]:
    with permanent_errors_end_the_step():
        undated = source.sessions_outside(settings.partitions.months())
    reason = ibis.ifelse(
        undated.month.isnull(), "unreadable_session_start", "month_outside_partitions"
    )
    return dg.MaterializeResult(
        value=undated.mutate(reason=reason).drop("month"), metadata=_files(source, "sessions")
    )


ASSETS = (users_raw, flights_raw, hotels_raw, responses_raw, sessions_raw, sessions_undated)
