"""Verdicts on differences between two groups: of the experiment, and of campaigns.

P-values are corrected for the looks taken, then over all goals and, apart from them, over all
guardrails (Holm). A goal is better or worse if its difference is beyond chance. A guardrail passes
only if harm beyond the margin is excluded (non-inferiority): that no harm is shown says nothing
with few customers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from traveltide_assets.experiment import looks
from traveltide_assets.experiment.config import Config
from traveltide_assets.stats.holm import holm

BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no difference shown"
HARM, NO_HARM, UNCLEAR = "harm", "no harm beyond the margin", "harm not excluded"
TOO_LITTLE, NO_SPREAD = "too little data", "the same for everybody"


def judged(
    figures: pd.DataFrame, config: Config, times: Sequence[float], uneven: str
) -> pd.DataFrame:
    """`p_look`, `p_holm`, `p_margin` and `verdict` of each row of `figures`, by its index.

    `figures` has `role`, `direction` (1 if more is better, else -1), `difference` and its `error`,
    `deviation` (as a normal one; NaN without any spread), `other` (the mean that the margin is
    relative to), `mismatch_p_value`, and two booleans: `enough` customers, and `same` for
    everybody. `times` are those of the looks taken, as shares of the planned length. `uneven` is
    the verdict if groups are not as large as drawn.
    """
    goals = (figures["role"] == "goal").to_numpy()
    found = pd.DataFrame({"p_look": np.nan, "p_holm": np.nan, "p_margin": np.nan}, figures.index)
    found["p_look"] = [looks.p_value(float(z), times) for z in figures["deviation"]]
    for rows in (goals, ~goals):
        found.loc[rows, "p_holm"] = holm(found.loc[rows, "p_look"].to_numpy())
    beyond = [_p_margin(row, config, times) for _, row in figures[~goals].iterrows()]
    found.loc[~goals, "p_margin"] = holm(beyond)
    both = figures.join(found)
    return found.assign(verdict=[_verdict(row, config, uneven) for _, row in both.iterrows()])


def in_words(numbers: Sequence[float], rate: bool) -> str:
    """A difference with the ends of its interval, as text. That of rates is in points."""
    factor, digits, unit = (100, 1, " points") if rate else (1, 3, "")
    return "{:+.{d}f} ({:+.{d}f} to {:+.{d}f}){u}".format(
        *(factor * value for value in numbers), d=digits, u=unit
    )


def _p_margin(row: pd.Series, config: Config, times: Sequence[float]) -> float:
    """One-sided p-value of the guardrail being worse by at least the margin."""
    if not row["error"] > 0:
        return float("nan")
    margin = config.guardrail_margin * row["other"]
    distance = float((row["direction"] * row["difference"] + margin) / row["error"])
    both = looks.p_value(distance, times)
    return both / 2 if distance > 0 else 1 - both / 2


def _verdict(row: pd.Series, config: Config, uneven: str) -> str:
    if row["mismatch_p_value"] < config.mismatch_alpha:
        return uneven
    if not row["enough"]:
        return TOO_LITTLE
    if row["same"]:
        return NO_SPREAD
    gained = row["direction"] * row["difference"] > 0
    shown = row["p_holm"] <= config.alpha
    if row["role"] == "guardrail":
        if shown and not gained:
            return HARM
        return NO_HARM if row["p_margin"] <= config.alpha else UNCLEAR
    if not shown:
        return NO_DIFFERENCE
    return BETTER if gained else WORSE
