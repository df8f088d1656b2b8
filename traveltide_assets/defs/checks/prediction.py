"""Checks of the predictor for new customers: may the model of the month go into service?"""

from __future__ import annotations

import pandas as pd

from traveltide_assets.defs.checks.check import Check, Context, Outcome, Severity, Step
from traveltide_assets.prediction.newcomer_lifts import ALL
from traveltide_assets.prediction.promotion import beaten_by

_PROMOTION = "gold/predictor_promotion"


def _promoted(context: Context) -> Outcome:
    rows = context.lake.frame(_PROMOTION, context.month)
    if rows.empty:
        because = "too few customers: no candidate, or nobody held out to evaluate it on"
        return Outcome(True, {"because": because})
    row = rows.iloc[0]
    facts: dict[str, object] = {
        "problem": "the model of the month does not go into service, and the one before stays: "
        f"{row['because']}",
        "because": row["because"],
        "candidate": row["candidate"],
        "in_service": row["in_service"] if pd.notna(row["in_service"]) else "none",
        "customers": int(row["customers"]),
    }
    return Outcome(bool(row["promoted"]), facts | _rivals(rows))


def _rivals(rows: pd.DataFrame) -> dict[str, object]:
    """How the candidate compares with each of its rivals."""
    facts: dict[str, object] = {}
    for against in rows[rows["sessions_seen"] == ALL].itertuples():
        rival = against.rival.replace(" ", "_")
        worse = ", ".join(map(str, beaten_by(rows, against.rival)))
        facts |= {
            f"gain_over_{rival}": float(against.difference),
            f"verdict_against_{rival}": against.verdict,
            f"worse_than_{rival}_after": f"{worse} sessions" if worse else "never",
        }
    return facts


STEPS = (
    Step(
        "perk_predictor_candidate_predictor_lifts_predictor_scores_predictor_confusion_predictor_importance_"
        "predictor_reliability",
        (
            "gold/perk_predictor_candidate",
            "gold/predictor_lifts",
            "gold/predictor_scores",
            "gold/predictor_confusion",
            "gold/predictor_importance",
            "gold/predictor_reliability",
        ),
    ),
    Step(
        "promotion",
        (_PROMOTION, "gold/promotion_lifts"),
        (
            Check(
                _PROMOTION,
                "promotion",
                "The model of the month may go into service: by what customers did after their "
                "n-th session, over every n, it beats one perk for everybody, and is not "
                "significantly worse than the strategy's rules or the current model; or nothing "
                "foretells anything, and it is one perk for everybody. Otherwise the current model "
                "stays. Also reports the n at which it loses to any of them.",
                # The model in service waits for the decision. Keeping it does not fail the run.
                Severity.WARNING,
                _promoted,
                blocking=True,
            ),
        ),
    ),
)
