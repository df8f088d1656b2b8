"""Gold: was the draw of the experiment fair, and may its readout be believed?"""

from collections.abc import Iterator, Mapping

import dagster as dg

from traveltide_assets.contracts import Table
from traveltide_assets.defs.checks import contracts
from traveltide_assets.defs.checks.results import declare, report
from traveltide_assets.experiment import assignment, calendar, readout
from traveltide_assets.lake import Lake
from traveltide_assets.settings import Settings


def build(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> list[dg.AssetChecksDefinition]:
    """One step of checks for the assignment, one for what follows from it."""
    return [_assignment(tables, months), _readout(tables, months)]


def _assignment(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    arms, features = tables["gold/experiment_assignment"], tables["gold/user_features"]

    @dg.multi_asset_check(
        name="experiment_assignment_checks",
        specs=[
            *contracts.declarations([arms], months),
            declare(
                arms,
                "sample_ratio",
                "The halves are as large as the ratio says, over all and in each segment.",
                months,
                blocking=True,
            ),
            declare(
                arms,
                "sticky",
                "Whoever was in the experiment when it started is still in the same half.",
                months,
                blocking=True,
            ),
            declare(
                arms,
                "balance",
                "The halves are alike in every feature.",
                months,
                after=(features,),
            ),
        ],
    )
    def checks(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[dg.AssetCheckResult]:
        month, config = context.op_execution_context.partition_key, settings.experiment
        yield from contracts.evaluate([arms], lake, [month])
        assigned = lake.frame(arms.path, month)
        p_values = assignment.mismatches(assigned, config.ratio)
        yield report(
            arms,
            "sample_ratio",
            min(p_values.values()) >= config.mismatch_alpha,
            {"p_values": p_values, "limit": config.mismatch_alpha, "ratio": config.ratio},
        )
        first = calendar.month_of_assignment(config.start) if config.start else month
        before = lake.stored_frame(arms.path, first) if first < month else None
        moved = 0
        if before is not None:
            both = before.merge(assigned, on="user_id", suffixes=("_before", ""))
            moved = int((both["arm"] != both["arm_before"]).sum())
        yield report(
            arms, "sticky", moved == 0, {"customers_in_the_other_half": moved, "since": first}
        )
        found = assignment.balance(assigned, lake.frame(features.path, month))
        yield report(
            arms,
            "balance",
            found.largest <= config.max_imbalance,
            {
                "differing": dict(found.beyond(config.max_imbalance)),
                "largest_difference_sd": found.largest,
                "smallest_p_holm": float(found.features["p_holm"].min()),
                "p_value_of_all_features": found.p_value,
                "limit": config.max_imbalance,
            },
            warn=True,
        )

    return checks


def _readout(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    plan, read = tables["gold/experiment_plan"], tables["gold/experiment_readout"]
    arms = tables["gold/experiment_assignment"]

    @dg.multi_asset_check(
        name="experiment_checks",
        specs=[
            *contracts.declarations([plan, read], months),
            declare(read, "readable", "What was started can be read.", months, after=(arms,)),
            declare(read, "no_peeking", "Nobody reads before the planned end.", months),
            declare(read, "complete", "No half lacks more outcomes than the other.", months),
        ],
    )
    def checks(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[dg.AssetCheckResult]:
        month, config = context.op_execution_context.partition_key, settings.experiment
        yield from contracts.evaluate([plan, read], lake, [month])
        status = readout.status(config, month, lake.months(arms.path))
        begun = calendar.has_begun(config, month)
        told = {"status": status.words}
        yield report(read, "readable", status.run is not None or not begun, told, warn=True)
        peeking = status.run is not None and status.run.peeking
        yield report(read, "no_peeking", not peeking, told, warn=True)
        rows = lake.frame(read.path, month)
        lost = sorted(set(rows.loc[rows["verdict"] == readout.LOST, "metric"]))
        yield report(read, "complete", not lost, {"metrics": lost}, warn=True)

    return checks
