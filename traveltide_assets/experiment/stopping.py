"""What to do after a look: the rule that is fixed before the experiment starts.

It reads the rows over all customers alone; segments are there to understand, not to decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from traveltide_assets.experiment import judging, readout
from traveltide_assets.experiment.assignment import EVERYBODY
from traveltide_assets.experiment.config import Config
from traveltide_assets.experiment.metrics import BY_NAME

SHIP, DROP, GO_ON = "stop and ship", "stop and drop", "go on"


@dataclass(frozen=True)
class Decision:
    """What the rule says, and why; and whether a bound was reached, which nothing can undo."""

    verdict: str
    in_words: str
    bound: bool = False


def decide(compared: pd.DataFrame, peeking: bool, config: Config) -> Decision:
    """The decision after a look: `compared` is from `readout.compare` or `readout.read`.

    In this order: outcomes missing unevenly decide nothing; harm to a guardrail or a goal that is
    worse drops; a goal that is better ships; the planned end without either drops; so does a look
    at which no goal has a chance of `experiment.futility` left. Otherwise it goes on.
    """
    rows = compared[compared["segment"] == EVERYBODY]

    def named(verdict: str) -> str:
        metrics = rows.loc[rows["verdict"] == verdict, "metric"]
        return ", ".join(BY_NAME[name].title for name in metrics)

    if lost := named(readout.LOST):
        return Decision(GO_ON, f"Outcomes are missing unevenly ({lost}): find out why first.")
    for verdict in (judging.HARM, judging.WORSE):
        if found := named(verdict):
            return Decision(DROP, f"The personalised perk does {verdict}: {found}.", bound=True)
    if better := named(judging.BETTER):
        unclear = named(judging.UNCLEAR)
        warning = f" Harm is not excluded: {unclear}." if unclear else ""
        return Decision(SHIP, f"The personalised perk does better: {better}.{warning}", bound=True)
    if not peeking:
        return Decision(DROP, "The planned end is reached and no goal is better.")
    chances = rows.loc[rows["role"] == "goal", "conditional_power"].dropna()
    if len(chances) and (chances < config.futility).all():
        return Decision(
            DROP,
            f"No goal has a chance of {config.futility:.0%} left to be found better, even if the "
            "effect is the one planned.",
        )
    return Decision(GO_ON, "No bound of this look is reached.")
