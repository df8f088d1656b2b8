"""A real randomised promotion: learnt on its training file alone, valued on its test file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.experiment.learning.log import Log
from traveltide_assets.experiment.learning.policy import learn
from traveltide_assets.experiment.learning.policy_value import contributions, standard_error
from traveltide_assets_tests.conftest import TRIALS

PURCHASE_USD, PROMOTION_USD = 10.0, 0.15
OWNERS_SOLUTION_USD = 189.45


def log_of(name: str) -> Log:
    rows = pd.read_csv(TRIALS / name)
    features = rows[[column for column in rows if column.startswith("V")]]
    reward = PURCHASE_USD * rows["purchase"]
    return Log.of(features, rows["Promotion"], 0.5, reward, ("No", "Yes"))


@pytest.mark.skipif(not TRIALS.exists(), reason="the real trial is not here")
def test_the_learnt_policy_earns_more_than_the_owners_and_than_sending_to_nobody() -> None:
    costs = (0.0, PROMOTION_USD)
    learnt = learn(log_of("promotion_training.csv"), costs)
    test = log_of("promotion_test.csv")
    chosen = learnt.choose(test.features)
    # Net incremental revenue as the owner counts it: that of the half who were really sent to.
    paid = test.net_of(costs)
    sign = np.where(test.action == 1, 1.0, -1.0)
    revenue = float((sign * paid.reward)[chosen == 1].sum())
    gain = contributions(paid, chosen, "inverse_propensity") - contributions(
        paid, paid.always(0), "inverse_propensity"
    )
    assert gain.mean() * len(test) / 2 == pytest.approx(revenue)
    error = standard_error(gain) * len(test) / 2
    print(f"{revenue:.2f} USD, {revenue - 1.96 * error:.2f} to {revenue + 1.96 * error:.2f}")
    assert revenue > OWNERS_SOLUTION_USD
    assert revenue - 1.96 * error > 0
