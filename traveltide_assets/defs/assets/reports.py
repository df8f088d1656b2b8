"""What people read: the cohort in figures, and the month's report."""

import json

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.campaign import mailing
from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.defs.assets.inputs import PERKS
from traveltide_assets.defs.describe import preview
from traveltide_assets.defs.io_manager import file_metadata
from traveltide_assets.defs.partitions import ALL_UP_TO, AND_PREVIOUS, MONTHLY
from traveltide_assets.experiment.readout import status
from traveltide_assets.lake.lake import Lake, Months
from traveltide_assets.prediction import card
from traveltide_assets.report import FILE, PATH
from traveltide_assets.report import build as build_report
from traveltide_assets.schema.config import Partitions
from traveltide_assets.schema.months import previous_month
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.settings import Settings
from traveltide_assets.sources.tables import SESSIONS_UNDATED
from traveltide_assets.transforms.exploration import explore

_MODEL = {
    "candidate": "perk_predictor_candidate",
    "serving": "perk_predictor",
    "decision": "predictor_promotion",
    "scores": "predictor_scores",
    "importance": "predictor_importance",
    "confusion": "predictor_confusion",
    "reliability": "predictor_reliability",
}
_FRAMES = {
    "features": "user_features",
    "assignments": "perk_assignments",
    "diagnostics": "kmeans_diagnostics",
    "scorecard": "segmentation_scorecard",
    "agreement": "strategy_agreement",
    "evidence": "perk_evidence",
    "signals": "perk_signals",
    "dbscan": "dbscan_trial",
    "exploration": "exploration",
    "plan": "experiment_plan",
    "readout": "experiment_readout",
    **_MODEL,
}
_HALVES = ("processed", "quarantine")


def build(strategy: str) -> list[dg.AssetsDefinition]:
    """The figures of the cohort and the report; `strategy` is the one that decides."""
    return [exploration, _report(strategy)]


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


def _report(strategy: str) -> dg.AssetsDefinition:
    places = {} if strategy == "kmeans" else {"places": dg.AssetIn(["gold", "segments", "kmeans"])}

    @dg.asset(
        key_prefix="gold",
        kinds={"html"},
        partitions_def=MONTHLY,
        ins={
            **{name: dg.AssetIn(["gold", table]) for name, table in _FRAMES.items()},
            **places,
            "segments": dg.AssetIn(["gold", "segments", strategy], partition_mapping=AND_PREVIOUS),
            "arms": dg.AssetIn(["gold", "experiment_assignment"], partition_mapping=ALL_UP_TO),
        },
        # Of silver, the row counts are read; of the campaign, its manifest. Quarantine is written
        # by the step that writes the processed half; naming it as well would draw it at the far end
        # of the lineage.
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
        """The month's report for people: one HTML page with perks, segments, evidence and limits."""
        month = context.partition_key
        model = {name: frames.pop(name) for name in _MODEL}
        material = build_report.Material(
            month=month,
            settings=settings,
            perks=perk_catalogue,
            before=segments.get(previous_month(month)),
            places=frames.pop("places") if places else segments[month],
            quality=_row_counts(lake, settings.partitions),
            campaign=json.loads(lake.read_bytes(mailing.PATH, month, mailing.MANIFEST)),
            status=status(settings.experiment, month, list(arms)).words,
            card=card.build(**model),
            **frames,
        )
        written = lake.write_text(PATH, month, FILE, build_report.render(material))
        perks = material.assignments.groupby(["segment", "perk"]).size()
        counts = perks.rename("customers").reset_index()
        return dg.MaterializeResult(
            metadata={**file_metadata(written), "perks": preview(counts, rows=len(counts))},
            data_version=dg.DataVersion(written.sha256),
        )

    return report


def _row_counts(lake: Lake, bounds: Partitions) -> pd.DataFrame:
    """Rows of each source table: read, processed, quarantined and without a month."""
    undated = lake.rows(SESSIONS_UNDATED.path)
    rows = []
    for name in SOURCES:
        without_month = undated if name == "sessions" else 0
        rows.append(
            {
                "table": name,
                "read": lake.total_rows(f"bronze/{name}_raw", bounds) + without_month,
                **{half: lake.total_rows(f"silver/{name}_{half}", bounds) for half in _HALVES},
                "undated": without_month,
            }
        )
    return pd.DataFrame(rows).rename(columns={"quarantine": "quarantined"})
