"""The experiment: who is in which half, what it can find out, and what it says."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.assets.describe import picture, preview
from traveltide_assets.campaign import invitations
from traveltide_assets.campaign.suppression import read_suppressed
from traveltide_assets.experiment import assignment, calendar, outcomes, plan, readout
from traveltide_assets.lake import Lake
from traveltide_assets.months import end_of
from traveltide_assets.partitions import ALL_UP_TO, MONTHLY
from traveltide_assets.report import charts
from traveltide_assets.settings import Settings
from traveltide_assets.transforms import cohort, traffic

_ASSIGNMENT = "gold/experiment_assignment"


@dg.asset(
    key_prefix="gold",
    kinds={"pandas"},
    partitions_def=MONTHLY,
    ins={"assigned": dg.AssetIn(["gold", "perk_assignments"])},
)
def experiment_assignment(
    settings: dg.ResourceParam[Settings], assigned: pd.DataFrame
) -> dg.MaterializeResult[pd.DataFrame]:
    suppressed = read_suppressed(settings.campaign.suppression_file)
    written_to = invitations.allowed(assigned["user_id"], suppressed)
    written_to &= ~invitations.held_out(assigned["user_id"], settings.campaign)
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
        "arms": dg.AssetIn(["gold", "experiment_assignment"]),
        "sessions": dg.AssetIn(["silver", "sessions_processed"], partition_mapping=ALL_UP_TO),
    },
    partitions_def=MONTHLY,
)
def experiment_plan_and_readout(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    lake: dg.ResourceParam[Lake],
    arms: pd.DataFrame,
    sessions: ibis.Table,
) -> Iterator[Any]:
    month, config = context.partition_key, settings.experiment
    end = end_of(month)
    sessions = sessions.filter(sessions.session_start < end)
    weeks = plan.weeks_of_history(traffic.first_session(sessions), end, config)
    weekly = traffic.by_week(sessions, lake.table(_ASSIGNMENT, [month]), end, weeks)
    planned = plan.plan(
        arms,
        weekly.to_pyarrow().to_pandas(),
        weeks,
        _followed(sessions, settings, month),
        config,
    )
    yield dg.Output(
        planned,
        output_name="experiment_plan",
        metadata={
            "power": picture(charts.power(planned)),
            "plan": preview(planned, rows=len(planned)),
        },
    )
    status = readout.status(config, month, lake.months(_ASSIGNMENT))
    read = _read(lake, sessions, settings, status.run) if status.run else readout.nothing()
    metadata: dict[str, Any] = {"status": status.words}
    if len(read):
        shown = read[["metric", "segment", "verdict", "in_words"]]
        metadata |= {
            "differences": picture(charts.differences(read)),
            "verdicts": preview(shown, rows=len(shown)),
        }
    yield dg.Output(read, output_name="experiment_readout", metadata=metadata)


def _followed(sessions: ibis.Table, settings: Settings, month: str) -> pd.DataFrame:
    """What the customers of an earlier cohort did in the weeks after it."""
    earlier = calendar.latest_followed_up(settings.experiment, month)
    chosen = cohort.active(sessions, settings.cohort, earlier)
    since = end_of(earlier)
    until = since + dt.timedelta(weeks=settings.experiment.weeks)
    counts = traffic.between(sessions, chosen, since, until)
    # In order, since the last digit of a mean depends on it.
    users = chosen.order_by("user_id").to_pyarrow().to_pandas()["user_id"]
    return outcomes.from_sessions(counts.to_pyarrow().to_pandas(), users)


def _read(lake: Lake, sessions: ibis.Table, settings: Settings, run: readout.Run) -> pd.DataFrame:
    """The readout; arms and segments are those of the month the experiment started from."""
    config = settings.experiment
    customers = lake.table(_ASSIGNMENT, [run.assigned_in])
    arms = lake.frame(_ASSIGNMENT, run.assigned_in)
    periods = ((run.start, run.until), (run.start - run.length, run.start))
    after, before = (
        outcomes.from_sessions(
            traffic.between(sessions, customers, *period).to_pyarrow().to_pandas(), arms["user_id"]
        )
        for period in periods
    )
    measured = outcomes.read_measured(config.outcomes_file) if config.outcomes_file else None
    return readout.read(arms, outcomes.joined(after, measured), before, config, run)
