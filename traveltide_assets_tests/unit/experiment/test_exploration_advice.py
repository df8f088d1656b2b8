"""Advice on exploring: how much of it, for how long, and when it does not pay."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.experiment.exploration_advice import Reach, advise
from traveltide_assets.experiment.learning.policy_promotion import NOTHING_TO_GAIN, PROMOTED
from traveltide_assets.experiment.policy_scorecard import nothing
from traveltide_assets_tests.support.learnt import policies

REACH = Reach(written_to=5_000, held_out=500, perks=5)


def needing(rows: float) -> pd.DataFrame:
    return policies().assign(customers=1_800, rows_needed=rows)


@pytest.mark.parametrize(
    ("scorecard", "share", "said"),
    [
        (nothing(), 0.0, "Set exploration.share = 0.1: "),
        (nothing(), 0.2, "Keep exploration.share = 0.2: about 1,000 customers a month"),
        (policies(PROMOTED), 0.1, "keep exploration.share = 0.1"),
        (
            needing(np.nan),
            0.1,
            "nobody can say how much more it takes. Keep exploration",
        ),
        (needing(np.nan), 0.0, "Set exploration.share = 0.05 only if"),
        (policies(NOTHING_TO_GAIN), 0.1, "More exploration would not pay"),
        # 500 of exploration and 500 held out a month: 7,200 more take 8 months.
        (needing(9_000), 0.1, "Keep exploration.share = 0.1: at that it takes 8 months more."),
        (needing(25_800), 0.1, "share = 0.3: it takes 12 months more instead of 24 months."),
        (needing(25_800), 0.0, "share = 0.3: it takes 12 months more."),
        (needing(90_000), 0.1, "It would take 30 months more even if half of the customers"),
    ],
)
def test_it_says_what_would_pay(scorecard: pd.DataFrame, share: float, said: str) -> None:
    assert said in advise(scorecard, share, REACH)


def test_few_customers_take_several_months_to_begin_with() -> None:
    found = advise(nothing(), 0.0, Reach(written_to=300, held_out=30, perks=5))
    assert "exploration.share = 0.5" in found
    assert "in 4 months" in found
    assert "nothing can be learned" in advise(nothing(), 0.0, Reach(0, 0, 5))


def test_what_is_set_already_is_not_advised() -> None:
    found = advise(policies(PROMOTED), 0.1, REACH, learns=True)
    assert found.startswith("It decides from the next month on. Keep exploration.share = 0.1")
    assert 'strategy = "learned"' in advise(policies(PROMOTED), 0.1, REACH, learns=False)
