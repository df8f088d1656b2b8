"""Everything Dagster sees: assets, checks, jobs and resources, for given settings."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from traveltide_assets import automation, partitions
from traveltide_assets.assets import (
    bronze,
    campaign,
    describe,
    evidence,
    experiment,
    features,
    gold,
    perks,
    reports,
    segments,
    silver,
)
from traveltide_assets.checks import campaign as campaign_checks
from traveltide_assets.checks import decisions, ingestion
from traveltide_assets.checks import experiment as experiment_checks
from traveltide_assets.contracts import Table, build_tables
from traveltide_assets.engine import Engine
from traveltide_assets.experiment.assignment import headlines
from traveltide_assets.lake import Lake
from traveltide_assets.segmentation.perks import load_perks
from traveltide_assets.settings import Settings, load_settings
from traveltide_assets.sources import open_source


def build_definitions(settings: Settings) -> dg.Definitions:
    """The code location for the given settings."""
    perk_catalogue = load_perks(settings.perks_file)
    headlines(perk_catalogue, settings.experiment)  # Says now what would otherwise fail the run.
    tables = build_tables(perk_catalogue)
    months = partitions.bounded(settings.partitions.first, settings.partitions.last)
    engine = Engine(settings.home / "scratch")
    lake = Lake(settings.lake, engine, tables)
    modules = [bronze, silver, gold, features, segments, evidence, perks, reports]
    modules += [experiment, campaign]
    assets = [a for a in dg.load_assets_from_modules(modules) if isinstance(a, dg.AssetsDefinition)]
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: _completed(spec, tables, months), assets),
        asset_checks=[
            *ingestion.build(tables, months),
            *decisions.build(tables, months),
            *experiment_checks.build(tables, months),
            *campaign_checks.build(tables, months),
        ],
        jobs=automation.build_jobs(),
        resources={
            "io_manager": lake,
            "lake": lake,
            "source": open_source(settings.source_location, engine, settings.home / "staging"),
            "settings": settings,
            "perk_catalogue": perk_catalogue,
        },
        executor=dg.in_process_executor,
    )


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
