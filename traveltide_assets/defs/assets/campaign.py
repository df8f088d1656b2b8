"""The campaign: who is invited with which perk, and what changed since last month."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd

from traveltide_assets.campaign import mailing
from traveltide_assets.campaign.invitations import too_young
from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.defs.assets.inputs import PERKS, SUPPRESSION_LIST
from traveltide_assets.defs.describe import counts, preview
from traveltide_assets.defs.io_manager import OPTIONAL
from traveltide_assets.defs.partitions import MONTHLY, PREVIOUS
from traveltide_assets.lake.lake import Lake
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.cohort import describe

# Where earlier versions put the files of the mailing tool, before the checks. None may stay there.
_FORMER = "gold/campaign_files"


@dg.multi_asset(
    name="campaign",
    outs={
        name: dg.AssetOut(key=["gold", name], dagster_type=pd.DataFrame, kinds={"pandas"})
        for name in ("campaign", "campaign_changes")
    },
    ins={
        "assigned": dg.AssetIn(["gold", "perk_assignments"]),
        "offers": dg.AssetIn(["gold", "offers"]),
        "arms": dg.AssetIn(["gold", "experiment_assignment"]),
        "users": dg.AssetIn(["gold", "users_final"]),
        "before": dg.AssetIn(["gold", "campaign"], partition_mapping=PREVIOUS, metadata=OPTIONAL),
    },
    deps=[PERKS, SUPPRESSION_LIST],
    partitions_def=MONTHLY,
)
def campaign_and_changes(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    lake: dg.ResourceParam[Lake],
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    assigned: pd.DataFrame,
    offers: pd.DataFrame,
    arms: pd.DataFrame,
    users: pd.DataFrame,
    before: pd.DataFrame | None,
) -> Iterator[Any]:
    month = context.partition_key
    mailed = mailing.prepare(
        month,
        settings.campaign,
        settings.experiment,
        settings.exploration,
        describe(settings.cohort, month),
        perk_catalogue,
        assigned,
        offers,
        arms,
        before,
        too_young(users, settings.cohort.minimum_age, month),
    )
    lake.write_text(mailing.PATH, month, mailing.FACTS, mailing.as_json(mailed.facts))
    for name in lake.file_names(_FORMER, month):
        lake.remove(_FORMER, month, name)
    yield dg.Output(
        mailed.campaign,
        output_name="campaign",
        metadata={
            "facts": dg.MetadataValue.json(mailed.facts),
            "customers": counts(mailed.facts["customers"], "customers"),
        },
    )
    yield dg.Output(
        mailed.changes,
        output_name="campaign_changes",
        metadata={"changes": preview(_summed(mailed.changes), rows=100)},
    )


def _summed(changes: pd.DataFrame) -> pd.DataFrame:
    """The number of customers per kind of change, perk before and perk now."""
    shown = changes.fillna({"perk_before": "-", "perk": "-"})
    sizes = shown.groupby(["change", "perk_before", "perk"]).size()
    return sizes.rename("customers").reset_index()


ASSETS = (campaign_and_changes,)
