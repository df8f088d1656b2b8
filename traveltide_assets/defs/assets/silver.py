"""Silver: typed, keyed and repaired rows. All other rows are in quarantine, with the reason."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import ibis

from traveltide_assets.defs.beta import relied_on
from traveltide_assets.defs.cleaned_files import CleanedFiles
from traveltide_assets.defs.cleaned_months import CleanedMonths
from traveltide_assets.defs.cleaning_notes import Work
from traveltide_assets.defs.describe import counts
from traveltide_assets.defs.partitions import ALL_UP_TO, MONTHLY, RANGE_PER_RUN
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.parts import Parts
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.cleaning import judge
from traveltide_assets.transforms.cleaning.cleaned import Cleaned, Counts


def _outs(name: str) -> dict[str, dg.AssetOut]:
    return {
        f"{name}_{part}": dg.AssetOut(key_prefix="silver", kinds={"duckdb"})
        for part in ("processed", "quarantine")
    }


def _outputs(name: str, work: Work) -> Iterator[Any]:
    counted = Counts.together(work.counts.values())
    with work.cleaned as cleaned:
        yield dg.Output(
            Parts(cleaned.processed, work.made, work.kept),
            output_name=f"{name}_processed",
            metadata={"repaired": counts(counted.repairs, "rule")},
        )
        yield dg.Output(
            Parts(cleaned.quarantine, work.made, work.kept),
            output_name=f"{name}_quarantine",
            metadata={"rejected": counts(counted.rejections, "rule")},
        )


def _of_files(
    context: dg.AssetExecutionContext,
    name: str,
    raw: ibis.Table,
    lake: Lake,
    clean: Callable[[ibis.Table], Cleaned],
    *others: str,
) -> Iterator[Any]:
    """The silver of a table by file. `others` are the paths of tables that its rules look at."""
    rules = [context.assets_def.code_versions_by_key, [lake.versions(path) for path in others]]
    files = CleanedFiles(lake, name, raw, rules)
    work = files.clean(clean)
    yield from _outputs(name, work)
    files.save(work)


def _by_file(name: str, clean: Callable[..., Cleaned]) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{name}_silver",
        outs=_outs(name),
        ins={"raw": dg.AssetIn(["bronze", f"{name}_raw"])},
    )
    def silver(
        context: dg.AssetExecutionContext,
        raw: ibis.Table,
        settings: dg.ResourceParam[Settings],
        lake: dg.ResourceParam[Lake],
    ) -> Iterator[Any]:
        words = settings.cleaning.null_words
        yield from _of_files(context, name, raw, lake, lambda rows: clean(rows, words))

    return silver


users_silver = _by_file("users", judge.clean_users)
flights_silver = _by_file("flights", judge.clean_flights)
hotels_silver = _by_file("hotels", judge.clean_hotels)


@dg.multi_asset(
    name="responses_silver",
    outs=_outs("responses"),
    ins={
        "raw": dg.AssetIn(["bronze", "responses_raw"]),
        "users": dg.AssetIn(["silver", "users_processed"]),
    },
)
def responses_silver(
    context: dg.AssetExecutionContext,
    raw: ibis.Table,
    users: ibis.Table,
    settings: dg.ResourceParam[Settings],
    lake: dg.ResourceParam[Lake],
) -> Iterator[Any]:
    def clean(rows: ibis.Table) -> Cleaned:
        return judge.clean_responses(rows, users, settings.cleaning.null_words)

    yield from _of_files(context, "responses", raw, lake, clean, "silver/users_processed")


with relied_on():

    @dg.multi_asset(
        name="sessions_silver",
        outs=_outs("sessions"),
        ins={
            "raw": dg.AssetIn(["bronze", "sessions_raw"], partition_mapping=ALL_UP_TO),
            "users": dg.AssetIn(["silver", "users_processed"]),
        },
        partitions_def=MONTHLY,
        backfill_policy=RANGE_PER_RUN,
    )
    def sessions_silver(
        context: dg.AssetExecutionContext,
        raw: ibis.Table,
        users: ibis.Table,
        settings: dg.ResourceParam[Settings],
        lake: dg.ResourceParam[Lake],
    ) -> Iterator[Any]:
        rules = [context.assets_def.code_versions_by_key, raw.columns]
        months, words = context.partition_keys, settings.cleaning.null_words
        cleaned = CleanedMonths(lake, months, rules)
        work = cleaned.clean(lambda made: judge.clean_sessions(raw, users, made, words))
        yield from _outputs("sessions", work)
        cleaned.save(work)


ASSETS = (users_silver, sessions_silver, flights_silver, hotels_silver, responses_silver)
