"""The experiment: a fair draw, a plan that keeps its word, and a readout that does not cry wolf."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import ttest_ind as welch

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.definitions import build_definitions
from traveltide_assets.experiment import assignment, judging, plan, readout
from traveltide_assets.experiment import measurements as outcomes
from traveltide_assets.experiment import periods as calendar
from traveltide_assets.experiment.assignment import CONTROL, EVERYBODY, PERSONALISED
from traveltide_assets.experiment.config import Config as Experiment
from traveltide_assets.settings import Settings
from traveltide_assets.transforms import traffic
from traveltide_assets_tests.conftest import LAST

FEW = settings(max_examples=40)
USERS = st.lists(st.integers(1, 10**9), min_size=1, max_size=60, unique=True)


def customers(count: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user_id": np.arange(1, count + 1),
            "segment": rng.choice(["calm", "lively"], count),
            "perk": rng.choice(["free_checked_bag", "free_hotel_meal"], count),
        }
    )


def overall(table: pd.DataFrame, metric: str) -> pd.Series:
    return table.set_index(["metric", "segment"]).loc[(metric, EVERYBODY)]


@FEW
@given(USERS, st.floats(0.05, 0.95), st.permutations(["calm", "lively"]))
def test_the_arm_is_the_same_in_every_order_month_and_segment(
    users: list[int], ratio: float, segments: list[str]
) -> None:
    config = Experiment(ratio=ratio)
    frame = pd.DataFrame({"user_id": users, "segment": segments[0], "perk": "free_checked_bag"})
    first = assignment.assign(frame, config).set_index("user_id")["arm"]
    later = frame.iloc[::-2].assign(segment=segments[1], perk="free_hotel_meal")
    second = assignment.assign(later, config).set_index("user_id")["arm"]
    assert (first[second.index] == second).all()


@FEW
@given(USERS, st.floats(0.1, 0.5), st.floats(0.1, 0.4))
def test_a_larger_share_takes_nobody_out_of_the_personalised_arm(
    users: list[int], ratio: float, more: float
) -> None:
    few, many = (
        set(np.array(users)[assignment.arms(pd.Series(users), config) == PERSONALISED])
        for config in (Experiment(ratio=ratio), Experiment(ratio=ratio + more))
    )
    assert few <= many


@pytest.mark.parametrize("ratio", [0.5, 0.8])
def test_each_segment_is_split_as_the_ratio_says(ratio: float) -> None:
    arms = assignment.assign(customers(20_000), Experiment(ratio=ratio))
    shares = (arms["arm"] == PERSONALISED).groupby(arms["segment"]).mean()
    assert shares.between(ratio - 0.02, ratio + 0.02).all()
    assert min(assignment.mismatches(arms, ratio).values()) > 0.001
    assert min(assignment.mismatches(arms, ratio + 0.1).values()) < 1e-6


def test_the_control_arm_is_offered_the_control_offer_and_whoever_has_it_anyway_is_out() -> None:
    arms = assignment.assign(customers(500), Experiment(control_offer="free_hotel_meal"))
    assert set(arms["perk"]) == {"free_checked_bag"}
    assert (arms.loc[arms["arm"] == CONTROL, "offer"] == "free_hotel_meal").all()
    assert (arms.loc[arms["arm"] == PERSONALISED, "offer"] == "free_checked_bag").all()


def test_an_unknown_control_offer_is_refused_before_anything_runs() -> None:
    config = Settings(source=FOLDER, experiment={"control_offer": "a_pony"})
    with pytest.raises(assignment.ExperimentError, match="a_pony is not in the perk catalogue"):
        build_definitions(config)


def test_a_segment_that_lost_one_arm_is_a_mismatch() -> None:
    arms = assignment.assign(customers(4_000), Experiment())
    lost = arms[(arms["segment"] == "calm") | (arms["arm"] == CONTROL) | (arms.index % 3 > 0)]
    p_values = assignment.mismatches(lost, 0.5)
    assert p_values["lively"] < 0.001 < p_values["calm"]


def test_without_customers_there_is_no_mismatch() -> None:
    empty = assignment.assign(customers(0), Experiment())
    assert assignment.mismatches(empty, 0.5) == {EVERYBODY: 1.0}


def weekly(users: pd.Series, weeks: int, rate: float, seed: int = 0) -> pd.DataFrame:
    """Sessions of `weeks` weeks in which each customer books `rate` times a week."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        [(user, week) for user in users for week in range(weeks)], columns=["user_id", "week"]
    )
    booked = rng.poisson(rate, len(table))
    return table.assign(bookings=booked, cancellations=booked > 1, sessions=booked + 1)


