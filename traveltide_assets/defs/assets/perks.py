"""One perk per customer, by the strategy that decides."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.campaign import steady
from traveltide_assets.catalogue.perks import (
    Perk,
    alternatives,
    features_of,
    titles,
    to_frame,
)
from traveltide_assets.defs.assets.inputs import PERKS, chosen, chosen_by, rivals_of
from traveltide_assets.defs.describe import picture, preview
from traveltide_assets.defs.learned import in_service
from traveltide_assets.defs.partitions import ALL_BEFORE, MONTHLY, PREVIOUS
from traveltide_assets.evidence.config import LEARNED
from traveltide_assets.experiment import learned_policy
from traveltide_assets.experiment.periods import month_of_assignment, runs_in_campaign
from traveltide_assets.lake.lake import Lake, Months
from traveltide_assets.report import charts
from traveltide_assets.schema.months import previous_month
from traveltide_assets.segmentation import affinities, tables
from traveltide_assets.segmentation.strategy import Strategy
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.features.config import Policy

_FEATURES = dg.AssetIn(["gold", "user_features"], dagster_type=pd.DataFrame)


def build(
    setting: str, strategies: Mapping[str, Strategy], start: dt.date | None
) -> list[dg.AssetsDefinition]:
    """The segments and perks of the deciding strategy, and the catalogue they come from.

    A strategy that the setting names decides without waiting for the others. `start` is the first
    day of the experiment, if there is one.
    """
    rivals = rivals_of(setting, strategies)
    return [_decided_segments(rivals, setting == LEARNED), _perk_assignments(start), perk_catalogue]


def _decided_segments(rivals: Mapping[str, Strategy], learns: bool) -> dg.AssetsDefinition:
    """`learns` says whether the learned policy gives the perks, as soon as there is one."""
    segments = {f"segments_{name}": name for name in rivals}

    @dg.asset(
        key_prefix="gold",
        kinds={"pandas"},
        partitions_def=MONTHLY,
        ins={
            **chosen_by(rivals),
            **{
                name: dg.AssetIn(["gold", "segments", strategy], dagster_type=Months)
                for name, strategy in segments.items()
            },
            **({"features": _FEATURES} if learns else {}),
        },
    )
    def decided_segments(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        lake: dg.ResourceParam[Lake],
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
        **stored: Any,
    ) -> dg.MaterializeResult[pd.DataFrame]:
        month, strategy = context.partition_key, chosen(rivals, stored)
        customers = stored[f"segments_{strategy}"][month]
        if customers.empty:
            raise dg.Failure(
                f"the deciding strategy, {strategy}, has too little history in {month} to assign "
                "perks: decide a later month, or set another strategy",
                allow_retries=False,
            )
        if "model_version" not in customers:
            customers["model_version"] = lake.digest(f"gold/segments/{strategy}", month)[:12]
        decided, said = customers.assign(strategy=strategy), strategy
        if learns:
            policy = in_service(lake, month)
            ours = policy.of([perk.id for perk in perk_catalogue]) if policy is not None else None
            if ours is not None:
                decided = ours.decide(decided, _known(stored["features"], ours, settings.policy))
            said = f"{learned_policy.because(ours)}: {strategy}"
        columns = tables.decided_segments(perk.id for perk in perk_catalogue).column_names
        return dg.MaterializeResult(
            value=decided.reindex(columns=columns), metadata={"strategy": said}
        )

    return decided_segments


def _known(
    features: pd.DataFrame, learnt: learned_policy.LearnedPolicy, policy: Policy
) -> pd.DataFrame:
    """The features that the policy reads and may read, with `user_id`."""
    permitted = policy.allowed(learnt.features)
    return features[["user_id", *(name for name in permitted if name in features)]]


def _perk_assignments(start: dt.date | None) -> dg.AssetsDefinition:
    @dg.asset(
        key_prefix="gold",
        kinds={"pandas"},
        partitions_def=MONTHLY,
        ins={
            "features": dg.AssetIn(["gold", "user_features"]),
            "customers": dg.AssetIn(["gold", "decided_segments"]),
            # An experiment holds the perks of its start, which may be any earlier month.
            "decided": dg.AssetIn(
                ["gold", "perk_assignments"],
                partition_mapping=ALL_BEFORE if start else PREVIOUS,
                dagster_type=Months,
            ),
        },
        deps=[PERKS],
    )
    def perk_assignments(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
        features: ibis.Table,
        customers: pd.DataFrame,
        decided: Months,
    ) -> dg.MaterializeResult[pd.DataFrame]:
        month = context.partition_key
        weighed = features.select("user_id", *sorted(features_of(perk_catalogue)))
        known = weighed.order_by("user_id").to_pyarrow().to_pandas()
        own = affinities.assignments(known, customers, perk_catalogue)
        running = start and runs_in_campaign(settings.experiment, month)
        assignments = steady.steadied(
            own,
            decided.get(previous_month(month)),
            decided.get(month_of_assignment(start)) if start and running else None,
            alternatives(perk_catalogue, own["perk"].unique()),
            settings.decision.keep_margin,
        ).assign(as_of_month=month)
        return dg.MaterializeResult(
            value=assignments,
            metadata={
                "strategy": str(customers["strategy"].iloc[0]),
                "steadiness": preview(_counted(assignments["steadiness"]), rows=100),
                "perks": picture(charts.perk_counts(assignments, titles(perk_catalogue))),
            },
        )

    return perk_assignments


def _counted(steadiness: pd.Series) -> pd.DataFrame:
    return steadiness.value_counts(sort=False).sort_index().rename("customers").reset_index()


@dg.asset(key_prefix="gold", kinds={"pandas"}, partitions_def=MONTHLY, deps=[PERKS])
def perk_catalogue(
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
) -> dg.MaterializeResult[pd.DataFrame]:
    return dg.MaterializeResult(value=to_frame(perk_catalogue))
