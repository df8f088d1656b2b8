"""What the plan recommends, in words: what can be found, with whom, how long; or what would help.

Nothing is recommended that the plan's own table says cannot be found.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from traveltide_assets.experiment.assignment import EVERYBODY
from traveltide_assets.experiment.config import Config
from traveltide_assets.experiment.metrics import BY_NAME
from traveltide_assets.experiment.plan import ENOUGH


def advise(plan: pd.DataFrame, config: Config) -> list[str]:
    """The advice, sentence by sentence. `plan` is `gold/experiment_plan`."""
    goals = plan[(plan["segment"] == EVERYBODY) & (plan["role"] == "goal")]
    known = goals[goals["power"].notna()]
    if known.empty:
        return [
            "Nothing can be planned yet: there are too few customers, or no sessions of theirs."
        ]
    enough = known[known["verdict"] == ENOUGH]
    return _start(enough, config) if len(enough) else _wait(known, config)


def _customers(row: pd.Series) -> int:
    return int(row["customers_personalised"] + row["customers_control"])


def _start(enough: pd.DataFrame, config: Config) -> list[str]:
    said: list[str] = []
    for _, row in enough.sort_values("customers_needed", kind="stable").iterrows():
        begin = "Also: " if said else "Start it: "
        sentence = (
            f"{begin}{config.relative_effect:.0%} more {BY_NAME[row['metric']].title} would be "
            f"found among these {_customers(row):,} customers in {config.weeks} weeks "
            f"(power {row['power']:.0%}"
        )
        if np.isfinite(row["expected_weeks"]):
            week = f"{row['expected_weeks']:.0f}"
            sentence += f"; looked at every week, it ends in week {week} on average"
        said.append(f"{sentence}).")
    assumed = [BY_NAME[m].title for m in enough.loc[enough["baseline_from"] == "assumed", "metric"]]
    if assumed:
        said.append(
            f"This rests on assumed rates ({', '.join(assumed)}): deliver responses, plan anew."
        )
    return said


def _wait(known: pd.DataFrame, config: Config) -> list[str]:
    """No goal can be found as planned: what would change that."""
    customers = _customers(known.iloc[0])
    said = [
        f"Do not start it as planned: among these {customers:,} customers, no goal that changes by "
        f"{config.relative_effect:.0%} would be found in {config.weeks} weeks with a power of "
        f"{config.power:.0%}.",
        "What would change that:",
    ]
    nearest = known.sort_values("customers_needed", na_position="last", kind="stable").iloc[0]
    title, needed = BY_NAME[nearest["metric"]].title, nearest["customers_needed"]
    if np.isfinite(needed):
        alone = needed * _of_one_question(float(nearest["alpha"]), config)
        said.append(f"More customers: {needed:,.0f} for {title}, which takes the fewest.")
        said.append(
            f"One question at a time: {title}, asked of all customers alone, takes {alone:,.0f}"
            + (", which these are enough for." if alone <= customers else ".")
        )
    if np.isfinite(nearest["detectable_relative"]):
        said.append(
            f"A larger effect: {title} would be found from {nearest['detectable_relative']:.0%} on."
        )
    if np.isfinite(nearest["weeks_needed"]):
        said.append(f"More time: {nearest['weeks_needed']:.0f} weeks for {title}.")
    else:
        said.append(f"More time alone would not do, up to {config.history_weeks} weeks.")
    return said


def _of_one_question(alpha: float, config: Config) -> float:
    """The share of the customers that is needed if the level is not divided over questions."""
    asked, alone = (
        float(norm.isf(level / 2) + norm.isf(1 - config.power)) for level in (alpha, config.alpha)
    )
    return (alone / asked) ** 2