def test_the_plan_has_the_power_that_the_formula_of_the_textbook_gives() -> None:
    config = Experiment(weeks=4, relative_effect=0.2)
    arms = assignment.assign(customers(3_000), config)
    found = overall(
        plan.plan(arms, weekly(arms["user_id"], 8, 0.1), 8, _none(), config), "bookings"
    )
    assert found["baseline_mean"] == pytest.approx(0.4, rel=0.05)
    assert found["baseline_weeks"] == 4
    assert found["alpha"] == pytest.approx(0.05 / 9)
    # The effect multiplies the spread of its arm as well.
    for relative, power in ((0.2, found["power"]), (found["detectable_relative"], 0.8)):
        variance = found["baseline_sd"] ** 2 * (1 + (1 + relative) ** 2) / 2
        error = np.sqrt(
            variance / found["customers_personalised"] + variance / found["customers_control"]
        )
        beyond = relative * found["baseline_mean"] / error - norm.isf(found["alpha"] / 2)
        assert norm.cdf(beyond) == pytest.approx(power, abs=0.005)


def test_more_weeks_or_customers_are_asked_for_where_the_power_is_too_low() -> None:
    config = Experiment(weeks=2, relative_effect=0.15)
    arms = assignment.assign(customers(3_000), config)
    table = weekly(arms["user_id"], 16, 0.2)
    short = overall(plan.plan(arms, table, 16, _none(), config), "bookings")
    assert short["verdict"] == plan.TOO_FEW
    assert short["customers_needed"] > 3_000
    longer = config.model_copy(update={"weeks": int(short["weeks_needed"])})
    enough = overall(plan.plan(arms, table, 16, _none(), longer), "bookings")
    assert enough["verdict"] == plan.ENOUGH
    almost = config.model_copy(update={"weeks": int(short["weeks_needed"]) - 1})
    assert overall(plan.plan(arms, table, 16, _none(), almost), "bookings")["power"] < 0.8


def test_customers_who_turn_quiet_after_being_chosen_make_a_plan_too_small() -> None:
    config = Experiment(weeks=4, relative_effect=0.2)
    arms = assignment.assign(customers(4_000), config)
    table = weekly(arms["user_id"], 4, 0.3)
    lively = overall(plan.plan(arms, table, 4, _none(), config), "bookings")
    assert lively["verdict"] == plan.ENOUGH
    followed = pd.DataFrame(
        {"bookings": 0.0, "cancellations": 0.0, "sessions": 0.0}, index=arms["user_id"]
    )
    followed.iloc[::10] = 1.0
    quiet = overall(plan.plan(arms, table, 4, followed, config), "bookings")
    assert quiet["mean_after"] == pytest.approx(0.1)
    assert quiet["power_after"] < 0.8 < quiet["power"]
    assert quiet["verdict"] == plan.TOO_FEW


def test_what_no_session_tells_is_planned_from_an_assumption_and_says_so() -> None:
    config = Experiment(assumed_sign_ups=0.3)
    arms = assignment.assign(customers(2_000), config)
    table = plan.plan(arms, weekly(arms["user_id"], 2, 0.1), 2, _none(), config)
    assert overall(table, "sign_ups")["baseline_from"] == "assumed"
    assert overall(table, "sign_ups")["baseline_mean"] == 0.3
    assert overall(table, "bookings")["baseline_from"] == "sessions"


def test_without_history_or_customers_the_plan_knows_nothing_and_does_not_fail() -> None:
    config = Experiment()
    arms = assignment.assign(customers(50), config)
    table = plan.plan(arms, weekly(arms["user_id"], 0, 0.1), 0, _none(), config)
    assert (table.loc[table["baseline_from"] == "sessions", "verdict"] == plan.UNKNOWN).all()
    nobody = plan.plan(arms.iloc[:0], weekly(arms["user_id"], 2, 0.1), 2, _none(), config)
    assert set(nobody["verdict"]) == {plan.UNKNOWN}


