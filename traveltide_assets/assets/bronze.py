"""Bronze: what the source said, verbatim; sessions by month of their start, the rest whole."""

import dagster as dg
import ibis

from traveltide_assets.automation import READ_RETRIES
from traveltide_assets.partitions import MONTHLY, months_within
from traveltide_assets.settings import Settings
from traveltide_assets.sources import Source


def _origins(source: Source, name: str) -> dg.MetadataValue:
    return dg.MetadataValue.md("\n".join(f"- `{origin}`" for origin in source.origins(name)))


def _snapshot(name: str) -> dg.AssetsDefinition:
    @dg.asset(name=f"{name}_raw", key_prefix="bronze", kinds={"duckdb"}, retry_policy=READ_RETRIES)
    def raw(source: dg.ResourceParam[Source]) -> dg.MaterializeResult[ibis.Table]:
        return dg.MaterializeResult(
            value=source.table(name), metadata={"origins": _origins(source, name)}
        )

    return raw


users_raw = _snapshot("users")
flights_raw = _snapshot("flights")
hotels_raw = _snapshot("hotels")


@dg.asset(
    key_prefix="bronze",
    kinds={"duckdb"},
    partitions_def=MONTHLY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    retry_policy=READ_RETRIES,
)
def sessions_raw(
    context: dg.AssetExecutionContext, source: dg.ResourceParam[Source]
) -> dg.MaterializeResult[ibis.Table]:
    sessions = source.table("sessions")
    return dg.MaterializeResult(
        value=sessions.filter(sessions.month.isin(list(context.partition_keys))),
        metadata={"origins": _origins(source, "sessions")},
    )


@dg.asset(key_prefix="bronze", kinds={"duckdb"}, retry_policy=READ_RETRIES)
def sessions_undated(
    source: dg.ResourceParam[Source], settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult[ibis.Table]:
    sessions, months = source.table("sessions"), months_within(settings.partitions)
    reason = ibis.cases(
        (sessions.month.isnull(), "unreadable_session_start"),
        (~sessions.month.between(months[0], months[-1]), "month_outside_partitions"),
        else_=ibis.null("string"),
    )
    undated = sessions.mutate(reason=reason).filter(reason.notnull()).drop("month")
    return dg.MaterializeResult(value=undated)
