"""Small tables of what was learnt: a campaign read, an experiment looked at, policies, budgets."""

from __future__ import annotations

import numpy as np
import pandas as pd

from traveltide_assets.campaign.tables import BUDGET_CURVE
from traveltide_assets.experiment import campaign_readout, judging, stopping
from traveltide_assets.experiment.assignment import CONTROL, EXPLORATION, HOLDOUT, PERSONALISED
from traveltide_assets.experiment.config import Config
from traveltide_assets.experiment.learning.policy_promotion import TOO_LITTLE_DATA
from traveltide_assets.experiment.policy_scorecard import REVENUE
from traveltide_assets.experiment.tables import LOOKS, POLICY_SCORECARD

BAG, MEAL = "free_checked_bag", "free_hotel_meal"


def effects(lift: float = 0.3, closed: bool = True, count: int = 6_000) -> pd.DataFrame:
    """`gold/campaign_readout` of a campaign in which whoever gets their perk books more."""
    return campaign_readout.read(outcomes(lift, closed, count), Config(), holdout=0.1)


def outcomes(lift: float = 0.3, closed: bool = True, count: int = 6_000) -> pd.DataFrame:
    """What the readout needs of `gold/campaign_outcomes`, of the same campaign."""
    rng = np.random.default_rng(2)
    arms = [PERSONALISED, CONTROL, EXPLORATION, HOLDOUT]
    arm = rng.choice(arms, count, p=[0.35, 0.35, 0.2, 0.1])
    bookings = rng.poisson(0.4 * (1 + lift * (arm == PERSONALISED)))
    revenue = bookings * rng.gamma(2.0, 100.0, count)
    return pd.DataFrame(
        {
            "campaign": "2023-05",
            "user_id": np.arange(count),
            "segment": "Customers who travel",
            "arm": arm,
            "offer": np.where(np.arange(count) % 2 == 0, BAG, MEAL),
            "probability": 0.5,
            "eligible": [[BAG, MEAL]] * count,
            "clicks": ((rng.random(count) < 0.1) & (arm != HOLDOUT)).astype(int),
            **dict.fromkeys(("sign_ups", "redemptions", "unsubscribed"), 0),
            "bookings": bookings,
            "cancellations": (rng.random(count) < 0.1).astype(int),
            "retained": rng.random(count) < 0.6,
            "revenue_usd": revenue,
            "revenue_capped_usd": revenue,
            "net_margin_usd": np.nan,
            "bookings_before": rng.poisson(0.4, count),
            "sessions_before": rng.poisson(3, count),
            "revenue_before_usd": 0.0,
            "starts_at": pd.Timestamp("2023-06-01"),
            "ends_at": pd.Timestamp("2023-06-29"),
            "read_until": pd.Timestamp("2023-06-29" if closed else "2023-06-08"),
            "closed": closed,
        }
    )


def looks(weeks: int = 4) -> pd.DataFrame:
    """`gold/experiment_looks` of an experiment whose third look reaches its bound."""
    rows = []
    for week in range(1, weeks + 1):
        found = week >= 3
        for metric, role in (("bookings", "goal"), ("sessions", "guardrail")):
            rows.append(
                {
                    "week": week,
                    "metric": metric,
                    "role": role,
                    "customers_personalised": 900,
                    "customers_control": 910,
                    "personalised": 0.1 * week,
                    "control": 0.08 * week,
                    "difference": 0.02 * week,
                    "low": 0.02 * week - 0.04,
                    "high": 0.02 * week + 0.04,
                    "look_bound": 4.0 / week**0.5,
                    "verdict": judging.BETTER if found else judging.NO_DIFFERENCE,
                    "in_words": "More than chance." if found else "No difference is shown.",
                    "decision": stopping.SHIP if found else stopping.GO_ON,
                    "stopped_in": 3 if found else None,
                }
            )
    return pd.DataFrame(rows).reindex(columns=list(LOOKS.column_names))


def policies(verdict: str = TOO_LITTLE_DATA) -> pd.DataFrame:
    """`gold/policy_scorecard` of nobody, two perks for everybody, and the learnt policy."""
    values = {"always none": 90.0, f"always {BAG}": 95.0, f"always {MEAL}": 88.0, "learned": 97.0}
    rows = pd.DataFrame({"policy": list(values), "value": list(values.values())})
    return rows.assign(
        reward=REVENUE,
        gain=rows["value"] - 90,
        standard_error=3.0,
        low=rows["value"] - 8,
        high=rows["value"] + 8,
        effective_sample_size=400.0,
        customers=1_800,
        verdict=verdict,
        in_words=f"There is too little data to tell whether targeting pays: +2 per row against "
        f"always {BAG} (-5 to +9). It takes about 9,000 rows; there are 1,800. "
        f"Use always {BAG} so far.",
        rows_needed=9_000.0,
    )[list(POLICY_SCORECARD.column_names)]


def curve() -> pd.DataFrame:
    """`gold/budget_curve` whose best budget is 2,000 USD, where 1,000 USD are set."""
    budgets = np.array([0.0, 500.0, 1_000.0, 2_000.0])
    net = np.array([0.0, 400.0, 650.0, 800.0])
    rows = pd.DataFrame(
        {
            "budget_usd": budgets,
            "customers": [0, 90, 180, 350],
            "expected_cost_usd": budgets,
            "expected_net_value_usd": net,
            "low": net - 0.2 * budgets,
            "high": net + 0.2 * budgets,
            "configured": budgets == 1_000,
        }
    )
    return rows[list(BUDGET_CURVE.column_names)]