def _none() -> pd.DataFrame:
    columns = ["bookings", "cancellations", "sessions"]
    return pd.DataFrame(columns=columns, dtype="float64")


def test_a_week_is_seven_days_and_what_follows_the_end_is_not_seen() -> None:
    end = dt.datetime(2023, 7, 1)
    starts = {
        "2023-06-30 23:59": 0,
        "2023-06-24 00:00": 0,
        "2023-06-23 23:59": 1,
        "2023-06-17 00:00": 1,
    }
    rows = [*starts, "2023-07-01 00:00", "2023-06-16 23:59"]
    sessions = pd.DataFrame(
        {
            "user_id": range(len(rows)),
            "session_start": pd.to_datetime(rows),
            "flight_booked": True,
            "hotel_booked": False,
            "cancellation": False,
        }
    )
    table = ibis.memtable(sessions)
    found = traffic.by_week(table, table, end, 2).to_pandas().set_index("user_id")["week"]
    assert found.to_dict() == dict(enumerate(starts.values()))
    seen = traffic.between(table, table, end - dt.timedelta(weeks=2), end).to_pandas()
    assert set(seen["user_id"]) == set(range(len(starts)))
    assert (seen["bookings"] == 1).all()


def outcome(arms: pd.DataFrame, seed: int, effect: float = 0.0, **more: Any) -> pd.DataFrame:
    """Bookings with a planted effect in the personalised arm, and rates without one."""
    rng = np.random.default_rng(seed)
    treated = (arms["arm"] == PERSONALISED).to_numpy()
    mean = 0.5 * (1 + effect * treated)
    table = pd.DataFrame(
        {
            "bookings": rng.poisson(mean).astype(float),
            "cancellations": (rng.random(len(arms)) < 0.1).astype(float),
            "sessions": rng.poisson(1, len(arms)).astype(float),
        },
        index=arms["user_id"],
    )
    return table.assign(**more)


def test_a_planted_effect_is_found_and_nothing_else() -> None:
    config = Experiment()
    arms = assignment.assign(customers(6_000), config)
    after = outcome(arms, 1, effect=0.3)
    table = readout.compare(arms, after, _none(), config)
    row = overall(table, "bookings")
    assert row["verdict"] == judging.BETTER
    assert row["low"] < 0.15 < row["high"]
    treated = (arms["arm"] == PERSONALISED).to_numpy()
    values = after["bookings"].to_numpy()
    expected = welch(values[treated], values[~treated], equal_var=False).pvalue
    assert row["p_value"] == pytest.approx(expected)
    guardrails = set(table.loc[table["role"] == "guardrail", "verdict"])
    assert guardrails <= {judging.NO_HARM, judging.UNCLEAR}
    worse = readout.compare(arms, outcome(arms, 1, effect=-0.3), _none(), config)
    assert overall(worse, "bookings")["verdict"] == judging.WORSE


def test_harm_to_a_guardrail_alarms_and_a_gain_does_not() -> None:
    config = Experiment()
    arms = assignment.assign(customers(6_000), config)
    treated = (arms["arm"] == PERSONALISED).to_numpy()
    for more, verdict in ((treated, judging.HARM), (~treated, judging.NO_HARM)):
        cancelled = np.random.default_rng(2).random(len(arms)) < np.where(more, 0.15, 0.1)
        after = outcome(arms, 1, cancellations=cancelled.astype(float))
        table = readout.compare(arms, after, _none(), config)
        assert overall(table, "cancellations")["verdict"] == verdict


def test_what_customers_did_before_narrows_the_interval() -> None:
    config = Experiment()
    arms = assignment.assign(customers(4_000), config)
    habit = np.random.default_rng(3).gamma(1.0, 2.0, len(arms))
    before, after = (
        outcome(arms, seed, bookings=np.random.default_rng(seed).poisson(habit).astype(float))
        for seed in (4, 5)
    )
    row = overall(readout.compare(arms, after, before, config), "bookings")
    assert 0.3 < row["variance_reduction"] < 0.8
    assert row["cuped_high"] - row["cuped_low"] < 0.9 * (row["high"] - row["low"])
    assert row["cuped_low"] < 0 < row["cuped_high"]


