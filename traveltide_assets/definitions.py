"""Everything Dagster sees: assets, checks, jobs and resources, for given settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

import dagster as dg

from traveltide_assets import automation, landing, lineage, partitions
from traveltide_assets.assets import (
    bronze,
    campaign,
    describe,
    evidence,
    experiment,
    features,
    gold,
    perks,
    prediction,
    published,
    reports,
    segments,
    silver,
)
from traveltide_assets.checks import campaign as campaign_checks
from traveltide_assets.checks import decisions, ingestion
from traveltide_assets.checks import experiment as experiment_checks
from traveltide_assets.checks import prediction as prediction_checks
from traveltide_assets.contracts import Table, build_tables
from traveltide_assets.defs.lost_runs import build_lost_runs
from traveltide_assets.engine import open_engine
from traveltide_assets.experiment.assignment import headlines
from traveltide_assets.lake import Lake
from traveltide_assets.segmentation.perks import load_perks
from traveltide_assets.settings import Settings, load_settings
from traveltide_assets.sources import Run, open_source
from traveltide_assets.storage import open_storage

# The boxes of the lineage graph, from left to right: two layers, then the parts of gold.
_GROUPS: Mapping[str, Sequence[ModuleType]] = {
    "bronze": [bronze],
    "silver": [silver],
    "gold": [gold, features],
    "segments": [segments],
    "evidence": [evidence],
    "perks": [perks],
    "prediction": [prediction],
    "experiment": [experiment],
    "campaign": [campaign],
    "reports": [reports],
}


def build_definitions(settings: Settings) -> dg.Definitions:
    """The code location for the given settings."""
    perk_catalogue = load_perks(settings.perks_file)
    headlines(perk_catalogue, settings.experiment)  # Says now what would otherwise fail the run.
    tables = build_tables(perk_catalogue)
    months = partitions.bounded(settings.partitions.first, settings.partitions.last)
    engine = open_engine(settings)
    storage = open_storage(settings.lake, settings.home / "cache", "TRAVELTIDE_LAKE")
    lake = Lake(storage, engine, tables)
    assets = [
        asset
        for group, modules in _GROUPS.items()
        for asset in dg.load_assets_from_modules(modules, group_name=group)
        if isinstance(asset, dg.AssetsDefinition)
    ]
    if settings.publish is not None:
        assets.append(published.build(settings.publish, tables["gold/perk_assignments"]))
    fresh = automation.freshness(settings)
    columns = lineage.build_lineage(tables, settings, perk_catalogue)
    completed = dg.map_asset_specs(
        lambda spec: _completed(spec, tables, columns, months, fresh), assets
    )
    return dg.Definitions(
        assets=completed,
        asset_checks=[
            *ingestion.build(tables, months),
            *decisions.build(tables, months),
            *prediction_checks.build(tables, months),
            *experiment_checks.build(tables, months),
            *campaign_checks.build(tables, months),
        ],
        jobs=automation.build_jobs(),
        schedules=automation.build_schedules(settings),
        sensors=[
            *automation.build_alerts(settings),
            build_lost_runs(automation.sensor_status(settings.automation)),
            *landing.build_sensors(
                settings, open_source(settings, engine, Run("landing")), completed
            ),
        ],
        resources={
            "io_manager": lake,
            "lake": lake,
            # All steps of a run see the source as of one moment, so it is opened for a run.
            "source": dg.ResourceDefinition(
                lambda context: open_source(settings, engine, _run(context))
            ),
            "settings": settings,
            "perk_catalogue": perk_catalogue,
        },
        executor=automation.executor(settings),
    )


def _run(context: dg.InitResourceContext) -> Run:
    if context.run is None:
        return Run("outside-of-runs")
    return Run(context.run.run_id, partitions.months_of_run(context.run.tags))


def _completed(
    spec: dg.AssetSpec,
    tables: Mapping[str, Table],
    columns: Mapping[str, dg.TableColumnLineage],
    months: dg.PartitionsDefinition,
    fresh: dg.FreshnessPolicy | None,
) -> dg.AssetSpec:
    """A spec with what its contract says, with the bounds of the months and gold's freshness."""
    path = "/".join(spec.key.path)
    table = tables.get(path)
    spec = describe.with_contract(spec, table) if table else describe.without_table(spec)
    if path in columns:
        spec = spec.merge_attributes(metadata={"dagster/column_lineage": columns[path]})
    if spec.key.path[0] == "gold" and fresh:
        spec = spec.replace_attributes(freshness_policy=fresh)
    return spec.replace_attributes(partitions_def=months) if spec.partitions_def else spec


@dg.definitions
def defs() -> dg.Definitions:
    return build_definitions(load_settings())
