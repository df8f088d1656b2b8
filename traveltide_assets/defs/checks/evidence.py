"""Checks of the evidence: its inputs, its verdicts, the scorecard and the strategy that decides."""

from __future__ import annotations

import numpy as np
import pandas as pd

from traveltide_assets.defs.checks.check import Check, Context, Outcome, Severity, Step
from traveltide_assets.evidence.config import LEARNED, RECOMMENDED
from traveltide_assets.evidence.tables import CONTRADICTED, NOT_TRIED, SUPPORTED, VERDICTS
from traveltide_assets.report import words

_EVIDENCE = "gold/perk_evidence"
_TRIED = "gold/perks_tried"
_MODEL = "gold/kmeans_model"
_SCORECARD = "gold/segmentation_scorecard"
_DECISION = "gold/strategy_decision"


def _verdicts_are_sound(context: Context) -> Outcome:
    found = context.lake.frame(_EVIDENCE, context.month)
    alpha = context.settings.evidence.alpha
    problems = verdict_problems(found, alpha)
    return Outcome(not any(problems.values()), problems)


def verdict_problems(evidence: pd.DataFrame, alpha: float) -> dict[str, int]:
    """Rows of the evidence with an unknown verdict, or with one that their figures do not bear."""
    verdict, significant = evidence["verdict"], evidence["p_holm"] <= alpha
    up, down = significant & (evidence["lift_low"] > 1), significant & (evidence["lift_high"] < 1)
    return {
        "unknown": int((~verdict.isin(VERDICTS)).sum()),
        "supported_without_support": int(((verdict == SUPPORTED) & ~up).sum()),
        "contradicted_without_reason": int(((verdict == CONTRADICTED) & ~down).sum()),
        "not_tried_on_customers": int(((verdict == NOT_TRIED) & (evidence["customers"] > 0)).sum()),
    }


def _all_cuts_are_tried(context: Context) -> Outcome:
    tried = context.lake.frame(_TRIED, context.month, ["cut"])["cut"].unique()
    wanted = context.settings.evidence.cuts
    problem = (
        f"perks were back-tested after {words.counted(len(tried), 'month')}, and evidence.cuts "
        f"asks for {wanted}: there is too little history before, or too few weeks since"
    )
    facts = {"problem": problem, "cuts_after": sorted(tried), "cuts_asked_for": wanted}
    return Outcome(len(tried) == wanted, facts)


def _one_strategy_decides(context: Context) -> Outcome:
    found = context.lake.frame(_DECISION, context.month)
    deciding = list(found.loc[found["decides"], "strategy"])
    wanted = context.settings.strategy
    facts = {"decides": deciding, "setting": wanted}
    return Outcome(len(deciding) == 1 and wanted in (RECOMMENDED, LEARNED, *deciding), facts)


def _refits_find_the_segments(context: Context) -> Outcome:
    card = context.lake.stored_frame(_SCORECARD, context.month)
    if card is None:
        return Outcome(True, {"scorecard": "no scorecard for this month, so no refits"})
    value = float(card.set_index("strategy").loc["kmeans", "stability_bootstrap"])
    limit, refits = context.settings.checks.min_stability, context.settings.evidence.refits
    # The UI cannot show NaN.
    shown = "undefined: a refit found no segments" if np.isnan(value) else value
    problem = (
        "a refit of k-means on other customers of the same kind found no segments"
        if np.isnan(value)
        else f"{refits} refits of k-means on other customers of the same kind find other segments: "
        f"they agree by {value:.2f}, where 1 is the same and 0 is chance (checks.min_stability is "
        f"{limit:g})"
    )
    facts = {
        "problem": problem,
        "mean_adjusted_rand_index": shown,
        "refits": refits,
        "limit": limit,
    }
    return Outcome(value >= limit, facts)


STEPS = (
    Step(
        "back_test_inputs",
        (
            "gold/mailed_customers",
            "gold/earlier_features",
            "gold/perk_outcomes",
            "gold/cut_features",
            "gold/cut_outcomes",
            "gold/half_features",
        ),
    ),
    Step(
        "perk_evidence_perk_signals_dbscan_trial",
        (
            _EVIDENCE,
            "gold/perk_evidence_by_cut",
            _TRIED,
            "gold/perk_signals",
            "gold/dbscan_trial",
        ),
        (
            Check(
                _EVIDENCE,
                "verdicts",
                "Every row has one of the five verdicts, and its interval and p-value agree with "
                "it.",
                Severity.ERROR,
                _verdicts_are_sound,
                blocking=True,
            ),
            Check(
                _EVIDENCE,
                "cuts",
                "There is history enough for all the cuts of `evidence.cuts`.",
                Severity.WARNING,
                _all_cuts_are_tried,
                after=(_TRIED,),
            ),
        ),
    ),
    Step(
        "segmentation_scorecard_strategy_agreement",
        (_SCORECARD, "gold/strategy_agreement", _DECISION),
        (
            Check(
                _DECISION,
                "one_decides",
                "Exactly one strategy decides, and if the setting `strategy` names one, it is "
                "that one.",
                Severity.ERROR,
                _one_strategy_decides,
                blocking=True,
            ),
            # Not in the model's step: segments wait for that one, and the scorecard for segments.
            Check(
                _MODEL,
                "stability",
                "Refits of the strategy on bootstrap samples find the same segments, measured by "
                "the adjusted Rand index (ARI) in the scorecard.",
                Severity.WARNING,
                _refits_find_the_segments,
                after=(_SCORECARD,),
            ),
        ),
    ),
)