def test_few_cases_are_tested_exactly_and_too_few_customers_not_at_all() -> None:
    config = Experiment()
    arms = assignment.assign(customers(200), config)
    rare = outcome(arms, 1, cancellations=(arms.index < 3).astype(float))
    table = readout.compare(arms, rare, _none(), config)
    assert overall(table, "cancellations")["test"] == "Fisher exact"
    many = outcome(arms, 1, cancellations=(arms.index % 2).astype(float))
    table = readout.compare(arms, many, _none(), config)
    assert overall(table, "cancellations")["test"] == "chi-squared"
    few = arms.head(40)
    table = readout.compare(few, outcome(few, 1), _none(), config)
    assert overall(table, "bookings")["verdict"] == judging.TOO_LITTLE


def test_outcomes_that_are_missing_in_one_arm_conclude_nothing() -> None:
    config = Experiment()
    arms = assignment.assign(customers(4_000), config)
    signed = pd.Series(1.0, index=arms["user_id"])
    signed[(arms["arm"] == CONTROL).to_numpy() & (np.arange(len(arms)) % 4 == 0)] = np.nan
    table = readout.compare(arms, outcome(arms, 1, sign_ups=signed), _none(), config)
    assert overall(table, "sign_ups")["verdict"] == readout.LOST
    assert overall(table, "bookings")["verdict"] != readout.LOST


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user_id\n1\n", "it needs"),
        ("user_id,sign_ups\n", "has no rows"),
        ("\n\n", "has no header"),
        ("user_id,sign_ups\n1,1,\n2,0,\n", "line 2.*comma"),
        ("user_id,sign_ups,\n1,1,\n", "line 1.*comma"),
        ("user_id,bookings\n1,2,5\n", "line 2.*decimal comma"),
        ("user_id,sign_ups\n1\n", "line 2: it has 1 cells"),
        ("user_id;sign_ups\n1;1\n", "semicolon"),
        ("user_id\tsign_ups\n1\t1\n", "tab"),
        ("user_id,sign_ups,Sign_Ups\n1,1,0\n", "sign_ups occurs more than once"),
        ("user_id,sign_ups\n1,\n2,\n", "no value of sign_ups"),
        ("user_id,bookings\n1,1e3\n", "line 2: bookings"),
        ("user_id,bookings\n1,1_000\n", "line 2: bookings"),
        ("user_id,bookings\n1,1e308\n", "line 2: bookings"),
        ("user_id,bookings\n1,nan\n", "line 2: bookings"),
        ("user_id,sign_ups\n1.0,1\n", "whole number"),
        ("user_id,sign_ups\n1E+05,1\n", "whole number"),
        (",1\n2,1\n", "line 1"),
        ('user_id,sign_ups\n1,"1\n', "line"),
        ("customer,sign_ups\n1,1\n", "it needs"),
        ("user_id,sign_ups,email\n1,1,x\n", "it needs"),
        ("user_id,sign_ups\n1,1\n1,0\n", "more than once"),
        ("user_id,sign_ups\n1,2\n", "0 or 1"),
        ("user_id,sign_ups\n1,yes\n", "0 or 1"),
        ("user_id,bookings\n1,-1\n", "at least 0"),
        ("user_id,sign_ups\nx,1\n", "whole number"),
        ("", "has no header"),
        ("user_id,sign_ups\n1,1\n\0", "UTF-8"),
    ],
)
def test_a_table_of_outcomes_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "outcomes.csv"
    file.write_text(text, "utf-8")
    with pytest.raises(outcomes.OutcomesError, match=said):
        outcomes.read_measured(file)


@pytest.mark.parametrize(
    "text",
    ["\ufeffuser_id,sign_ups\r\n1,1\r\n2,0\r\n", ' User_ID , sign_ups\n"1","1"\n\n2, 0.0\n,\n'],
)
def test_outcomes_are_read_as_spreadsheets_write_them(tmp_path: Path, text: str) -> None:
    file = tmp_path / "outcomes.csv"
    file.write_text(text, "utf-8", newline="")
    assert outcomes.read_measured(file).table["sign_ups"].to_dict() == {1: 1.0, 2: 0.0}


def measured(**columns: list[float]) -> outcomes.Measured:
    index = pd.RangeIndex(1, len(next(iter(columns.values()))) + 1, name="user_id")
    return outcomes.Measured(pd.DataFrame(columns, index=index), "digest")


