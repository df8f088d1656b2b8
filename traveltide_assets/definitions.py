"""The code location: everything that Dagster sees, for given settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import dagster as dg

from traveltide_assets.campaign.net_value import check_caps
from traveltide_assets.campaign.random_offers import check_weights
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.contracts import build_tables
from traveltide_assets.defs import alerts, jobs, landing, partitions, schedules, tags
from traveltide_assets.defs.assets import (
    bronze,
    campaign,
    cohort,
    evidence,
    experiment,
    features,
    offers,
    perks,
    policies,
    prediction,
    published,
    release,
    reports,
    segments,
    silver,
    summaries,
)
from traveltide_assets.defs.assets.inputs import Inputs
from traveltide_assets.defs.checks import steps
from traveltide_assets.defs.describe import Finish
from traveltide_assets.defs.gate import Gate
from traveltide_assets.defs.io_manager import LakeIOManager
from traveltide_assets.defs.lease import build_lake
from traveltide_assets.defs.lost_runs import build_lost_runs
from traveltide_assets.experiment.assignment import headlines
from traveltide_assets.lake.ownership import Told
from traveltide_assets.resources import (
    asking_again,
    load,
    open_claim,
    open_engine,
    open_lake,
    open_lease,
    open_source,
)
from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.segmentation.registry import (
    MODULES,
    build_strategies,
    left_out,
    unrestricted,
)
from traveltide_assets.segmentation.strategy import Strategy
from traveltide_assets.settings import Settings
from traveltide_assets.sources.base import Run
from traveltide_assets.stats.cycles import look_rarely
from traveltide_assets.stats.side_by_side import Processes, every_core
from traveltide_assets.stats.threads import use_one_thread

_log = logging.getLogger(__name__)


def build_definitions(settings: Settings) -> dg.Definitions:
    """The code location for the given settings."""
    perk_catalogue = load_perks(settings.perks_file, settings.policy.forbidden_features)
    # These raise now rather than in the run.
    headlines(perk_catalogue, settings.experiment)
    check_weights(perk_catalogue, settings.exploration)
    check_caps(perk_catalogue, settings.economics)
    strategies = build_strategies(settings, perk_catalogue)
    use_one_thread()  # Now that all libraries are loaded.
    for name, why in left_out(settings, perk_catalogue).items():
        _log.info("the strategy %s is left out. %s", name, why)
    tables = build_tables(perk_catalogue, strategies)
    months = partitions.bounded(settings.partitions.first, settings.partitions.last)
    engine = open_engine(settings)
    lake, lease = open_lake(settings, engine), open_lease(settings)
    source = open_source(settings, engine, Run("landing"))
    # The daemon gives a sensor a minute.
    landed = open_source(asking_again(settings), engine, Run("landing"))
    inputs = Inputs(settings, source)
    finish = Finish(settings, tables, months)
    groups = _groups(settings, strategies)
    gold = [asset for group in list(groups)[2:] for asset in groups[group]]
    groups["releases"] = [release.build(gold, tables, months)]
    if settings.publish is not None:
        table = tables["gold/perk_assignments"]
        groups["releases"].append(published.build(settings.publish, table))
    assets = [finish(asset, group) for group, members in groups.items() for asset in members]
    return dg.Definitions(
        assets=[*inputs.build(months), *assets],
        asset_checks=steps.build(tables, months),
        jobs=[*jobs.build_jobs(), steps.build_job(months)],
        schedules=schedules.build_schedules(settings),
        sensors=[
            *alerts.build_alerts(settings),
            build_lost_runs(schedules.sensor_status(settings.automation)),
            *landing.build_sensors(settings, landed, lake, assets),
        ],
        resources={
            "io_manager": dg.IOManagerDefinition(
                lambda context: _io_manager(context, settings, inputs),
                required_resource_keys={"lake"},
            ),
            "lake": build_lake(lake, lease),
            "gate": Gate(settings, lake),
            # Opened once per run, so that all its steps see the source as of one moment.
            "source": dg.ResourceDefinition(
                lambda context: open_source(settings, engine, _run(context))
            ),
            # Needed by steps that come late, and started by the time that they come.
            "processes": dg.ResourceDefinition(lambda _: _processes(settings)),
            "settings": settings,
            "perk_catalogue": perk_catalogue,
        },
        executor=jobs.executor(settings, lease),
    )


def _groups(
    settings: Settings, strategies: Mapping[str, Strategy]
) -> dict[str, list[dg.AssetsDefinition]]:
    """The groups of the asset graph, from left to right: two layers, then the parts of gold."""
    return {
        "bronze": [*bronze.ASSETS],
        "silver": [*silver.ASSETS],
        "gold": [*cohort.build(), *features.ASSETS],
        "segments": segments.build(strategies),
        "evidence": evidence.build(strategies, unrestricted(settings)),
        "perks": perks.build(settings.strategy, strategies, settings.experiment.start),
        "prediction": prediction.build(settings.strategy, strategies),
        "experiment": [*experiment.ASSETS],
        "campaign": [offers.build(settings.strategy, strategies), *campaign.ASSETS],
        "learning": [*experiment.OF_CAMPAIGNS, *policies.build(strategies)],
        "reports": [*summaries.ASSETS, *reports.build(strategies)],
    }


def _io_manager(
    context: dg.InitResourceContext, settings: Settings, inputs: Inputs
) -> LakeIOManager:
    """The lake of a run. Opening it sweeps, and observes the inputs, once before the first step."""
    context.resources.lake.sweep()
    if context.run is not None and context.instance is not None:
        inputs.observe_once(context.instance, context.run)
    lake = context.resources.lake
    return LakeIOManager(lake, open_claim(settings, lake.storage, _told(context.run)))


def _processes(settings: Settings) -> Processes:
    """A process per core for what a step fits; one if several steps may be at work at a time."""
    if settings.executor != "in_process":
        return Processes(1)
    fitted = ("evidence.scorecard", "prediction.training")
    modules = [f"traveltide_assets.{name}" for name in fitted]
    return Processes(every_core(), [*modules, *MODULES.values()])


def _told(run: dg.DagsterRun | None) -> Told | None:
    """What a run was told about a lake of another source, by its tag."""
    value = run.tags.get(tags.LAKE) if run is not None else None
    try:
        return None if value is None else Told(value)
    except ValueError:
        raise SettingsError(
            f"the tag {tags.LAKE} of the run is {value!r}: write {' or '.join(Told)}, or remove it"
        ) from None


def _run(context: dg.InitResourceContext) -> Run:
    if context.run is None:
        return Run("outside-of-runs")
    labels = context.run.tags
    return Run(context.run.run_id, partitions.months_of_run(labels), tags.without(labels))


@dg.definitions
def defs() -> dg.Definitions:
    look_rarely()
    return build_definitions(load("once"))
