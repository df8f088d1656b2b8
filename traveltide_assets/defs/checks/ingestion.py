"""Bronze and silver: nothing is lost, keys refer to something, quarantine stays small."""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from traveltide_assets.contracts import KEYS, SESSIONS_UNDATED, SOURCES, Table
from traveltide_assets.defs.checks import contracts
from traveltide_assets.defs.checks.results import declare, report
from traveltide_assets.lake import Lake
from traveltide_assets.settings import Settings
from traveltide_assets.sources import Source


def build(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> list[dg.AssetChecksDefinition]:
    """One step of checks per source table and layer."""
    bronze = [_bronze(name, tables, months) for name in SOURCES]
    silver = [_silver(name, tables, months) for name in SOURCES]
    return [*bronze, _undated(months), *silver]


def _months_of(context: dg.AssetCheckExecutionContext) -> Sequence[str]:
    run = context.op_execution_context
    return list(run.partition_keys) if run.has_partition_key or run.has_partition_key_range else []


def _bronze(
    name: str, tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    raw = tables[f"bronze/{name}_raw"]

    @dg.multi_asset_check(
        name=f"{name}_bronze_checks",
        specs=[
            *contracts.declarations([raw], months),
            declare(
                raw,
                "reconciliation",
                "Every row of the source is here, month by month.",
                months,
                blocking=True,
            ),
        ],
    )
    def checks(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[Lake],
        source: dg.ResourceParam[Source],
    ) -> Iterator[dg.AssetCheckResult]:
        own = _months_of(context) if raw.partitioned else []
        yield from contracts.evaluate([raw], lake, own)
        expected = source.counts(name, own)
        found = {key: lake.rows(raw.path, key) for key in expected}
        wrong = {str(key): found[key] - n for key, n in expected.items() if found[key] != n}
        yield report(
            raw,
            "reconciliation",
            not wrong,
            {
                "rows_in_source": sum(expected.values()),
                "rows_in_bronze": sum(found.values()),
                "differences": wrong,
            },
        )

    return checks


def _undated(months: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    table = SESSIONS_UNDATED

    @dg.multi_asset_check(
        name="sessions_undated_checks",
        specs=[
            *contracts.declarations([table], months),
            declare(
                table,
                "reconciliation",
                "Every session of the source that no month takes is here.",
                months,
                blocking=True,
            ),
            declare(table, "no_undated_sessions", "Every session belongs to a month.", months),
        ],
    )
    def checks(
        lake: dg.ResourceParam[Lake],
        source: dg.ResourceParam[Source],
    ) -> Iterator[dg.AssetCheckResult]:
        yield from contracts.evaluate([table], lake, [])
        takes = months.get_partition_keys()
        dated = sum(source.counts("sessions", takes).values())
        expected, found = source.counts("sessions", [])[None] - dated, lake.rows(table.path)
        yield report(
            table,
            "reconciliation",
            expected == found,
            {"rows_in_source": expected, "rows_in_bronze": found},
        )
        yield report(
            table,
            "no_undated_sessions",
            found == 0,
            {"rows": found, "first_month": takes[0], "last_month": takes[-1]},
            warn=True,
        )

    return checks


def _silver(
    name: str, tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    raw = tables[f"bronze/{name}_raw"]
    processed = tables[f"silver/{name}_processed"]
    quarantine = tables[f"silver/{name}_quarantine"]
    sessions = tables["silver/sessions_processed"]
    names_trips = KEYS[name] == "trip_id"
    specs = [
        *contracts.declarations([processed, quarantine], months),
        declare(
            processed,
            "reconciliation",
            "Rows in bronze = rows processed + rows in quarantine, month by month.",
            months,
            blocking=True,
            after=(raw, quarantine),
        ),
        declare(
            quarantine,
            "quarantine_share",
            "Few rows are refused.",
            months,
            after=(processed,),
        ),
    ]
    if names_trips:
        specs.append(
            declare(
                processed,
                "foreign_key",
                "The trip of every row is named by an ingested session.",
                months,
                after=(sessions,),
            )
        )

    @dg.multi_asset_check(name=f"{name}_silver_checks", specs=specs)
    def checks(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[dg.AssetCheckResult]:
        own = _months_of(context) if processed.partitioned else []
        yield from contracts.evaluate([processed, quarantine], lake, own)
        keys: Sequence[str | None] = own or [None]
        split = {
            key: (
                lake.rows(raw.path, key),
                lake.rows(processed.path, key),
                lake.rows(quarantine.path, key),
            )
            for key in keys
        }
        total, kept, refused = (sum(column) for column in zip(*split.values(), strict=True))
        lost = {str(key): a - b - c for key, (a, b, c) in split.items() if a != b + c}
        yield report(
            processed,
            "reconciliation",
            not lost,
            {
                "rows_in_bronze": total,
                "rows_processed": kept,
                "rows_in_quarantine": refused,
                "rows_lost": lost,
            },
        )
        share = refused / total if total else 0.0
        limit = settings.checks.max_quarantine_share
        yield report(
            quarantine,
            "quarantine_share",
            share <= limit,
            {"share": share, "limit": limit},
            warn=True,
        )
        if names_trips:
            yield _foreign_key(processed, sessions, lake, settings.checks.max_orphan_share)

    return checks


def _foreign_key(table: Table, sessions: Table, lake: Lake, limit: float) -> dg.AssetCheckResult:
    without = orphans(table, sessions, lake)
    share = without / max(lake.rows(table.path), 1)
    return report(
        table,
        "foreign_key",
        share <= limit,
        {"rows_without_session": without, "share": share, "limit": limit},
        warn=True,
    )


def orphans(table: Table, sessions: Table, lake: Lake) -> int:
    """The number of rows whose trip no session names."""
    months = lake.months(sessions.path)
    trips = lake.table(table.path)
    # A backfill from the UI takes the snapshots before the first month of sessions.
    if months:
        trips = trips.anti_join(lake.table(sessions.path, months), "trip_id")
    return int(trips.count().to_pyarrow().as_py())
