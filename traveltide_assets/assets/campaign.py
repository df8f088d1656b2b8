"""The campaign: who is invited with what, what changed, and the files of the mailing tool."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd

from traveltide_assets.assets.describe import counts, preview
from traveltide_assets.campaign import invitations, mailing
from traveltide_assets.campaign.suppression import read_suppressed
from traveltide_assets.experiment import assignment, calendar
from traveltide_assets.lake import Lake
from traveltide_assets.months import previous_month
from traveltide_assets.partitions import MONTHLY
from traveltide_assets.segmentation.perks import Perk
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.cohort import describe


@dg.multi_asset(
    name="campaign",
    outs={
        name: dg.AssetOut(key=["gold", name], dagster_type=pd.DataFrame, kinds={"pandas", "csv"})
        for name in ("campaign", "campaign_changes")
    },
    ins={
        "assigned": dg.AssetIn(["gold", "perk_assignments"]),
        "arms": dg.AssetIn(["gold", "experiment_assignment"]),
    },
    partitions_def=MONTHLY,
)
def campaign_and_changes(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    lake: dg.ResourceParam[Lake],
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    assigned: pd.DataFrame,
    arms: pd.DataFrame,
) -> Iterator[Any]:
    month, before = context.partition_key, previous_month(context.partition_key)
    suppressed = read_suppressed(settings.campaign.suppression_file)
    running = calendar.runs_in_campaign(settings.experiment, month)
    campaign = invitations.invite(
        assigned,
        suppressed,
        settings.campaign,
        assignment.headlines(perk_catalogue, settings.experiment),
        arms.set_index("user_id")["offer"] if running else None,
    )
    earlier = lake.stored_frame("gold/campaign", before)
    changes = invitations.changed(campaign, earlier, suppressed)
    files = mailing.files(campaign)
    facts = mailing.Facts(
        month=month,
        cohort_rule=describe(settings.cohort, month),
        strategy=settings.strategy,
        model_version=", ".join(sorted(assigned["model_version"].unique())),
        holdout_share=settings.campaign.holdout_share,
        experiment=_experiment(settings, running, arms),
        compared_with=before if earlier is not None else None,
    )
    manifest = mailing.manifest(
        campaign, changes, files, len(assigned), suppressed, perk_catalogue, facts
    )
    folder = _write(lake, month, files, manifest)
    yield dg.Output(
        campaign,
        output_name="campaign",
        metadata={
            "files": dg.MetadataValue.path(folder),
            "manifest": dg.MetadataValue.json(manifest),
            "customers": counts(manifest["customers"], "customers"),
        },
    )
    yield dg.Output(
        changes,
        output_name="campaign_changes",
        metadata={"changes": preview(_summed(changes), rows=100)},
    )


def _experiment(settings: Settings, running: bool, arms: pd.DataFrame) -> dict[str, Any]:
    """What the manifest says of the experiment."""
    if not running:
        return {"running": False}
    sizes = arms["arm"].value_counts()
    return {
        "running": True,
        "start": str(settings.experiment.start),
        "control_offer": settings.experiment.control_offer,
        "customers": {arm: int(sizes.get(arm, 0)) for arm in assignment.ARMS},
    }


def _write(lake: Lake, month: str, files: dict[str, bytes], manifest: dict[str, Any]) -> str:
    """Write the files, remove those of an earlier run, and vouch for them with the manifest."""
    for name, content in files.items():
        lake.write_bytes(mailing.PATH, month, name, content)
    for name in lake.file_names(mailing.PATH, month):
        if name not in {*files, mailing.MANIFEST}:
            lake.remove_file(mailing.PATH, month, name)
    lake.write_text(mailing.PATH, month, mailing.MANIFEST, mailing.as_json(manifest))
    return lake.uri(mailing.PATH, month, mailing.MANIFEST).removesuffix(f"/{mailing.MANIFEST}")


def _summed(changes: pd.DataFrame) -> pd.DataFrame:
    """Customers by change and perks."""
    shown = changes.fillna({"perk_before": "-", "perk": "-"})
    sizes = shown.groupby(["change", "perk_before", "perk"]).size()
    return sizes.rename("customers").reset_index()
