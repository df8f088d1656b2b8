"""Checks of the experiment: is the random assignment sound, and can the readout be trusted?"""

from __future__ import annotations

import numpy as np

from traveltide_assets.defs.checks.check import EXAMPLES, Check, Context, Outcome, Severity, Step
from traveltide_assets.experiment import assignment, periods, readout
from traveltide_assets.report import words
from traveltide_assets.segmentation.naming import LABELS

_ARMS = "gold/experiment_assignment"
_FEATURES = "gold/user_features"
_PLAN = "gold/experiment_plan"
_READOUT = "gold/experiment_readout"


def _sizes_match_the_ratio(context: Context) -> Outcome:
    config = context.settings.experiment
    p_values = assignment.mismatches(context.lake.frame(_ARMS, context.month), config.ratio)
    facts = {"p_values": p_values, "limit": config.mismatch_alpha, "ratio": config.ratio}
    return Outcome(min(p_values.values()) >= config.mismatch_alpha, facts)


def _nobody_changed_arms(context: Context) -> Outcome:
    month, start = context.month, context.settings.experiment.start
    first = periods.month_of_assignment(start) if start else month
    before = context.lake.stored_frame(_ARMS, first) if first < month else None
    moved = 0
    if before is not None:
        now = context.lake.frame(_ARMS, month)
        both = before.merge(now, on="user_id", suffixes=("_before", ""))
        moved = int((both["arm"] != both["arm_before"]).sum())
    return Outcome(moved == 0, {"customers_in_the_other_half": moved, "since": first})


def _arms_are_balanced(context: Context) -> Outcome:
    month, limit = context.month, context.settings.experiment.max_imbalance
    found = assignment.balance(
        context.lake.frame(_ARMS, month), context.lake.frame(_FEATURES, month)
    )
    differing, sizes = found.beyond(limit), len(found.features)
    most = [f"{LABELS.get(n, n)} ({value:+.2f} SD)" for n, value in differing.items()]
    chance = (
        ""
        if np.isnan(found.p_value)
        else (f"; all features together differ as much by chance in {found.p_value:.1%} of draws")
    )
    facts = {
        "problem": f"the arms differ by more than {limit:g} SD (experiment.max_imbalance) in "
        f"{len(differing)} of {sizes} features, most of all in "
        f"{words.listed(most[:EXAMPLES])}{chance}",
        "differing": dict(differing),
        "largest_difference_sd": found.largest,
        "smallest_p_holm": float(found.features["p_holm"].min()),
        "p_value_of_all_features": found.p_value,
        "limit": limit,
    }
    return Outcome(found.largest <= limit, facts)


def _status(context: Context) -> readout.Status:
    months = context.lake.months(_ARMS)
    return readout.status(context.settings.experiment, context.month, months)


def _can_be_read(context: Context) -> Outcome:
    status = _status(context)
    begun = periods.has_begun(context.settings.experiment, context.month)
    facts = {"problem": status.words, "status": status.words}
    return Outcome(status.run is not None or not begun, facts)


def _is_not_read_early(context: Context) -> Outcome:
    status = _status(context)
    peeking = status.run is not None and status.run.peeking
    return Outcome(not peeking, {"problem": status.words, "status": status.words})


def _outcomes_are_complete(context: Context) -> Outcome:
    rows, run = context.lake.frame(_READOUT, context.month), _status(context).run
    if run is None or rows.empty:
        return Outcome(True, {"metrics": []})
    lost = sorted(set(rows.loc[rows["verdict"] == readout.LOST, "metric"]))
    customers = context.lake.rows(_ARMS, run.assigned_in)
    overall = rows[rows["segment"] == assignment.EVERYBODY].set_index("metric")
    known = overall["customers_personalised"] + overall["customers_control"]
    few = [f"{name} ({int(n):,})" for name, n in known.items() if n < customers / 2]
    unequal = [f"{', '.join(lost)} is missing more often in one arm than in the other"]
    rare = [f"less than half of the {customers:,} customers have {words.listed(few)}"]
    facts = {
        "problem": "; ".join([*(unequal if lost else []), *(rare if few else [])]),
        "metrics": lost,
        "customers_with_outcome": {str(name): int(count) for name, count in known.items()},
        "customers": customers,
    }
    return Outcome(not lost and bool((known >= customers / 2).all()), facts)


STEPS = (
    Step(
        "experiment_assignment",
        (_ARMS,),
        (
            Check(
                _ARMS,
                "sample_ratio",
                "The sizes of the arms match the ratio, overall and in each segment.",
                Severity.ERROR,
                _sizes_match_the_ratio,
                blocking=True,
            ),
            Check(
                _ARMS,
                "sticky",
                "Every customer stays in the arm they had when the experiment started.",
                Severity.ERROR,
                _nobody_changed_arms,
                blocking=True,
            ),
            Check(
                _ARMS,
                "balance",
                "The arms are balanced in every feature.",
                Severity.WARNING,
                _arms_are_balanced,
                after=(_FEATURES,),
            ),
        ),
    ),
    Step(
        "experiment",
        (_PLAN, _READOUT),
        (
            Check(
                _READOUT,
                "readable",
                "If the experiment has started, it can be read out.",
                Severity.WARNING,
                _can_be_read,
                after=(_ARMS,),
            ),
            Check(
                _READOUT,
                "no_peeking",
                "The results are not read before the planned end.",
                Severity.WARNING,
                _is_not_read_early,
            ),
            Check(
                _READOUT,
                "complete",
                "Outcomes are missing equally often in both arms, and of less than half of the "
                "customers.",
                Severity.WARNING,
                _outcomes_are_complete,
            ),
        ),
    ),
)
