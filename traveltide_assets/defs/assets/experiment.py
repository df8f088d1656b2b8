"""The experiment: assignment to arms, power analysis and readout; and what campaigns did."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.campaign import invitations, mailed, random_offers
from traveltide_assets.campaign.suppression import read_suppressed
from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.defs.assets.inputs import OUTCOMES, PERKS, SUPPRESSION_LIST
from traveltide_assets.defs.describe import picture, preview
from traveltide_assets.defs.gate import Gate
from traveltide_assets.defs.partitions import ALL_BEFORE, ALL_UP_TO, MONTHLY
from traveltide_assets.experiment import assignment, plan, plan_advice, readout, weekly_looks
from traveltide_assets.experiment import campaign_outcomes as outcomes
from traveltide_assets.experiment import campaign_readout as campaign_read
from traveltide_assets.experiment.tables import CAMPAIGN_OUTCOMES
from traveltide_assets.lake.lake import Lake, Months
from traveltide_assets.report import charts
from traveltide_assets.schema.sources import RAW
from traveltide_assets.settings import Settings
from traveltide_assets.transforms import traffic


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
        for name in ("experiment_plan", "experiment_readout", "experiment_looks")
    },
    ins={
        # The readout uses the arms of the month that the experiment started from.
        "arms": dg.AssetIn(["gold", "experiment_assignment"], partition_mapping=ALL_UP_TO),
        "sessions": dg.AssetIn(["silver", "sessions_processed"], partition_mapping=ALL_UP_TO),
        "responses": dg.AssetIn(["silver", "responses_processed"]),
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
    responses: ibis.Table,
) -> Iterator[Any]:
    month, config = context.partition_key, settings.experiment
    gate.require_sound(month, RAW)
    planned = plan.of_month(
        sessions, arms.table(month), arms[month], month, config, settings.cohort
    )
    yield dg.Output(
        planned,
        output_name="experiment_plan",
        metadata={
            "advice": "\n".join(plan_advice.advise(planned, config)),
            "power": picture(charts.power(planned)),
            "plan": preview(planned, rows=len(planned)),
        },
    )
    status = readout.status(config, month, list(arms))
    weekly = None
    if run := status.run:
        assigned = arms.table(run.assigned_in), arms[run.assigned_in]
        weekly = weekly_looks.of_run(sessions, responses, *assigned, config, run)
    metadata: dict[str, Any] = {"status": status.words}
    if weekly is not None:
        shown = weekly.read[["metric", "segment", "verdict", "in_words"]]
        metadata |= {
            "decision": f"Week {weekly.week}, {weekly.decided.verdict}: {weekly.decided.in_words}",
            "differences": picture(charts.differences(weekly.read)),
            "verdicts": preview(shown, rows=len(shown)),
        }
    read = readout.nothing() if weekly is None else weekly.read
    yield dg.Output(read, output_name="experiment_readout", metadata=metadata)
    seen = weekly_looks.nothing() if weekly is None else weekly.looks
    metadata = {"looks": preview(seen, rows=len(seen))}
    if len(seen):
        metadata["week_by_week"] = picture(charts.weekly_looks(seen))
    yield dg.Output(seen, output_name="experiment_looks", metadata=metadata)


_OUTCOMES = "gold/campaign_outcomes"


@dg.asset(
    key_prefix="gold",
    kinds={"duckdb"},
    partitions_def=MONTHLY,
    ins={
        "sessions": dg.AssetIn(["silver", "sessions_processed"], partition_mapping=ALL_UP_TO),
        **{
            name: dg.AssetIn(["silver", f"{name}_processed"])
            for name in ("responses", "users", "flights", "hotels")
        },
    },
    # A campaign of an earlier month is read from its release.
    deps=[dg.AssetDep(dg.AssetKey(["gold", "campaign"]), partition_mapping=ALL_BEFORE), PERKS],
)
def campaign_outcomes(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    lake: dg.ResourceParam[Lake],
    gate: dg.ResourceParam[Gate],
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    sessions: ibis.Table,
    responses: ibis.Table,
    users: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
) -> dg.MaterializeResult[pd.DataFrame]:
    """A closed campaign stays as it is; `experiment.reopen` computes it again."""
    month, config = context.partition_key, settings.experiment
    gate.require_sound(month, RAW)
    sources = outcomes.Sources(sessions, responses, users, flights, hotels)
    money = outcomes.Money(perk_catalogue, settings.economics.margin_rate, config.revenue_cap)
    closed = {} if config.reopen else _closed(lake, month)
    known = traffic.known_until(sessions)
    parts = [rows for stored_in, rows in closed.values() if stored_in == month]
    for name, sent in mailed.campaigns(lake.releases, config, month).items():
        horizon = outcomes.horizon_of(name, config.horizon_days, month, known)
        if horizon is None or name in closed:
            continue
        customers = outcomes.offered(sent.offers(), sent.arms())
        if sent.certain or outcomes.answered(customers, responses, horizon):
            parts.append(outcomes.of_campaign(customers, sources, horizon, money))
    found = pd.concat(parts, ignore_index=True) if parts else outcomes.nobody()
    late = {name: outcomes.late(rows, responses) for name, (_, rows) in closed.items()}
    sizes = found.groupby(["campaign", "arm"]).size().rename("customers").reset_index()
    return dg.MaterializeResult(
        value=found,
        metadata={
            "campaigns": preview(sizes, rows=100),
            "late_responses": dg.MetadataValue.json(late),
        },
    )


def _closed(lake: Lake, month: str) -> dict[str, tuple[str, pd.DataFrame]]:
    """The campaigns closed by a month: the month in which they were, and their outcomes."""
    found: dict[str, tuple[str, pd.DataFrame]] = {}
    for stored_in in lake.months(_OUTCOMES):
        if stored_in <= month:
            # Earlier versions stored fewer columns.
            rows = lake.frame(_OUTCOMES, stored_in).reindex(columns=CAMPAIGN_OUTCOMES.column_names)
            for name, each in rows[rows["closed"].astype(bool)].groupby("campaign"):
                found.setdefault(str(name), (stored_in, each))
    return found


@dg.asset(
    key_prefix="gold",
    kinds={"pandas"},
    partitions_def=MONTHLY,
    ins={"found": dg.AssetIn(["gold", "campaign_outcomes"])},
)
def campaign_readout(
    settings: dg.ResourceParam[Settings], found: pd.DataFrame
) -> dg.MaterializeResult[pd.DataFrame]:
    read = campaign_read.read(found, settings.experiment, settings.campaign.holdout_share)
    shown = read[["campaign", "comparison", "metric", "segment", "verdict", "in_words"]]
    overall = read[read["segment"] == assignment.EVERYBODY]
    drawn = {
        f"effects_{name.replace('-', '_')}": picture(
            charts.offer_effects(rows, dict(zip(*[rows["comparison"].unique()] * 2, strict=True)))
        )
        for name, rows in overall.groupby("campaign")
    }
    return dg.MaterializeResult(
        value=read, metadata={"verdicts": preview(shown, rows=100), **drawn}
    )


ASSETS = (experiment_assignment, experiment_plan_and_readout)
OF_CAMPAIGNS = (campaign_outcomes, campaign_readout)
