"""Everything Dagster sees: assets, checks, jobs and resources, for given settings."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from traveltide_assets import automation, partitions
from traveltide_assets.assets import (
    bronze,
    describe,
    evidence,
    features,
    gold,
    perks,
    published,
    reports,
    segments,
    silver,
)
from traveltide_assets.checks import decisions, ingestion
from traveltide_assets.contracts import Table, build_tables
from traveltide_assets.engine import Engine
from traveltide_assets.lake import Lake
from traveltide_assets.segmentation.perks import load_perks
from traveltide_assets.settings import Settings, load_settings
from traveltide_assets.sources import Run, open_source
from traveltide_assets.storage import open_storage


def build_definitions(settings: Settings) -> dg.Definitions:
    """The code location for the given settings."""
    perk_catalogue = load_perks(settings.perks_file)
    tables = build_tables(perk_catalogue)
    months = partitions.bounded(settings.partitions.first, settings.partitions.last)
    engine = Engine(settings.home / "scratch")
    storage = open_storage(settings.lake, settings.home / "cache", "TRAVELTIDE_LAKE")
    lake = Lake(storage, engine, tables)
    modules = [bronze, silver, gold, features, segments, evidence, perks, reports]
    assets = [a for a in dg.load_assets_from_modules(modules) if isinstance(a, dg.AssetsDefinition)]
    if settings.publish is not None:
        assets.append(published.build(settings.publish))
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: _completed(spec, tables, months), assets),
        asset_checks=[*ingestion.build(tables, months), *decisions.build(tables, months)],
        jobs=automation.build_jobs(),
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
        executor=dg.in_process_executor,
    )


def _run(context: dg.InitResourceContext) -> Run:
    if context.run is None:
        return Run("outside-of-runs")
    return Run(context.run.run_id, partitions.months_of_run(context.run.tags))


def _completed(
    spec: dg.AssetSpec, tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetSpec:
    """A spec with what its contract says and with the bounds of the months."""
    table = tables.get("/".join(spec.key.path))
    spec = describe.with_contract(spec, table) if table else describe.without_table(spec)
    return spec.replace_attributes(partitions_def=months) if spec.partitions_def else spec


@dg.definitions
def defs() -> dg.Definitions:
    return build_definitions(load_settings())
