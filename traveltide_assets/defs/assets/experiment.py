"""The experiment: the random assignment to arms, the power analysis and the readout."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.campaign import invitations, random_offers
from traveltide_assets.campaign.suppression import read_suppressed
from traveltide_assets.defs.assets.inputs import OUTCOMES, SUPPRESSION_LIST
from traveltide_assets.defs.describe import picture, preview
from traveltide_assets.defs.gate import Gate
from traveltide_assets.defs.partitions import ALL_UP_TO, MONTHLY
from traveltide_assets.experiment import assignment, plan, readout, stopping
from traveltide_assets.lake.lake import Months
from traveltide_assets.report import charts
from traveltide_assets.settings import Settings


@dg.asset(
    key_prefix="gold",
    kinds={"pandas"},
    partitions_def=MONTHLY,
    ins={
        "assigned": dg.AssetIn(["gold", "perk_assignments"]),
        "users": dg.AssetIn(["gold", "users_final"]),
    },
    deps=[SUPPRESSION_LIST],
)
def experiment_assignment(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    assigned: pd.DataFrame,
    users: pd.DataFrame,
) -> dg.MaterializeResult[pd.DataFrame]:
    young = invitations.too_young(users, settings.cohort.minimum_age, context.partition_key)
    suppressed = read_suppressed(settings.campaign.suppression_file).with_others(young)
    written_to = invitations.allowed(assigned["user_id"], suppressed)
    written_to &= ~invitations.held_out(assigned["user_id"], settings.campaign)
    # Their perk is drawn at random, so they are in neither arm.
    written_to &= ~random_offers.explores(assigned["user_id"], settings.exploration)
    arms = assignment.assign(assigned[written_to], settings.experiment)
    sizes = pd.crosstab(arms["segment"], arms["arm"]).reset_index()
    return dg.MaterializeResult(value=arms, metadata={"customers": preview(sizes, rows=len(sizes))})


@dg.multi_asset(
    name="experiment",
    outs={
        name: dg.AssetOut(key=["gold", name], dagster_type=pd.DataFrame, kinds={"statsmodels"})
        for name in ("experiment_plan", "experiment_readout")
    },
    ins={
        # The readout uses the arms of the month that the experiment started from.
        "arms": dg.AssetIn(["gold", "experiment_assignment"], partition_mapping=ALL_UP_TO),
        "sessions": dg.AssetIn(["silver", "sessions_processed"], partition_mapping=ALL_UP_TO),
    },
    deps=[OUTCOMES],
    partitions_def=MONTHLY,
)
def experiment_plan_and_readout(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    gate: dg.ResourceParam[Gate],
    arms: Months,
    sessions: ibis.Table,
) -> Iterator[Any]:
    month, config = context.partition_key, settings.experiment
    gate.require_sound(month)
    planned = plan.of_month(
        sessions, arms.table(month), arms[month], month, config, settings.cohort
    )
    yield dg.Output(
        planned,
        output_name="experiment_plan",
        metadata={
            "power": picture(charts.power(planned)),
            "plan": preview(planned, rows=len(planned)),
        },
    )
    status = readout.status(config, month, list(arms))
    read = readout.nothing()
    if run := status.run:
        assigned = arms.table(run.assigned_in), arms[run.assigned_in]
        read = readout.of_run(sessions, *assigned, config, run)
    metadata: dict[str, Any] = {"status": status.words}
    if len(read):
        shown = read[["metric", "segment", "verdict", "in_words"]]
        decided = stopping.decide(read, bool(read["peek"].any()), config)
        metadata |= {
            "decision": f"{decided.verdict}: {decided.in_words}",
            "differences": picture(charts.differences(read)),
            "verdicts": preview(shown, rows=len(shown)),
        }
    yield dg.Output(read, output_name="experiment_readout", metadata=metadata)


ASSETS = (experiment_assignment, experiment_plan_and_readout)
