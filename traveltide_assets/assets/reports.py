"""What people read: the cohort in figures, and the month's report."""

import json
from functools import partial

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.assets.describe import preview
from traveltide_assets.campaign import mailing
from traveltide_assets.contracts import SOURCES
from traveltide_assets.experiment.readout import status
from traveltide_assets.lake import Lake
from traveltide_assets.months import previous_month
from traveltide_assets.partitions import ALL_UP_TO, MONTHLY
from traveltide_assets.report import FILE, PATH
from traveltide_assets.report.build import render
from traveltide_assets.report.material import TABLES, Material
from traveltide_assets.report.quality_section import row_counts
from traveltide_assets.segmentation.perks import Perk
from traveltide_assets.settings import STRATEGIES, Settings
from traveltide_assets.transforms.exploration import explore

_ASSIGNMENT = "gold/experiment_assignment"
# An input is named by an identifier, a table by its path.
_READ = {path.replace("/", "_"): path for path in TABLES}


@dg.asset(
    key_prefix="gold",
    kinds={"duckdb"},
    partitions_def=MONTHLY,
    ins={name: dg.AssetIn(["gold", f"{name}_final"]) for name in ("users", "sessions", "trips")},
)
def exploration(
    context: dg.AssetExecutionContext,
    users: ibis.Table,
    sessions: ibis.Table,
    trips: ibis.Table,
) -> dg.MaterializeResult[pd.DataFrame]:
    # A few hundred rows whatever the size of the cohort, so they may be shown as well.
    figures = explore(users, sessions, trips, context.partition_key).to_pyarrow().to_pandas()
    ordered = figures.sort_values(["topic", "breakdown", "position", "measure"])
    return dg.MaterializeResult(
        value=figures, metadata={"figures": preview(ordered, rows=len(ordered))}
    )


@dg.asset(
    key_prefix="gold",
    kinds={"html"},
    partitions_def=MONTHLY,
    ins={
        name: dg.AssetIn(path.split("/"), dagster_type=pd.DataFrame) for name, path in _READ.items()
    },
    # Of the segments, the deciding strategy's of last month are read; of silver, the row counts; of
    # the campaign, its manifest. Quarantine is written by the step that writes the processed half;
    # naming it as well would draw it at the far end of the lineage.
    deps=[
        dg.AssetKey(["gold", "campaign"]),
        *(dg.AssetKey(["gold", "segments", name]) for name in STRATEGIES if name != "kmeans"),
        *(
            dg.AssetDep(
                dg.AssetKey(["silver", f"{name}_processed"]),
                partition_mapping=ALL_UP_TO if name == "sessions" else None,
            )
            for name in SOURCES
        ),
    ],
)
def report(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    lake: dg.ResourceParam[Lake],
    **frames: pd.DataFrame,
) -> dg.MaterializeResult[None]:
    """The month's report for people: one HTML page with perks, segments, evidence and limits."""
    month = context.partition_key
    material = Material.of(
        month,
        settings,
        perk_catalogue,
        {path: frames[name] for name, path in _READ.items()},
        before=lake.stored_frame(f"gold/segments/{settings.strategy}", previous_month(month)),
        quality=row_counts(partial(lake.total_rows, bounds=settings.partitions)),
        campaign=json.loads(lake.read_bytes(mailing.PATH, month, mailing.MANIFEST)),
        status=status(settings.experiment, month, lake.months(_ASSIGNMENT)).words,
    )
    written = lake.write_text(PATH, month, FILE, render(material))
    counts = material.assignments.groupby(["segment", "perk"]).size().rename("customers")
    return dg.MaterializeResult(
        metadata={**written.metadata, "perks": preview(counts.reset_index(), rows=len(counts))},
        data_version=dg.DataVersion(written.sha256),
    )
