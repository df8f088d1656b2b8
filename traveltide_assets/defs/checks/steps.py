"""The checks in Dagster: one step of a run for each group, and a job that only runs checks."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import dagster as dg

from traveltide_assets.defs.beta import relied_on
from traveltide_assets.defs.checks import (
    campaign,
    decisions,
    every_table,
    evidence,
    experiment,
    ingestion,
    offers,
    prediction,
)
from traveltide_assets.defs.checks.check import Check, Context, Outcome, Severity, Step
from traveltide_assets.schema.table import Table

CHECK = "check"


def build(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> list[dg.AssetChecksDefinition]:
    """All checks, one definition per step."""
    return [_definition(step, tables, months) for step in every_step(tables)]


def every_step(tables: Mapping[str, Table]) -> list[Step]:
    """All steps with all checks. Every table gets its two, whether or not a step names it."""
    named = [
        *ingestion.STEPS,
        *decisions.STEPS,
        *evidence.STEPS,
        decisions.strategies(tables),
        *prediction.STEPS,
        *experiment.STEPS,
        *offers.STEPS,
        *campaign.STEPS,
    ]
    covered = {path for step in named for path in step.tables}
    alone = [
        Step(table.name.replace("/", "_"), (path,))
        for path, table in tables.items()
        if path not in covered
    ]
    return [_whole(step, tables) for step in (*named, *alone)]


def _whole(step: Step, tables: Mapping[str, Table]) -> Step:
    basic = [check for path in step.tables for check in every_table.checks(tables[path])]
    return replace(step, checks=(*basic, *step.checks))


def build_job(months: dg.PartitionsDefinition) -> "dg.UnresolvedAssetJobDefinition":
    """A job that evaluates every check of a chosen month, and nothing else.

    In the UI of Dagster 1.13, *Execute all* of an asset evaluates its checks for the latest month,
    and *Execute* of a single check is disabled for partitioned assets ("Executing checks on their
    own for partitioned assets is not yet supported").
    """
    return dg.define_asset_job(
        CHECK,
        dg.AssetSelection.all_asset_checks(),
        description="Evaluates every check of a month on the stored tables. Computes no table.",
        # A job takes its partitions from its assets, and this one has no assets.
        config=dg.PartitionedConfig(months, run_config_for_partition_key_fn=lambda _: {}),
    )


def _definition(
    step: Step, tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    checks = {check_key(check): check for check in step.checks}
    specs = {key: _spec(check, tables, months) for key, check in checks.items()}
    source = {"source"} if step.reads_source else set()

    @dg.multi_asset_check(
        name=f"{step.name}_checks",
        specs=list(specs.values()),
        # Allows executing one check, or the checks of one asset, without the others.
        can_subset=True,
        required_resource_keys={"gate", "lake", "settings", "perk_catalogue", *source},
    )
    def evaluate(context: dg.AssetCheckExecutionContext) -> Iterator[Any]:
        seen = context_of(context.op_execution_context, tables, months)
        for key, check in checks.items():
            if key in context.selected_asset_check_keys:
                yield from _evaluated(check, specs[key], seen)

    return evaluate


def context_of(
    run: dg.OpExecutionContext, tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> Context:
    """What checks can read in a run."""
    has_months = run.has_partition_key or run.has_partition_key_range
    return Context(
        tables=tables,
        lake=run.resources.lake,
        settings=run.resources.settings,
        perks=run.resources.perk_catalogue,
        months=tuple(run.partition_keys) if has_months else (),
        every_month=tuple(months.get_partition_keys()),
        opened_source=getattr(run.resources, "source", None),
        recorded=partial(_recorded, run.instance),
        known=run.resources.gate.known,
    )


def _recorded(instance: dg.DagsterInstance, path: str, month: str | None) -> Mapping[str, object]:
    months = None if month is None else [month]
    wanted = dg.AssetRecordsFilter(asset_key=_asset(path), asset_partitions=months)
    for record in instance.fetch_materializations(wanted, limit=1).records:
        if record.asset_materialization is not None:
            found = record.asset_materialization.metadata
            return {name: value.value for name, value in found.items()}
    return {}


def _spec(
    check: Check, tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetCheckSpec:
    with relied_on():
        return dg.AssetCheckSpec(
            check.name,
            asset=_asset(check.table),
            description=check.description,
            blocking=check.blocking,
            additional_deps=[_asset(path) for path in check.after],
            partitions_def=months if tables[check.table].partitioned else None,
        )


def _result(check: Check, outcome: Outcome) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity
    is_error = check.severity is Severity.ERROR and not outcome.only_warns
    return dg.AssetCheckResult(
        asset_key=_asset(check.table),
        check_name=check.name,
        # Comparisons of frames give NumPy booleans, which Dagster does not accept.
        passed=bool(outcome.passed),
        severity=severity.ERROR if is_error else severity.WARN,
        metadata=dict(outcome.facts),  # type: ignore[arg-type]
    )


def _evaluated(check: Check, spec: dg.AssetCheckSpec, context: Context) -> Iterator[Any]:
    """The result of a check in the form that Dagster expects."""
    if context.months or spec.partitions_def is None:
        yield _result(check, check.outcome(context))
        return
    # *Execute all* in the UI gives no month, and Dagster 1.13 then cannot turn the result of a
    # partitioned check into an evaluation: "Cannot access partition_key for a non-partitioned run".
    # So the evaluation is made here, for the latest month in the lake.
    latest = context.of_latest_month(check.table)
    result = _result(check, check.outcome(latest))
    yield dg.Output(None, spec.get_python_identifier())
    yield dg.AssetCheckEvaluation(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        blocking=spec.blocking,
        partition=latest.month,
    )


def check_key(check: Check) -> dg.AssetCheckKey:
    """Dagster's key of a check."""
    return dg.AssetCheckKey(_asset(check.table), check.name)


def _asset(path: str) -> dg.AssetKey:
    return dg.AssetKey(path.split("/"))
