"""Looks before the end: published bounds, the level kept over all looks, and the decision rule."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from traveltide_assets.experiment import (
    assignment,
    judging,
    looks,
    periods,
    plan,
    plan_advice,
    readout,
    stopping,
    weekly_looks,
)
from traveltide_assets.experiment.assignment import EVERYBODY, PERSONALISED
from traveltide_assets.experiment.config import Config as Experiment

WEEKLY = tuple((week + 1) / 8 for week in range(8))
TIMES = st.lists(st.integers(1, 40), min_size=1, max_size=6, unique=True).map(
    lambda weeks: tuple(week / 40 for week in sorted(weeks))
)


def test_the_bounds_are_the_published_ones() -> None:
    # Five equal looks, two-sided 5 %, as Lan and DeMets' own program and R's ldbounds print them.
    published = [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]
    found = looks.bounds([0.2, 0.4, 0.6, 0.8, 1.0], 0.05)
    assert found == pytest.approx(published, abs=2e-4)
    assert looks.bounds([1.0], 0.05) == pytest.approx([norm.isf(0.025)])


@settings(max_examples=30)
@given(TIMES, st.sampled_from([0.2, 0.05, 0.0033]))
def test_the_level_spent_is_the_chance_of_a_false_alarm(
    times: tuple[float, ...], alpha: float
) -> None:
    chances = looks.crossing(times, looks.bounds(times, alpha))
    assert np.cumsum(chances) == pytest.approx(looks.spent(times, alpha), abs=1e-7)


def test_random_walks_cross_as_often_as_computed() -> None:
    steps = np.random.default_rng(1).normal(size=(40_000, 8)) * np.sqrt(1 / 8)
    for drift in (0.0, 2.8):
        walks = (steps + drift / 8).cumsum(axis=1) / np.sqrt(WEEKLY)
        crossed = (np.abs(walks) >= looks.bounds(WEEKLY, 0.05)).any(axis=1).mean()
        expected = looks.crossing(WEEKLY, looks.bounds(WEEKLY, 0.05), drift).sum()
        assert crossed == pytest.approx(expected, abs=0.008)


@settings(max_examples=12)
@given(TIMES, st.floats(0, 6), st.sampled_from([0.2, 0.05, 0.01, 0.001]))
def test_a_p_value_is_below_the_level_exactly_beyond_the_bound(
    times: tuple[float, ...], size: float, alpha: float
) -> None:
    bound = looks.bounds(times, alpha)[-1]
    if abs(size - bound) > 0.01:
        assert (looks.p_value(size, times) <= alpha) == (size > bound)
    assert looks.p_value(size, times) == looks.p_value(-size, times)
    assert 2 * norm.sf(size) - 1e-9 <= looks.p_value(size, times) <= 1
    assert looks.p_value(0.0, times[:1]) == 1


def test_one_look_at_the_end_is_the_usual_test() -> None:
    for size in (0.0, 1.0, 1.96, 4.0):
        assert looks.p_value(size, (1.0,)) == pytest.approx(2 * norm.sf(size))


def test_looking_weekly_costs_at_most_two_points_of_power() -> None:
    drift = norm.isf(0.025) + norm.ppf(0.8)
    found = looks.prospect(WEEKLY, 0.05, drift)
    assert 0.78 <= found.power <= 0.8
    assert found.expected < 0.8


@pytest.mark.parametrize("times", [(), (0.0, 1.0), (0.5, 0.4), (0.5, 1.1), (0.5, 0.5)])
def test_times_that_are_none_are_refused(times: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must rise"):
        looks.bounds(times, 0.05)


def test_every_whole_week_is_a_look_up_to_the_planned_end() -> None:
    start = dt.date(2023, 5, 15)
    config = Experiment(start=start, weeks=8)
    weeks = {m: periods.weeks_read(start, config, m) for m in ("2023-04", "2023-05", "2023-06")}
    assert weeks == {"2023-04": 0, "2023-05": 2, "2023-06": 6}
    assert periods.weeks_read(start, config, "2023-09") == 8
    assert periods.looks_at(2, config) == (0.125, 0.25)
    assert periods.looks_at(8, config) == WEEKLY
    said = readout.status(Experiment(start=dt.date(2023, 5, 28)), "2023-05", ["2023-04"])
    assert said.run is None
    assert "its first is not over" in said.words


def arms_and(effect: float, harm: float = 0.0, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    count = 8_000
    people = pd.DataFrame(
        {
            "user_id": np.arange(count),
            "segment": rng.choice(["calm", "lively"], count),
            "perk": "free_checked_bag",
        }
    )
    arms = assignment.assign(people, Experiment())
    treated = (arms["arm"] == PERSONALISED).to_numpy()
    outcomes = pd.DataFrame(
        {
            "bookings": rng.poisson(0.5 * (1 + effect * treated)).astype(float),
            "cancellations": (rng.random(count) < 0.1 * (1 + harm * treated)).astype(float),
            "sessions": rng.poisson(4, count).astype(float),
        },
        index=arms["user_id"],
    )
    return arms, outcomes


def compared(
    effect: float, harm: float = 0.0, times: tuple[float, ...] = (1.0,), seed: int = 1
) -> pd.DataFrame:
    arms, outcomes = arms_and(effect, harm, seed)
    return readout.compare(arms, outcomes, pd.DataFrame(index=outcomes.index), Experiment(), times)


def overall(table: pd.DataFrame, metric: str) -> pd.Series:
    return table.set_index(["metric", "segment"]).loc[(metric, EVERYBODY)]


def test_a_look_before_its_bound_carries_no_verdict() -> None:
    at_the_end = overall(compared(0.13), "bookings")
    early = overall(compared(0.13, times=WEEKLY[:1]), "bookings")
    assert at_the_end["verdict"] == judging.BETTER
    assert early["p_value"] == at_the_end["p_value"]
    assert early["verdict"] == judging.NO_DIFFERENCE
    assert early["look_bound"] == pytest.approx(looks.bounds(WEEKLY[:1], 0.05)[0])


def test_the_decision_follows_the_rule() -> None:
    config = Experiment()
    for effect, harm, times, expected in (
        (0.2, 0.0, (1.0,), stopping.SHIP),
        (0.5, 0.0, WEEKLY[:4], stopping.SHIP),
        (-0.2, 0.0, (1.0,), stopping.DROP),
        (0.2, 0.6, (1.0,), stopping.DROP),
        (0.0, 0.0, (1.0,), stopping.DROP),
        (0.0, 0.0, WEEKLY[:1], stopping.GO_ON),
        (-0.05, 0.0, WEEKLY[:7], stopping.DROP),
    ):
        found = stopping.decide(compared(effect, harm, times), times[-1] < 1, config)
        assert found.verdict == expected, (effect, harm, times, found)


def test_a_guardrail_passes_only_where_the_margin_is_excluded() -> None:
    table = compared(0.0)
    assert overall(table, "sessions")["verdict"] == judging.NO_HARM
    cancellations = overall(table, "cancellations")
    # Of 8,000 customers 10 % cancel: a tenth more is within the noise.
    assert cancellations["verdict"] == judging.UNCLEAR
    assert cancellations["p_margin"] > 0.05
    assert overall(compared(0.0, harm=0.6), "cancellations")["verdict"] == judging.HARM


def test_the_plan_says_what_looking_every_week_does() -> None:
    row = plan._with_looks(0.8, 0.05, 8)
    assert 0.78 <= row["power_with_looks"] < 0.8
    assert 4 < row["expected_weeks"] < 7
    assert plan._with_looks(0.8, 0.05, 1)["power_with_looks"] == pytest.approx(0.8, abs=1e-6)


def weekly_of(first: float, then: float) -> weekly_looks.Weekly:
    """Eight looks with one effect in the first four weeks, and another one afterwards."""
    arms, outcomes = arms_and(first, seed=3)
    later = arms_and(then, seed=5)[1]
    added = [outcomes if week < 4 else later for week in range(8)]
    known, total = [], None
    for each in added:
        total = each if total is None else total + each
        known.append(total.assign(cancellations=(total["cancellations"] > 0).astype(float)))
    run = readout.Run(
        dt.datetime(2023, 5, 1), dt.datetime(2023, 6, 26), dt.datetime(2023, 6, 26), "", WEEKLY
    )
    before = pd.DataFrame(index=outcomes.index)
    return weekly_looks.at_looks(arms, known, before, Experiment(), run)


def test_the_first_look_that_decides_stands() -> None:
    found = weekly_of(0.4, 0.0)
    assert found.decided.verdict == stopping.SHIP
    assert found.week < 5
    rows = found.looks[found.looks["metric"] == "bookings"].set_index("week")
    assert set(rows.loc[: found.week - 1, "decision"]) <= {stopping.GO_ON}
    assert set(rows.loc[found.week :, "decision"]) == {stopping.SHIP}
    assert set(rows.loc[found.week :, "stopped_in"]) == {found.week}
    assert rows["look_bound"].is_monotonic_decreasing
    for week, row in rows.iterrows():
        early = row["p_holm"] > 0.05
        assert (row["verdict"] == judging.NO_DIFFERENCE) == early, week


def test_futility_does_not_bind_and_a_bound_does() -> None:
    found = weekly_of(-0.03, 0.6)
    rows = found.looks[found.looks["metric"] == "bookings"].set_index("week")
    assert stopping.DROP in set(rows["decision"]), "no look was futile"
    assert rows.loc[8, "decision"] == stopping.SHIP
    assert found.decided.bound


def test_the_advice_follows_from_the_plan() -> None:
    config = Experiment()
    row = {
        "metric": "bookings",
        "segment": EVERYBODY,
        "role": "goal",
        "customers_personalised": 2_700,
        "customers_control": 2_698,
        "baseline_from": "sessions",
        "alpha": 0.0033,
        "power": 0.43,
        "detectable_relative": 0.31,
        "customers_needed": 53_830.0,
        "weeks_needed": np.nan,
        "expected_weeks": 7.0,
        "verdict": plan.TOO_FEW,
    }
    clicks = row | {"metric": "click_through", "customers_needed": 193_371.0, "power": 0.1}
    said = " ".join(plan_advice.advise(pd.DataFrame([clicks, row]), config))
    assert said.startswith("Do not start it as planned: among these 5,398 customers")
    assert "53,830 for bookings per customer, which takes the fewest" in said
    assert "sooner" not in said
    assert "31%" in said
    enough = row | {"power": 0.9, "verdict": plan.ENOUGH}
    said = " ".join(plan_advice.advise(pd.DataFrame([clicks, enough]), config))
    assert said.startswith("Start it: 10% more bookings per customer would be found")
    assert "week 7" in said
    assert "click" not in said
