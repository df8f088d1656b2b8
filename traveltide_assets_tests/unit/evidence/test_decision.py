"""Which strategy decides: worth, noise and the strategy in service."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traveltide_assets.evidence.config import RECOMMENDED as BY_SCORECARD
from traveltide_assets.evidence.config import Config
from traveltide_assets.evidence.decision import BETTER, NO_RIVAL, Offers, decide, deciding
from traveltide_assets.evidence.tables import NOT_SUPPORTED, SUPPORTED, TOO_LITTLE

CONFIG = Config()
SIZE = 2_000
COHORT = pd.Series(np.arange(SIZE))
NOTHING = pd.DataFrame(columns=["user_id", "segment_odd", "perk_odd", "segment_even", "perk_even"])


def offers(share: float, steady: float = 1.0, reliable: float = 1.0, first: bool = False) -> Offers:
    """A share of the customers get "good", which may be supported; the others get "poor"."""
    users = np.arange(SIZE)
    perk = np.where(users < share * SIZE, "good", "poor")
    # The same customers change whatever their perk is, so that shares are exact.
    changed = (users % 100) >= 100 * steady
    other = (users % 100) >= 100 * reliable
    frame = pd.DataFrame({"user_id": users, "segment": "all", "perk": perk})
    return Offers(
        frame,
        None if first else frame.assign(perk=np.where(changed, "another", perk)),
        pd.DataFrame(
            {
                "user_id": users,
                "segment_odd": "all",
                "perk_odd": perk,
                "segment_even": "all",
                "perk_even": np.where(other, "another", perk),
            }
        ),
    )


def evidence(*strategies: str, verdict: str = SUPPORTED, p_value: float = 0.0001) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "strategy": strategy,
                "perk": perk,
                "verdict": said,
                "p_value": p_value if perk == "good" else 0.5,
                "lift_low": 1.1 if perk == "good" else 0.9,
            }
            for strategy in strategies
            for perk, said in (("good", verdict), ("poor", NOT_SUPPORTED))
        ]
    )


def decided(
    rivals: dict[str, Offers],
    judged: pd.DataFrame,
    previous: str | None = None,
    setting: str = BY_SCORECARD,
) -> pd.DataFrame:
    return decide(setting, rivals, judged, previous, COHORT, CONFIG).set_index("strategy")


def name_of(decision: pd.DataFrame) -> str:
    return deciding(decision.reset_index())


def test_the_first_decision_goes_to_the_strategy_that_is_worth_most() -> None:
    found = decided({"one": offers(0.3), "two": offers(0.6)}, evidence("one", "two"))
    assert name_of(found) == "two"
    assert found.loc["two", "worth"] == pytest.approx(0.6)
    assert (found["verdict"] == NO_RIVAL).all()
    assert found["difference"].isna().all()


def test_offers_that_flap_and_perks_that_other_visits_would_not_give_are_worth_less() -> None:
    rivals = {
        "calm": offers(0.5),
        "flapping": offers(0.5, steady=0.4),
        "erratic": offers(0.5, reliable=0.4),
        "first": offers(0.5, first=True),
    }
    worth = decided(rivals, evidence(*rivals))["worth"]
    assert worth["calm"] == worth["first"] == pytest.approx(0.5)
    assert worth["flapping"] == pytest.approx(0.5 * (1 - 0.6 * CONFIG.weight_steady))
    assert worth["erratic"] == pytest.approx(0.5 * (1 - 0.6 * CONFIG.weight_reliable))


def test_a_steady_strategy_may_beat_one_that_supports_more_customers() -> None:
    rivals = {"steady": offers(0.5), "hasty": offers(0.55, steady=0.1, reliable=0.1)}
    assert name_of(decided(rivals, evidence(*rivals))) == "steady"


def test_a_newcomer_takes_over_only_beyond_noise_and_margin() -> None:
    for share, name in ((0.52, "old"), (0.7, "new")):
        rivals = {"old": offers(0.5), "new": offers(share)}
        found = decided(rivals, evidence(*rivals), previous="old")
        assert name_of(found) == name
        assert (found.loc["new", "verdict"] == BETTER) == (name == "new")
        assert bool(found.loc["new", "recommended"])
        assert np.isnan(found.loc["old", "difference"])


def test_a_verdict_at_the_bound_does_not_cost_the_strategy_in_service_its_place() -> None:
    judged = pd.concat([evidence("old", verdict=NOT_SUPPORTED, p_value=0.004), evidence("new")])
    rivals = {"old": offers(0.6), "new": offers(0.6)}
    assert name_of(decided(rivals, judged, previous="old")) == "old"
    assert name_of(decided(rivals, judged, previous="new")) == "new"
    lost = pd.concat([evidence("old", verdict=NOT_SUPPORTED, p_value=0.4), evidence("new")])
    assert name_of(decided(rivals, lost, previous="old")) == "new"
    # Too little data is no benefit of the doubt.
    little = pd.concat([evidence("old", verdict=TOO_LITTLE), evidence("new")])
    assert name_of(decided(rivals, little, previous="old")) == "new"


def test_without_any_supported_perk_the_fallback_decides_and_later_stays() -> None:
    names = (CONFIG.fallback, "other")
    rivals = {name: offers(0.5) for name in names}
    judged = evidence(*names, verdict=NOT_SUPPORTED, p_value=0.5)
    first = decided(rivals, judged)
    assert name_of(first) == CONFIG.fallback
    assert not first["recommended"].any()
    assert name_of(decided(rivals, judged, previous="other")) == "other"


def test_a_strategy_that_has_no_customers_any_more_is_not_in_service() -> None:
    gone = Offers(offers(0.5).customers.iloc[:0], None, NOTHING)
    rivals = {"old": gone, "new": offers(0.2)}
    found = decided(rivals, evidence("new"), previous="old")
    assert name_of(found) == "new"
    assert found.loc["old", "worth"] == 0


def test_a_setting_that_names_a_strategy_decides_and_the_rest_is_still_told() -> None:
    rivals = {"one": offers(0.3), "two": offers(0.6)}
    found = decided(rivals, evidence("one", "two"), setting="one")
    assert name_of(found) == "one"
    assert list(found.index[found["recommended"]]) == ["two"]


@given(
    st.lists(st.integers(0, 10).map(lambda tenth: tenth / 10), min_size=1, max_size=4),
    st.booleans(),
)
def test_exactly_one_strategy_decides_and_worth_is_a_share(
    shares: list[float], serving: bool
) -> None:
    rivals = {f"s{i}": offers(share) for i, share in enumerate(shares)} | {
        CONFIG.fallback: offers(0.0)
    }
    found = decided(rivals, evidence(*rivals), previous="s0" if serving else None)
    assert found["decides"].sum() == 1
    assert found["worth"].between(0, 1).all()
    chosen = found.loc[name_of(found)]
    allowed = CONFIG.switch_margin + 0.05 if serving else 0.0
    assert chosen["worth"] >= found["worth"].max() - allowed
