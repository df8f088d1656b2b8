"""What people read: the cohort in figures, and the month's report."""

import json

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.assets.describe import preview
from traveltide_assets.campaign import mailing
from traveltide_assets.contracts import SESSIONS_UNDATED, SOURCES
from traveltide_assets.experiment.readout import status
from traveltide_assets.lake import Lake
from traveltide_assets.months import previous_month
from traveltide_assets.partitions import ALL_UP_TO, MONTHLY
from traveltide_assets.prediction import model_card
from traveltide_assets.report import FILE, PATH, build
from traveltide_assets.segmentation.perks import Perk
from traveltide_assets.settings import STRATEGIES, Partitions, Settings
from traveltide_assets.transforms.exploration import explore

_ASSIGNMENT = "gold/experiment_assignment"
_MODEL = {
    "candidate": "perk_predictor_candidate",
    "serving": "perk_predictor",
    "decision": "predictor_promotion",
    "scores": "predictor_scores",
    "importance": "predictor_importance",
    "confusion": "predictor_confusion",
    "reliability": "predictor_reliability",
}
_HALVES = ("processed", "quarantine")


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
        "features": dg.AssetIn(["gold", "user_features"]),
        "assignments": dg.AssetIn(["gold", "perk_assignments"]),
        "places": dg.AssetIn(["gold", "segments", "kmeans"]),
        "diagnostics": dg.AssetIn(["gold", "kmeans_diagnostics"]),
        "scorecard": dg.AssetIn(["gold", "segmentation_scorecard"]),
        "agreement": dg.AssetIn(["gold", "strategy_agreement"]),
        "evidence": dg.AssetIn(["gold", "perk_evidence"]),
        "signals": dg.AssetIn(["gold", "perk_signals"]),
        "dbscan": dg.AssetIn(["gold", "dbscan_trial"]),
        "explored": dg.AssetIn(["gold", "exploration"]),
        "plan": dg.AssetIn(["gold", "experiment_plan"]),
        "read": dg.AssetIn(["gold", "experiment_readout"]),
        **{name: dg.AssetIn(["gold", table]) for name, table in _MODEL.items()},
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
    features: pd.DataFrame,
    assignments: pd.DataFrame,
    places: pd.DataFrame,
    diagnostics: pd.DataFrame,
    scorecard: pd.DataFrame,
    agreement: pd.DataFrame,
    evidence: pd.DataFrame,
    signals: pd.DataFrame,
    dbscan: pd.DataFrame,
    explored: pd.DataFrame,
    plan: pd.DataFrame,
    read: pd.DataFrame,
    candidate: pd.DataFrame,
    serving: pd.DataFrame,
    decision: pd.DataFrame,
    scores: pd.DataFrame,
    importance: pd.DataFrame,
    confusion: pd.DataFrame,
    reliability: pd.DataFrame,
) -> dg.MaterializeResult[None]:
    """The month's report for people: one HTML page with perks, segments, evidence and limits."""
    month = context.partition_key
    before = lake.stored_frame(f"gold/segments/{settings.strategy}", previous_month(month))
    material = build.Material(
        month=month,
        settings=settings,
        perks=perk_catalogue,
        features=features,
        assignments=assignments,
        before=before,
        places=places,
        diagnostics=diagnostics,
        scorecard=scorecard,
        agreement=agreement,
        evidence=evidence,
        signals=signals,
        dbscan=dbscan,
        exploration=explored,
        quality=_row_counts(lake, settings.partitions),
        campaign=json.loads(lake.read_bytes(mailing.PATH, month, mailing.MANIFEST)),
        plan=plan,
        readout=read,
        status=status(settings.experiment, month, lake.months(_ASSIGNMENT)).words,
        card=model_card.build(
            candidate, serving, decision, scores, importance, confusion, reliability
        ),
    )
    written = lake.write_text(PATH, month, FILE, build.render(material))
    counts = assignments.groupby(["segment", "perk"]).size().rename("customers").reset_index()
    return dg.MaterializeResult(
        metadata={**written.metadata, "perks": preview(counts, rows=len(counts))},
        data_version=dg.DataVersion(written.sha256),
    )


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
