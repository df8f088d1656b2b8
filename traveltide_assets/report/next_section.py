"""The report's section on what to send next: policies, budget, and what the plan advises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from traveltide_assets.catalogue.perks import alternatives
from traveltide_assets.evidence import config as evidence
from traveltide_assets.experiment import exploration_advice, plan_advice
from traveltide_assets.experiment.learned_policy import IN_SERVICE
from traveltide_assets.experiment.learning.policy_promotion import (
    LEARNED,
    NOTHING_TO_GAIN,
    PROMOTED,
)
from traveltide_assets.experiment.policy_scorecard import INCUMBENT, NONE
from traveltide_assets.report import charts, words
from traveltide_assets.report.material import Material


def context(m: Material) -> dict[str, Any]:
    """What the template shows of `gold/policy_scorecard` and `gold/budget_curve`."""
    return {
        "policies": None
        if m.policies.empty
        else {
            **policies(m.policies, m.titles, m.strategies),
            "picture": charts.policy_values(m.policies, names(m.policies, m.titles, m.strategies)),
        },
        "budget": None
        if m.curve.empty
        else {"said": budget_in_words(m.curve), "picture": charts.budget(m.curve)},
        "explores": m.settings.exploration.share > 0,
        "exploration": exploration_advice.advise(
            m.policies, m.settings.exploration.share, _reach(m), _learns(m)
        ),
        "advice": plan_advice.advise(m.plan, m.settings.experiment),
        "horizon": words.counted(m.settings.experiment.horizon_days, "day"),
    }


def message(m: Material) -> str:
    """The one message of the chapter."""
    if m.policies.empty:
        return "Nobody knows yet which perk works for whom: too little was left to chance"
    verdict = str(m.policies["verdict"].iloc[0])
    if verdict == PROMOTED:
        chooses = "The learned policy chooses" if _learns(m) else "Let the learned policy choose"
        return f"{chooses} who gets what: it beats every single perk"
    if verdict == NOTHING_TO_GAIN:
        return "Choosing a perk for each customer gains nothing over one choice for all"
    return "There is too little data to say who should get what"


def _learns(m: Material) -> bool:
    """Whether the learned policy decides, as soon as one is promoted."""
    return m.settings.strategy == evidence.LEARNED


def names(
    policies: pd.DataFrame, perks: Mapping[str, str], strategies: Mapping[str, str]
) -> dict[str, str]:
    """What the policies are called, by the names of `gold/policy_scorecard`."""
    known = {
        f"always {NONE}": "nothing for anybody",
        INCUMBENT: "what was decided",
        IN_SERVICE: "the learned policy in service",
        **{f"always {perk}": f"{title} for everybody" for perk, title in perks.items()},
        **strategies,
        LEARNED: "the learned policy",
    }
    return {str(name): known.get(str(name), str(name)) for name in policies["policy"]}


def _reach(m: Material) -> exploration_advice.Reach:
    customers = m.campaign["customers"]
    perks = m.settings.exploration.weights or alternatives(m.perks, m.assignments["perk"].unique())
    return exploration_advice.Reach(customers["written_to"], customers["held_out"], len(perks))


def policies(
    valued: pd.DataFrame, titles: Mapping[str, str], strategies: Mapping[str, str]
) -> dict[str, Any]:
    """What each way of choosing would bring, in words; `valued` is not empty."""
    called = names(valued, titles, strategies)
    return {
        "said": in_words(str(valued["in_words"].iloc[0]), called, titles),
        "customers": f"{int(valued['customers'].iloc[0]):,}",
        # It is valued on the customers that it was learned from, too.
        "flattered": bool((valued["policy"] == IN_SERVICE).any()),
        "rows": [
            {
                "policy": called[row["policy"]],
                "value": words.decimal(row["value"]),
                "gain": f"{row['gain']:+,.2f}",
                "interval": words.interval(row["low"], row["high"]),
                "effective": f"{row['effective_sample_size']:,.0f}",
            }
            for _, row in valued.sort_values("value", ascending=False).iterrows()
        ],
    }


def in_words(said: str, called: Mapping[str, str], perks: Mapping[str, str]) -> str:
    """The verdict of the scorecard with policies and perks by their titles, rows as customers."""
    said = said.replace(" per row ", " USD per customer ")
    said = said.replace(" rows ", " customers ").replace(" rows;", " customers;")
    for perk, title in perks.items():
        said = said.replace(f"learned of {perk}:", f"learned of {title}:")
    for name in sorted(called, key=len, reverse=True):
        if name.startswith("always ") or name == INCUMBENT:
            said = said.replace(f"against {name} ", f"against {called[name]} ")
            said = said.replace(f"Use {name}", f"Use {called[name]}")
    return said


def budget_in_words(curve: pd.DataFrame) -> str:
    """Two sentences on `gold/budget_curve`, which is not empty."""
    best = curve.loc[curve["expected_net_value_usd"].idxmax()]
    if not curve["expected_cost_usd"].gt(0).any():
        return (
            "No budget binds, since nothing that is offered is expected to cost anything (cost_usd "
            f"in the catalogue): {_brings(best)}."
        )
    said = f"Most is expected of a budget of {best['budget_usd']:,.0f} USD: {_brings(best)}."
    ours = curve[curve["configured"].astype(bool)]
    if len(ours):
        row = ours.iloc[0]
        said += (
            f" The budget set, {row['budget_usd']:,.0f} USD, is expected to bring {_brings(row)}."
        )
    return said


def _brings(row: pd.Series) -> str:
    return (
        f"{row['expected_net_value_usd']:,.0f} USD net (by chance {row['low']:,.0f} to "
        f"{row['high']:,.0f}) from {row['customers']:,.0f} customers"
    )
