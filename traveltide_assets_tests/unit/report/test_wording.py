"""Words that stand beside a verdict: they must not contradict it."""

from __future__ import annotations

import pandas as pd
import pytest

from traveltide_assets.catalogue.perks import StoredPerk
from traveltide_assets.experiment.judging import BETTER, NO_DIFFERENCE
from traveltide_assets.report import reasons
from traveltide_assets.report.experiment_section import in_words


def outcome(**changes: object) -> pd.Series:
    row = {
        "verdict": NO_DIFFERENCE,
        "kind": "mean",
        "difference": 0.037,
        "low": 0.005,
        "high": 0.069,
        "cuped_difference": float("nan"),
        "cuped_low": float("nan"),
        "cuped_high": float("nan"),
        "p_holm": 0.12,
        "peek": False,
        "in_words": "No difference is shown.",
    }
    return pd.Series({**row, **changes}, dtype=object)


def test_an_interval_that_leaves_out_0_is_not_called_no_difference() -> None:
    said = in_words(outcome(), alpha=0.05)
    assert said.startswith("Not beyond chance: +0.037 (+0.005 to +0.069).")
    assert "the p-value is 0.120, above the limit of 0.050" in said
    assert in_words(outcome(peek=True)).startswith("Too early to decide.")


@pytest.mark.parametrize(
    "changes",
    [
        {"low": -0.01},
        {"verdict": BETTER},
        {"cuped_difference": 0.01, "cuped_low": -0.02, "cuped_high": 0.04},
    ],
)
def test_every_other_verdict_keeps_its_words(changes: dict[str, object]) -> None:
    assert in_words(outcome(**changes)) == "No difference is shown."


def test_a_perk_that_the_strategy_cannot_give_is_not_ranked_first() -> None:
    perks = {
        name: StoredPerk(
            id=name,
            title=name,
            audience="x",
            headline="x",
            features={"age": 1.0},
            programs=programs,
        )
        for name, programs in {
            "bag": ("classic",),
            "meal": ("classic",),
            "lounge": ("five_personas",),
        }.items()
    }
    mine = pd.Series({"affinity_bag": 0.1, "affinity_meal": 0.4, "affinity_lounge": 2.0})
    able, others = reasons.ranked(perks, ["bag"], mine)
    assert [perk.id for perk in able] == ["meal", "bag"]
    assert [perk.id for perk in others] == ["lounge"]
