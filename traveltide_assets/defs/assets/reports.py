"""The figures of the cohort, and the report of the month."""

from collections.abc import Mapping
from functools import partial

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.campaign import mailing
from traveltide_assets.campaign.release_files import EXPLORER
from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.defs.assets.inputs import PERKS
from traveltide_assets.defs.describe import preview
from traveltide_assets.defs.io_manager import file_metadata
from traveltide_assets.defs.partitions import ALL_UP_TO, MONTHLY, PREVIOUS
from traveltide_assets.evidence.config import LEARNED
from traveltide_assets.experiment import learned_policy
from traveltide_assets.experiment.readout import status
from traveltide_assets.lake.lake import Lake, Months
from traveltide_assets.lake.ownership import notice_of
from traveltide_assets.report import FILE, PATH, explorer
from traveltide_assets.report.material import TABLES, Material
from traveltide_assets.report.page import render
from traveltide_assets.report.quality_section import row_counts
from traveltide_assets.schema.months import previous_month
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.segmentation.strategy import Strategy
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.exploration import explore


def build(strategies: Mapping[str, Strategy]) -> list[dg.AssetsDefinition]:
    """The figures of the cohort and the report."""
    return [exploration, _report(strategies)]


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
    # There are a few hundred rows, whatever the size of the cohort, so all are shown.
    figures = explore(users, sessions, trips, context.partition_key).to_pyarrow().to_pandas()
    ordered = figures.sort_values(["topic", "breakdown", "position", "measure"])
    return dg.MaterializeResult(
        value=figures, metadata={"figures": preview(ordered, rows=len(ordered))}
    )


def _report(strategies: Mapping[str, Strategy]) -> dg.AssetsDefinition:
    named = {name: strategy.title for name, strategy in strategies.items()}
    named[LEARNED] = learned_policy.TITLE
    # Dagster names inputs by identifiers, and tables are named by paths.
    tables = {path.replace("/", "_"): path for path in TABLES}

    @dg.asset(
        key_prefix="gold",
        kinds={"html"},
        partitions_def=MONTHLY,
        ins={
            **{name: dg.AssetIn(path.split("/")) for name, path in tables.items()},
            "segments": dg.AssetIn(["gold", "decided_segments"], partition_mapping=PREVIOUS),
            "arms": dg.AssetIn(["gold", "experiment_assignment"], partition_mapping=ALL_UP_TO),
        },
        # The report reads row counts of silver and the facts of the campaign. Quarantine is not
        # named, although its rows are counted: the step that writes the processed table writes it
        # too, and naming it would draw it at the far end of the lineage.
        deps=[
            PERKS,
            dg.AssetKey(["gold", "campaign"]),
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
        segments: Months,
        arms: Months,
        **frames: pd.DataFrame,
    ) -> dg.MaterializeResult[None]:
        """The report of the month: one HTML page with perks, segments, evidence and limits.

        Beside it lies the explorer: linked charts of the customers, to mail around.
        """
        month = context.partition_key
        # A report computed again does not count what came in after its month.
        bounds = settings.partitions.model_copy(update={"last": month})
        material = Material.of(
            month,
            settings,
            perk_catalogue,
            named,
            {path: frames[name] for name, path in tables.items()},
            before=segments.get(previous_month(month)),
            quality=row_counts(partial(lake.total_rows, bounds=bounds)),
            campaign=mailing.read_facts(lake, month),
            notice=notice_of(lake.storage),
            status=status(settings.experiment, month, list(arms)).words,
        )
        # The report names the explorer that it was written with, so that the two stay together.
        beside = lake.write_text(PATH, month, EXPLORER, _explorer(material))
        written = lake.write_text(PATH, month, FILE, render(material, beside.sha256))
        perks = material.assignments.groupby(["segment", "perk"]).size()
        counts = perks.rename("customers").reset_index()
        return dg.MaterializeResult(
            metadata={**file_metadata(written), "perks": preview(counts, rows=len(counts))},
            data_version=dg.DataVersion(written.sha256),
        )

    return report


def _explorer(material: Material) -> str:
    return explorer.render(
        material.month, material.features, material.assignments, material.titles, material.notice
    )