@pytest.mark.parametrize(
    ("values", "customers", "said"),
    [
        ({"sign_ups": [1, 1, 1]}, 5, "all 3 customers .* and 2 have none"),
        ({"sign_ups": [1, np.nan, 1]}, 3, "all 2 customers .* and 1 have none"),
        ({"bookings": [2, 1, 7]}, 4, "bookings is above 0"),
        ({"click_through": [1, 0], "sign_ups": [1, np.nan]}, 3, "sign_ups is above 0"),
        ({"sign_ups": [1, 1, 1]}, 3, None),
        ({"sign_ups": [1, 0, 1]}, 5, None),
        ({"sign_ups": [0, 0, 0]}, 5, None),
    ],
)
def test_a_file_of_converters_only_is_refused(
    values: dict[str, list[float]], customers: int, said: str | None
) -> None:
    users = pd.Series(range(1, customers + 1))
    if said is None:
        outcomes.check_covers(measured(**values), users)
        return
    with pytest.raises(outcomes.OutcomesError, match=said):
        outcomes.check_covers(measured(**values), users)


def test_a_file_of_ids_of_nobody_is_refused() -> None:
    with pytest.raises(outcomes.OutcomesError, match="none of its 2 user_ids"):
        outcomes.check_covers(measured(sign_ups=[1, 0]), pd.Series([7, 8, 9]))


def test_outcomes_of_converters_only_that_once_read_as_all_against_all(cases: Path) -> None:
    read = outcomes.read_measured(cases / "outcomes_of_converters_only" / "outcomes.csv")
    users = pd.read_csv(cases / "base300" / "users.csv")["user_id"]
    with pytest.raises(outcomes.OutcomesError, match="Add the others, with 0"):
        outcomes.check_covers(read, users)


def test_trailing_commas_that_once_moved_the_columns_are_named(cases: Path) -> None:
    with pytest.raises(outcomes.OutcomesError, match=r"line 2.*comma at its end"):
        outcomes.read_measured(cases / "outcomes_trailing_comma" / "outcomes.csv")


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_what_is_the_same_for_everybody_is_said_to_be(value: float) -> None:
    arms = assignment.assign(customers(400), Experiment())
    same = pd.Series(value, index=arms["user_id"])
    table = readout.compare(
        arms, outcome(arms, 1, sign_ups=same, bookings=same), _none(), Experiment()
    )
    for metric in ("sign_ups", "bookings"):
        assert overall(table, metric)["verdict"] == judging.NO_SPREAD


def test_what_was_measured_goes_before_what_sessions_tell(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    file.write_text("user_id,bookings,sign_ups\n1,5,1\n2,,0\n", "utf-8")
    measured = outcomes.read_measured(file)
    sessions = pd.DataFrame({"bookings": [0.0, 1.0, 2.0], "sessions": 3.0}, index=[1, 2, 3])
    table = outcomes.joined(sessions, measured)
    assert table["bookings"].tolist()[0] == 5
    assert table["bookings"].isna().tolist() == [False, True, True]
    assert table["sign_ups"].tolist()[:2] == [1, 0]
    assert (table["sessions"] == 3).all()


def test_the_campaign_of_the_month_before_the_start_is_the_first_of_the_experiment() -> None:
    config = Experiment(start=dt.date(2023, 6, 15), weeks=8)
    runs = [m for m in ("2023-04", "2023-05", "2023-06", "2023-07", "2023-08")
            if calendar.runs_in_campaign(config, m)]  # fmt: skip
    assert runs == ["2023-05", "2023-06", "2023-07"]
    assert not calendar.runs_in_campaign(Experiment(), "2023-06")


@pytest.mark.parametrize(
    ("start", "assigned", "said", "readable"),
    [
        (None, [], "No experiment has been started", False),
        (dt.date(2023, 8, 1), [], "starts on 2023-08-01", False),
        (dt.date(2023, 6, 1), ["2023-06"], "traveltide run --month 2023-05", False),
        (dt.date(2023, 7, 1), ["2023-06"], "before the planned end on 2023-08-25", True),
        (dt.date(2023, 5, 1), ["2023-04"], "to 2023-06-25, the planned end", True),
    ],
)
def test_the_status_says_what_can_be_read(
    start: dt.date | None, assigned: list[str], said: str, readable: bool
) -> None:
    found = readout.status(Experiment(start=start), LAST, assigned)
    assert said in found.words
    assert (found.run is not None) == readable
