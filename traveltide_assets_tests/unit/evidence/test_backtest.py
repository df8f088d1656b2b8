"""The trial of perks on what customers did after a cut."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.catalogue.perks import NO_OUTCOME, Perk, load_perks, of_program
from traveltide_assets.evidence.backtest import judge, run, with_untried
from traveltide_assets.evidence.config import Config as Evidence
from traveltide_assets.evidence.signals import perk_signals
from traveltide_assets.evidence.tables import (
    CONTRADICTED,
    NOT_SUPPORTED,
    NOT_TRIED,
    SUPPORTED,
    TOO_LITTLE,
)
from traveltide_assets.evidence.trial import BackTest, Past
from traveltide_assets.segmentation.propensity import (
    Expert,
    PropensityStrategy,
    TooLittleHistory,
)
from traveltide_assets.segmentation.scaling import NUMERIC
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings

PERKS = load_perks(Settings().perks_file)
BAG = next(perk for perk in PERKS if perk.id == "free_checked_bag")
SEED = Settings().seed
CONFIG = Evidence(resamples=400, permutations=400, sample_rows=10_000)
MONTH = "2023-04"


def trial_of(
    sessions: np.ndarray, bags: np.ndarray, flights: np.ndarray, config: Evidence = CONFIG
) -> BackTest:
    """Customers with these sessions before the cut, and these bags on flights after it."""
    return BackTest.prepare([past(MONTH, sessions, bags, flights)], config, seed=1)


def past(
    cut: str,
    sessions: np.ndarray,
    bags: np.ndarray,
    flights: np.ndarray,
    users: np.ndarray | None = None,
) -> Past:
    users = np.arange(len(sessions)) if users is None else users
    earlier = pd.DataFrame({"user_id": users, "total_sessions": sessions})
    outcomes = pd.DataFrame(
        {"user_id": users, "bags_per_flight_amount": bags, "bags_per_flight_opportunities": flights}
    )
    return Past(cut, earlier, outcomes)


def verdict(perk: pd.Series, trial: BackTest) -> pd.Series:
    return over_cuts([perk], trial)


def over_cuts(perk: list[pd.Series], trial: BackTest) -> pd.Series:
    pooled, _ = judge({"any": perk}, trial, [BAG])
    return pooled.iloc[0]


def given_to(mask: np.ndarray) -> pd.Series:
    return pd.Series(np.where(mask, BAG.id, "something_else"), dtype=object)


def test_a_perk_given_to_those_who_later_check_more_bags_is_supported() -> None:
    rng = np.random.default_rng(0)
    packs = rng.random(2_000) < 0.3
    trial = trial_of(np.full(2_000, 5), rng.poisson(np.where(packs, 2.0, 1.0)), np.ones(2_000))
    row = verdict(given_to(packs), trial)
    assert row["verdict"] == SUPPORTED
    assert row["lift"] == pytest.approx(2, rel=0.15)
    assert 1 < row["lift_low"] < row["lift"] < row["lift_high"]


def test_a_perk_given_at_random_is_not_supported() -> None:
    rng = np.random.default_rng(1)
    trial = trial_of(np.full(2_000, 5), rng.poisson(1.0, 2_000), np.ones(2_000))
    assert verdict(given_to(rng.random(2_000) < 0.3), trial)["verdict"] == NOT_SUPPORTED


def test_a_perk_given_to_those_who_later_check_fewer_bags_is_contradicted() -> None:
    rng = np.random.default_rng(2)
    packs = rng.random(2_000) < 0.3
    trial = trial_of(np.full(2_000, 5), rng.poisson(np.where(packs, 0.5, 1.0)), np.ones(2_000))
    row = verdict(given_to(packs), trial)
    assert row["verdict"] == CONTRADICTED
    assert row["lift_high"] < 1
    assert row["p_below"] < 0.01 < 0.99 < row["p_value"]


def test_flying_more_often_is_not_taken_for_packing_more() -> None:
    rng = np.random.default_rng(3)
    flies = rng.random(3_000) < 0.5
    flights = rng.poisson(np.where(flies, 5.0, 1.0))
    trial = trial_of(np.full(3_000, 5), rng.poisson(0.6 * flights), flights)
    row = verdict(given_to(flies), trial)
    assert row["opportunities"] > 3 * row["opportunities_others"]
    assert row["verdict"] == NOT_SUPPORTED


def test_what_the_number_of_earlier_sessions_explains_does_not_count_for_a_perk() -> None:
    # Few sessions before the cut mean many after it, so here only their number says anything.
    rng = np.random.default_rng(4)
    sessions = rng.integers(1, 8, 4_000)
    bags = rng.poisson(np.where(sessions <= 2, 2.0, 0.5))
    trial = trial_of(sessions, bags, np.ones(4_000))
    picked = rng.random(4_000) < np.where(sessions <= 2, 0.9, 0.1)
    row = verdict(given_to(picked), trial)
    assert row["lift"] > 1.5
    assert row["lift_by_activity"] == pytest.approx(row["lift"], rel=0.1)
    assert row["verdict"] == NOT_SUPPORTED


def test_few_customers_or_opportunities_are_too_little_data() -> None:
    rng = np.random.default_rng(5)
    few = np.arange(2_000) < CONFIG.min_customers - 1
    everybody = trial_of(np.full(2_000, 5), rng.poisson(1.0, 2_000), np.ones(2_000))
    assert verdict(given_to(few), everybody)["verdict"] == TOO_LITTLE
    flights = np.where(np.arange(2_000) < 90, 1, 0)
    hardly = trial_of(np.full(2_000, 5), flights, flights)
    assert verdict(given_to(rng.random(2_000) < 0.5), hardly)["verdict"] == TOO_LITTLE


def test_a_perk_that_no_behaviour_speaks_to_is_not_tried_and_weakens_no_other() -> None:
    rng = np.random.default_rng(9)
    given = rng.random(2_000) < 0.5
    trial = trial_of(np.full(2_000, 5), rng.poisson(1.0 + given), np.ones(2_000))
    mute = Perk(**{**BAG.model_dump(), "id": "mute", "outcome": NO_OUTCOME})
    tried = {"mine": [pd.Series(np.where(given, BAG.id, mute.id))]}
    alone, _ = judge(tried, trial, (BAG,))
    both, _ = judge(tried, trial, (BAG, mute))
    pd.testing.assert_frame_equal(both, alone)
    assert list(both["verdict"]) == [SUPPORTED]
    whole = with_untried(both, {"mine": "classic"}, (BAG, mute)).set_index("perk")
    assert whole.loc["mute", ["outcome", "verdict"]].tolist() == [NO_OUTCOME, NOT_TRIED]
    figures = ["mean", "mean_others", "lift", "lift_low", "lift_high", "p_value", "p_holm"]
    assert whole.loc["mute", figures].isna().all()


def test_nobody_after_the_cut_is_too_little_data_and_no_error() -> None:
    nothing = trial_of(np.full(200, 5), np.zeros(200), np.zeros(200))
    row = verdict(given_to(np.arange(200) < 100), nothing)
    assert row["verdict"] == TOO_LITTLE
    assert np.isnan(row["lift"])


def test_the_shuffles_keep_the_number_of_earlier_sessions() -> None:
    sessions = np.random.default_rng(6).integers(1, 5, 300)
    trial = trial_of(sessions, np.ones(300), np.ones(300))
    (shuffles,) = trial.permutations()
    assert len(shuffles) == CONFIG.permutations
    for shuffled in shuffles[:20]:
        assert (sessions[shuffled] == sessions).all()
        assert (np.sort(shuffled) == np.arange(300)).all()


def test_the_trial_does_not_depend_on_the_order_of_the_customers() -> None:
    rng = np.random.default_rng(7)
    trial = trial_of(rng.integers(1, 5, 500), rng.poisson(1.0, 500), np.ones(500))
    order, (known,) = rng.permutation(500), trial.pasts
    shuffled = Past(known.cut, known.earlier.iloc[order], known.outcomes.iloc[order])
    again = BackTest.prepare([shuffled], CONFIG, seed=1)
    perk = given_to(rng.random(500) < 0.4)
    pd.testing.assert_series_equal(verdict(perk, trial), verdict(perk, again))


def test_few_events_are_too_little_data_whatever_the_opportunities() -> None:
    rng = np.random.default_rng(11)
    given = rng.random(4_000) < 0.05
    rare = (rng.random(4_000) < 0.01).astype(float)
    row = verdict(given_to(given), trial_of(np.full(4_000, 5), rare, np.full(4_000, 3)))
    assert row["opportunities"] > CONFIG.min_opportunities
    assert row["fewest_events"] < CONFIG.min_events
    assert row["verdict"] == TOO_LITTLE
    assert row["detectable_lift"] > 2


def test_a_side_that_never_does_it_has_events_by_what_is_expected_of_it() -> None:
    rng = np.random.default_rng(12)
    given = rng.random(3_000) < 0.3
    bags = np.where(given, 0, rng.random(3_000) < 0.2).astype(float)
    row = verdict(given_to(given), trial_of(np.full(3_000, 5), bags, np.ones(3_000)))
    assert row["events"] == 0
    assert row["fewest_events"] > CONFIG.min_events
    assert row["verdict"] == CONTRADICTED


def test_the_detectable_lift_shrinks_with_the_number_of_customers() -> None:
    rng = np.random.default_rng(13)
    found = []
    for size in (500, 2_000, 8_000):
        trial = trial_of(np.full(size, 5), rng.poisson(1.0, size).astype(float), np.ones(size))
        found.append(verdict(given_to(rng.random(size) < 0.3), trial)["detectable_lift"])
    assert found == sorted(found, reverse=True)
    assert found[0] - 1 == pytest.approx(4 * (found[-1] - 1), rel=0.3)


def test_a_month_in_which_everybody_packs_more_favours_no_perk() -> None:
    # The perk goes to many before the busy months and to few before the others.
    rng = np.random.default_rng(14)
    busy, calm = np.full(3_000, 3.0), np.full(3_000, 0.5)
    pasts = [
        past(cut, np.full(3_000, 5), rng.poisson(bags).astype(float), np.ones(3_000))
        for cut, bags in (("2023-04", busy), ("2023-03", calm))
    ]
    trial = BackTest.prepare(pasts, CONFIG, seed=1)
    tried = [given_to(rng.random(3_000) < share) for share in (0.8, 0.1)]
    row = over_cuts(tried, trial)
    assert row["mean"] > 1.5 * row["mean_others"]
    assert row["lift"] == pytest.approx(1, abs=0.08)
    assert row["verdict"] == NOT_SUPPORTED


def test_the_same_outcomes_at_three_cuts_are_no_more_evidence_than_at_one() -> None:
    rng = np.random.default_rng(15)
    given = given_to(rng.random(1_500) < 0.4)
    bags = rng.poisson(1.0, 1_500).astype(float)
    one = past("2023-04", np.full(1_500, 5), bags, np.ones(1_500))
    thrice = [Past(cut, one.earlier, one.outcomes) for cut in ("2023-04", "2023-03", "2023-02")]
    single = verdict(given, BackTest.prepare([one], CONFIG, seed=1))
    row = over_cuts([given] * 3, BackTest.prepare(thrice, CONFIG, seed=1))
    for name in ("customers", "events", "lift", "lift_low", "lift_high", "detectable_lift"):
        assert row[name] == pytest.approx(single[name], rel=0.01)
    assert row["opportunities"] == 3 * single["opportunities"]
    assert row["p_value"] == pytest.approx(single["p_value"], abs=0.01)


@pytest.mark.parametrize("overlap", [0, 2])
def test_overlapping_windows_of_customers_who_are_alike_are_rarely_a_finding(overlap: int) -> None:
    """P-values of either direction are uniform, whether or not the windows overlap."""
    p_values = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        months = rng.poisson(0.4, (400, 12)).astype(float)  # Bags per month of a customer.
        pasts, tried = [], []
        for number, cut in enumerate(("2023-04", "2023-03", "2023-02")):
            start = 3 + (2 - number) * (3 - overlap)
            window = months[:, start - 3 : start]
            bags = months[:, start : start + 3].sum(axis=1)
            pasts.append(past(cut, np.full(400, 5), bags, np.ones(400)))
            # Given by what customers did before, in months that another cut's window contains.
            tried.append(given_to(window.sum(axis=1) > 1))
        config = Evidence(resamples=100, permutations=100)
        row = over_cuts(tried, BackTest.prepare(pasts, config, seed=seed))
        p_values.append(min(row["p_value"], row["p_below"]))
    assert np.mean(np.array(p_values) <= 0.025) <= 0.10
    assert np.mean(p_values) == pytest.approx(0.25, abs=0.04)


def test_customers_known_only_at_a_later_cut_count_there_alone() -> None:
    rng = np.random.default_rng(16)
    everybody, first = np.arange(1_000), np.arange(600)
    pasts = [
        past("2023-04", np.full(1_000, 5), rng.poisson(1.0, 1_000), np.ones(1_000), everybody),
        past("2023-03", np.full(600, 3), rng.poisson(1.0, 600), np.ones(600), first),
    ]
    trial = BackTest.prepare(pasts, CONFIG, seed=1)
    tried = [given_to(everybody % 4 == 0), given_to(first % 2 == 0)]
    pooled, by_cut = judge({"any": tried}, trial, [BAG])
    row = pooled.iloc[0]
    assert row["customers"] == len({*everybody[everybody % 4 == 0], *first[first % 2 == 0]})
    assert row["opportunities"] + row["opportunities_others"] == 1_600
    assert dict(zip(by_cut["cut"], by_cut["customers"], strict=True)) == {
        "2023-04": 250,
        "2023-03": 300,
    }


def test_a_perk_that_nobody_was_given_is_not_tried() -> None:
    rng = np.random.default_rng(17)
    trial = trial_of(np.full(500, 5), rng.poisson(1.0, 500), np.ones(500))
    pooled, _ = judge({"any": [given_to(rng.random(500) < 0.5)]}, trial, [BAG])
    meal = next(perk for perk in PERKS if perk.id == "free_hotel_meal")
    found = with_untried(pooled, {"any": "classic", "other": "classic"}, [BAG, meal])
    verdicts = found.set_index(["strategy", "perk"])["verdict"]
    assert verdicts["any", BAG.id] == NOT_SUPPORTED
    assert (verdicts.drop(("any", BAG.id)) == NOT_TRIED).all()
    assert len(verdicts) == 4
    assert list(found.dtypes) == list(pooled.dtypes)


def test_without_any_history_before_the_cuts_nothing_is_tried() -> None:
    empty = past(MONTH, np.array([], dtype=int), np.array([]), np.array([]))
    found = run({"propensity": PropensityStrategy((BAG,), SEED)}, [empty], [BAG], CONFIG, seed=1)
    assert list(found.pooled["verdict"]) == [NOT_TRIED]
    assert found.by_cut.empty


def test_signals_name_the_perk_that_says_the_same() -> None:
    rng = np.random.default_rng(8)
    one, other, apart = of_program(PERKS, "classic")[:3]
    twins = (one, Perk(**{**one.model_dump(), "id": "twin"}), apart)
    frame = signal_frame(rng, (one, other, apart))
    signals = perk_signals(frame, twins).set_index("perk")
    assert signals.loc[one.id, "most_redundant_with"] == "twin"
    assert signals.loc[one.id, "rank_correlation"] == pytest.approx(1)
    assert 0 < signals.loc[one.id, "strong_share"] < 0.5


def signal_frame(rng: np.random.Generator, perks: tuple[Perk, ...]) -> pd.DataFrame:
    wanted = {name for perk in perks for name in perk.features}
    values = {n: rng.normal(size=400) if n in wanted else np.zeros(400) for n in NUMERIC}
    return pd.DataFrame({"user_id": np.arange(400), **values})


def test_propensity_without_a_past_says_what_is_missing() -> None:
    with pytest.raises(TooLittleHistory, match="as of a cut"):
        PropensityStrategy(PERKS, SEED).fit(History(pd.DataFrame({"user_id": [1]})))


def test_a_behaviour_that_is_not_to_be_trusted_is_expected_at_the_average() -> None:
    inputs = np.zeros((3, 2))
    assert Expert(None, average=0.4, trust=0.0).lift(inputs).tolist() == [1.0, 1.0, 1.0]
