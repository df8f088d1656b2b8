"""What each way of choosing offers would be worth, from what was left to chance."""

from collections.abc import Mapping

import dagster as dg
import pandas as pd

from traveltide_assets.defs.describe import picture, preview
from traveltide_assets.defs.partitions import ALL_UP_TO, MONTHLY
from traveltide_assets.experiment import policy_scorecard as scorecard
from traveltide_assets.experiment.assignment import EXPLORATION
from traveltide_assets.lake.lake import Lake, Months
from traveltide_assets.report import charts
from traveltide_assets.segmentation.scaling import NUMERIC
from traveltide_assets.segmentation.strategy import Strategy
from traveltide_assets.settings import Settings


def build(strategies: Mapping[str, Strategy]) -> list[dg.AssetsDefinition]:
    """The asset `gold/policy_scorecard`, which values what these strategies would have chosen."""
    named = tuple(strategies)

    @dg.asset(
        key_prefix="gold",
        kinds={"scikit-learn"},
        partitions_def=MONTHLY,
        ins={
            "found": dg.AssetIn(["gold", "campaign_outcomes"], partition_mapping=ALL_UP_TO),
            "features": dg.AssetIn(["gold", "user_features"], partition_mapping=ALL_UP_TO),
            "assigned": dg.AssetIn(["gold", "perk_assignments"], partition_mapping=ALL_UP_TO),
        },
    )
    def policy_scorecard(
        settings: dg.ResourceParam[Settings],
        lake: dg.ResourceParam[Lake],
        found: Months,
        features: Months,
        assigned: Months,
    ) -> dg.MaterializeResult[pd.DataFrame]:
        """Empty until offers were drawn for exploration in a campaign that is closed."""
        outcomes = pd.concat([found[month] for month in found], ignore_index=True)
        drawn = set(outcomes.loc[outcomes["arm"] == EXPLORATION, "campaign"])
        campaigns = sorted(drawn & set(features) & set(assigned))
        log = None
        if campaigns:
            known = _of(features, campaigns)
            names = settings.policy.allowed(name for name in NUMERIC if name in known)
            log = scorecard.explored(outcomes, known[["campaign", "user_id", *names]])
        if log is None:
            words = "No closed campaign has offers that were drawn: there is nothing to learn from."
            return dg.MaterializeResult(value=scorecard.nothing(), metadata={"verdict": words})
        choices = {
            name: pd.concat([_stored(lake, name, campaign) for campaign in campaigns])
            for name in named
        }
        choices[scorecard.INCUMBENT] = _of(assigned, campaigns)[["campaign", "user_id", "perk"]]
        judgement = scorecard.judged(log, choices, settings.seed)
        table = scorecard.table(log, judgement)
        return dg.MaterializeResult(
            value=table,
            metadata={
                "verdict": judgement.in_words,
                "values": picture(charts.policy_values(table, {n: n for n in table["policy"]})),
                "policies": preview(table, rows=len(table)),
            },
        )

    return [policy_scorecard]


def _of(stored: Months, campaigns: list[str]) -> pd.DataFrame:
    return pd.concat([stored[name].assign(campaign=name) for name in campaigns], ignore_index=True)


def _stored(lake: Lake, strategy: str, campaign: str) -> pd.DataFrame:
    """What a strategy chose in a month; nothing if it was not computed then."""
    rows = lake.stored_frame(f"gold/segments/{strategy}", campaign)
    if rows is None:
        return pd.DataFrame({"campaign": [], "user_id": [], "perk": []})
    return rows[["user_id", "perk"]].assign(campaign=campaign)
