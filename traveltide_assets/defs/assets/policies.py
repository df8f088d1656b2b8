"""What each way of choosing offers would be worth, from what was left to chance."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from traveltide_assets.defs.describe import picture, preview
from traveltide_assets.defs.partitions import ALL_BEFORE, ALL_UP_TO, MONTHLY
from traveltide_assets.experiment import learned_policy
from traveltide_assets.experiment import policy_scorecard as scorecard
from traveltide_assets.experiment.assignment import EXPLORATION
from traveltide_assets.experiment.learned_policy import LearnedPolicy
from traveltide_assets.lake.lake import Lake, Months
from traveltide_assets.report import charts
from traveltide_assets.segmentation.scaling import NUMERIC
from traveltide_assets.segmentation.strategy import Strategy
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.features.config import Policy


def build(strategies: Mapping[str, Strategy]) -> list[dg.AssetsDefinition]:
    """The scorecard of what these strategies would have chosen, and the learned policy."""
    named = tuple(strategies)

    @dg.multi_asset(
        name="policies",
        outs={
            name: dg.AssetOut(key=["gold", name], dagster_type=pd.DataFrame, kinds={"scikit-learn"})
            for name in ("learned_policy", "policy_scorecard")
        },
        ins={
            "found": dg.AssetIn(["gold", "campaign_outcomes"], partition_mapping=ALL_UP_TO),
            "features": dg.AssetIn(["gold", "user_features"], partition_mapping=ALL_UP_TO),
            "assigned": dg.AssetIn(["gold", "perk_assignments"], partition_mapping=ALL_UP_TO),
            # The policy in service may have been promoted in any earlier month.
            "served": dg.AssetIn(["gold", "learned_policy"], partition_mapping=ALL_BEFORE),
        },
        partitions_def=MONTHLY,
    )
    def policy_scorecard(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        lake: dg.ResourceParam[Lake],
        found: Months,
        features: Months,
        assigned: Months,
        served: Months,
    ) -> Iterator[Any]:
        """Empty until offers were drawn for exploration in a campaign that is closed."""
        before = served[max(served)] if len(served) else None
        log, campaigns = _explored(found, features, assigned, settings.policy)
        if log is None:
            rows = learned_policy.nothing() if before is None else before
            yield dg.Output(rows, output_name="learned_policy")
            yield dg.Output(
                scorecard.nothing(),
                output_name="policy_scorecard",
                metadata={"verdict": scorecard.too_few(_all(found))},
            )
            return
        choices = {
            name: pd.concat([_stored(lake, name, campaign) for campaign in campaigns])
            for name in named
        }
        choices[scorecard.INCUMBENT] = _of(assigned, campaigns)[["campaign", "user_id", "perk"]]
        policy = None if before is None else LearnedPolicy.from_frame(before)
        if policy is not None:
            choices[learned_policy.IN_SERVICE] = learned_policy.choices(policy, log)
        judgement = scorecard.judged(log, choices, settings.seed)
        rows, became = learned_policy.updated(before, log, judgement, context.partition_key)
        # First, since each table depends on the policies of earlier months.
        yield dg.Output(
            rows,
            output_name="learned_policy",
            metadata={"in_service": became, "policy": preview(rows, rows=100)},
        )
        table = scorecard.table(log, judgement)
        yield dg.Output(
            table,
            output_name="policy_scorecard",
            metadata={
                "verdict": scorecard.in_words(log, judgement),
                "values": picture(charts.policy_values(table, {n: n for n in table["policy"]})),
                "policies": preview(table, rows=len(table)),
            },
        )

    return [policy_scorecard]


def _explored(
    found: Months, features: Months, assigned: Months, policy: Policy
) -> tuple[scorecard.Explored | None, list[str]]:
    """The log of what was drawn, None without enough of it, and the campaigns it is of."""
    outcomes = _all(found)
    drawn = set(outcomes.loc[outcomes["arm"] == EXPLORATION, "campaign"])
    campaigns = sorted(drawn & set(features) & set(assigned))
    if not campaigns:
        return None, []
    known = _of(features, campaigns)
    names = policy.allowed(name for name in NUMERIC if name in known)
    return scorecard.explored(outcomes, known[["campaign", "user_id", *names]]), campaigns


def _all(found: Months) -> pd.DataFrame:
    return pd.concat([found[month] for month in found], ignore_index=True)


def _of(stored: Months, campaigns: list[str]) -> pd.DataFrame:
    return pd.concat([stored[name].assign(campaign=name) for name in campaigns], ignore_index=True)


def _stored(lake: Lake, strategy: str, campaign: str) -> pd.DataFrame:
    """What a strategy chose in a month; nothing if it was not computed then."""
    rows = lake.stored_frame(f"gold/segments/{strategy}", campaign)
    if rows is None:
        return pd.DataFrame({"campaign": [], "user_id": [], "perk": []})
    return rows[["user_id", "perk"]].assign(campaign=campaign)
