"""Checks of the predictor; the one of promotion decides which model is in service."""

from collections.abc import Iterator, Mapping

import dagster as dg
import pandas as pd

from traveltide_assets.contracts import Table
from traveltide_assets.defs.checks import contracts
from traveltide_assets.defs.checks.results import declare, report
from traveltide_assets.lake import Lake
from traveltide_assets.prediction.promotion import ALL, beaten_by


def build(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> list[dg.AssetChecksDefinition]:
    trained = ["perk_predictor_candidate", "predictor_scores", "predictor_confusion"]
    trained += ["predictor_importance", "predictor_reliability"]
    return [
        contracts.build(["early_features"], tables, months),
        contracts.build(["early_rules"], tables, months),
        contracts.build(["perk_catalogue"], tables, months),
        contracts.build(trained, tables, months),
        _promotion(tables, months),
        contracts.build(["perk_predictor"], tables, months),
    ]


def _promotion(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    decision = tables["gold/predictor_promotion"]

    @dg.multi_asset_check(
        name="promotion_checks",
        specs=[
            *contracts.declarations([decision], months),
            declare(
                decision,
                "promotion",
                "The month's model may take over: over all numbers of sessions seen it beats the "
                "commonest perk and is not worse than the model in service, beyond noise. If it "
                "may not, that one stays. It is told as well after how many sessions it is worse "
                "than that one or the rules of the strategy.",
                months,
                # The model in service waits for it; as a warning it does not fail the run.
                blocking=True,
            ),
        ],
    )
    def checks(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]
    ) -> Iterator[dg.AssetCheckResult]:
        month = context.op_execution_context.partition_key
        yield from contracts.evaluate([decision], lake, [month])
        rows = lake.frame(decision.path, month)
        if rows.empty:
            none = {"because": "no candidate, or nobody held out to judge it on: too few customers"}
            yield report(decision, "promotion", True, none)
            return
        row = rows.iloc[0]
        facts: dict[str, object] = {
            "because": row["because"],
            "candidate": row["candidate"],
            "in_service": row["in_service"] if pd.notna(row["in_service"]) else "none",
            "customers": int(row["customers"]),
        }
        for against in rows[rows["sessions_seen"] == ALL].itertuples():
            rival = against.rival.replace(" ", "_")
            worse = ", ".join(map(str, beaten_by(rows, against.rival)))
            facts |= {
                f"loss_less_that_of_{rival}": float(against.difference),
                f"verdict_against_{rival}": against.verdict,
                f"worse_than_{rival}_after": f"{worse} sessions" if worse else "never",
            }
        yield report(decision, "promotion", bool(row["promoted"]), facts, warn=True)

    return checks
