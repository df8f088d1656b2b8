"""What each customer is offered, and what another budget would bring."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.campaign import eligibility, offers
from traveltide_assets.campaign.invitations import too_young
from traveltide_assets.campaign.suppression import read_suppressed
from traveltide_assets.catalogue.perks import Perk, Program
from traveltide_assets.defs.assets.inputs import PERKS, SUPPRESSION_LIST, chosen, chosen_by
from traveltide_assets.defs.describe import picture, preview
from traveltide_assets.defs.learned import in_service
from traveltide_assets.defs.partitions import MONTHLY
from traveltide_assets.evidence.config import LEARNED
from traveltide_assets.lake.lake import Lake
from traveltide_assets.report import charts
from traveltide_assets.segmentation.strategy import Strategy
from traveltide_assets.segmentation.trait_behaviour import INPUTS
from traveltide_assets.settings import Settings


def build(setting: str, strategies: Mapping[str, Strategy]) -> dg.AssetsDefinition:
    """The offers of a month, and its budget curve. `setting` is `strategy`."""
    programs: dict[str, Program] = {name: made.program for name, made in strategies.items()}
    # The learned policy refines a strategy, which forms the segments.
    refined = chosen_by(strategies) if setting == LEARNED else {}

    @dg.multi_asset(
        name="offers",
        outs={
            name: dg.AssetOut(key=["gold", name], dagster_type=pd.DataFrame, kinds={"pandas"})
            for name in ("offers", "budget_curve")
        },
        ins={
            "assigned": dg.AssetIn(["gold", "perk_assignments"]),
            "customers": dg.AssetIn(["gold", "decided_segments"]),
            "arms": dg.AssetIn(["gold", "experiment_assignment"]),
            "features": dg.AssetIn(["gold", "user_features"]),
            "users": dg.AssetIn(["gold", "users_final"]),
            **refined,
        },
        deps=[PERKS, SUPPRESSION_LIST],
        partitions_def=MONTHLY,
    )
    def offers_and_budget_curve(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
        lake: dg.ResourceParam[Lake],
        assigned: pd.DataFrame,
        customers: pd.DataFrame,
        arms: pd.DataFrame,
        features: ibis.Table,
        users: pd.DataFrame,
        **stored: pd.DataFrame,
    ) -> Iterator[Any]:
        month, strategy = context.partition_key, str(customers["strategy"].iloc[0])
        policy = in_service(lake, month) if strategy == LEARNED else None
        if strategy == LEARNED:
            strategy = chosen(strategies, stored)
        young = too_young(users, settings.cohort.minimum_age, month)
        suppressed = read_suppressed(settings.campaign.suppression_file).with_others(young)
        needed = {"user_id", *eligibility.features_needed(perk_catalogue), *INPUTS}
        if policy is not None:
            needed |= set(settings.policy.allowed(policy.features)) & set(features.columns)
        rules = offers.Rules(
            month,
            perk_catalogue,
            programs[strategy],
            settings.campaign,
            settings.experiment,
            settings.exploration,
            settings.economics,
        )
        known = features.select(*sorted(needed)).order_by("user_id").to_pyarrow().to_pandas()
        decided, curve = offers.decide(assigned, customers, known, suppressed, arms, rules, policy)
        yield dg.Output(
            decided,
            output_name="offers",
            metadata={
                "offers": preview(_counted(decided, ["arm", "offer"]), rows=100),
                "because": preview(_counted(decided, ["because"]), rows=100),
            },
        )
        yield dg.Output(
            curve,
            output_name="budget_curve",
            metadata={
                "curve": picture(charts.budget(curve)),
                "budgets": preview(curve, rows=len(curve)),
            }
            if len(curve)
            else {},
        )

    return offers_and_budget_curve


def _counted(offers: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    sizes = offers.groupby(by).agg(
        customers=("user_id", "size"), expected_cost_usd=("expected_cost_usd", "sum")
    )
    return sizes.reset_index()
