"""What came of a campaign: each outcome by hand, what late events change, and who is compared."""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.experiment import campaign_outcomes as outcomes
from traveltide_assets.experiment import campaign_readout as readout
from traveltide_assets.experiment.assignment import (
    CONTROL,
    EVERYBODY,
    EXPLORATION,
    HOLDOUT,
    PERSONALISED,
)
from traveltide_assets.experiment.config import Config
from traveltide_assets.experiment.judging import BETTER, HARM, NO_DIFFERENCE, WORSE
from traveltide_assets.transforms import tables, traffic

FAR = dt.datetime(2023, 12, 1)
CAMPAIGN = "2023-05"
START = dt.datetime(2023, 6, 1)


def lazy(table: str, rows: list[dict[str, object]]) -> ibis.Table:
    contract = getattr(tables, table)
    frame = pd.DataFrame(rows, columns=list(contract.column_names)).astype(object)
    return ibis.memtable(frame.where(frame.notna(), None), schema=contract.schema)


def session(
    user: int, at: str, trip: str | None = None, cancels: bool = False
) -> dict[str, object]:
    start = pd.Timestamp(at)
    return {
        "session_id": f"{user}-{at}",
        "user_id": user,
        "trip_id": trip,
        "session_start": start,
        "session_end": start + pd.Timedelta(minutes=1),
        "flight_booked": None if cancels else trip is not None,
        "hotel_booked": None if cancels else False,
        "flight_discount": False,
        "hotel_discount": False,
        "cancellation": cancels,
    }


def flight(trip: str, fare: float, back: str) -> dict[str, object]:
    left = pd.Timestamp(back) - pd.Timedelta(days=2)
    return {
        "trip_id": trip,
        "origin_airport": "JFK",
        "seats": 1,
        "return_flight_booked": True,
        "departure_time": left,
        "return_time": pd.Timestamp(back),
        "base_fare_usd": fare,
        "checked_bags": 2,
    }


def event(user: int, kind: str, at: str, offer: str = "bag") -> dict[str, object]:
    return {"user_id": user, "offer": offer, "event": kind, "at": pd.Timestamp(at)}


EVENTS = [
    event(1, "clicked", "2023-06-02"),
    event(1, "clicked", "2023-06-03"),
    event(1, "redeemed", "2023-06-28 23:59:59"),
    event(1, "redeemed", "2023-06-29"),
    event(2, "clicked", "2023-06-02", offer="another"),
    event(3, "clicked", "2023-05-31 23:59:59"),
]


def sources(events: list[dict[str, object]]) -> outcomes.Sources:
    sessions = [
        session(1, "2023-05-20", "before"),
        session(1, "2023-06-02", "kept"),
        session(1, "2023-06-20"),
        session(2, "2023-06-05", "dropped"),
        session(2, "2023-06-06", "dropped", cancels=True),
        session(3, "2023-06-29", "after"),
        session(9, "2023-06-02", "other"),
    ]
    flights = [flight(trip, 100.0, "2023-06-10") for trip in ("kept", "dropped", "other")]
    flights += [flight("before", 40.0, "2023-05-25"), flight("after", 70.0, "2023-07-10")]
    return outcomes.Sources(
        lazy("SESSIONS_PROCESSED", sessions),
        lazy("RESPONSES_PROCESSED", events),
        lazy("USERS_PROCESSED", [{"user_id": user} for user in (1, 2, 3, 9)]),
        lazy("FLIGHTS_PROCESSED", flights),
        lazy("HOTELS_PROCESSED", []),
    )


CUSTOMERS = pd.DataFrame(
    {
        "user_id": [1, 2, 3],
        "segment": "all",
        "arm": [PERSONALISED, CONTROL, HOLDOUT],
        "arm_probability": 0.5,
        "offer": "bag",
        "probability": 1.0,
        "eligible": [["bag"]] * 3,
    }
)


def priced(**said: Any) -> Perk:
    return Perk(
        id="bag",
        title="Bag",
        audience="a",
        headline="h",
        features={"total_nights": 1.0},
        outcome="bags_per_flight",
        **said,
    )


MONEY = outcomes.Money((priced(),), None, 0.99)


def horizon(month: str = "2023-06", known: dt.datetime = FAR) -> outcomes.Horizon:
    found = outcomes.horizon_of(CAMPAIGN, 28, month, known)
    assert found is not None
    return found


def test_outcomes_are_those_of_the_horizon_and_of_the_offer() -> None:
    found = outcomes.of_campaign(CUSTOMERS, sources(EVENTS), horizon(), MONEY).set_index("user_id")
    first = found.loc[1]
    assert (first["clicks"], first["redemptions"]) == (2, 1)
    assert (first["bookings"], first["completed_trips"], first["revenue_usd"]) == (1, 1, 100)
    assert (first["bookings_before"], first["revenue_before_usd"]) == (1, 40)
    assert found["retained"].tolist() == [True, False, False]
    assert found["cancellations"].tolist() == [0, 1, 0]
    assert found["revenue_usd"].tolist() == [100, 0, 0], "a cancelled trip earns nothing"
    assert found.loc[2, "clicks"] == 0, "a response to another offer counts"
    assert found.loc[3, ["clicks", "bookings"]].tolist() == [0, 0]
    assert found["closed"].all()
    assert found["ends_at"].eq(pd.Timestamp("2023-06-29")).all()


def test_a_perk_costs_where_it_was_redeemed_and_whoever_was_held_out_costs_nothing() -> None:
    events = [*EVENTS, event(3, "redeemed", "2023-06-02")]
    money = outcomes.Money((priced(cost_usd=15.0),), 0.2, 1.0)
    found = outcomes.of_campaign(CUSTOMERS, sources(events), horizon(), money)
    assert found["cost_usd"].tolist() == [15, 0, 0]
    assert found["net_margin_usd"].tolist() == [0.2 * 100 - 15, 0, 0]
    unknown = outcomes.of_campaign(CUSTOMERS, sources([]), horizon(), money)
    assert unknown["cost_usd"].isna().tolist() == [True, True, False], "nothing was reported"
    free = outcomes.of_campaign(CUSTOMERS, sources([]), horizon(), MONEY)
    assert free["cost_usd"].eq(0).all()
    assert free["net_margin_usd"].isna().all(), "the margin is not known"


def test_a_unit_costs_where_it_was_used_since_the_mailing() -> None:
    nobody_held_out = CUSTOMERS.assign(arm=PERSONALISED)
    for unit, costs in (("bags_per_flight", [6, 0, 0]), ("cancelled_share", [0, 3, 0])):
        money = outcomes.Money((priced(cost_usd=3.0, cost_unit=unit),), 0.2, 1.0)
        found = outcomes.of_campaign(nobody_held_out, sources([]), horizon(), money)
        assert found["cost_usd"].tolist() == costs, unit


def test_a_campaign_is_open_until_all_of_its_horizon_is_known() -> None:
    assert outcomes.horizon_of(CAMPAIGN, 28, CAMPAIGN, FAR) is None
    assert not horizon(known=dt.datetime(2023, 6, 28)).closed
    assert horizon(known=dt.datetime(2023, 6, 29)).closed
    assert outcomes.horizon_of(CAMPAIGN, 60, "2023-06", FAR).closed is False  # type: ignore[union-attr]
    early = horizon(known=dt.datetime(2023, 6, 10))
    found = outcomes.of_campaign(CUSTOMERS, sources(EVENTS), early, MONEY)
    assert found["retained"].isna().all(), "nobody can have come back in a half that is to come"


def test_what_comes_late_is_counted() -> None:
    closed = outcomes.of_campaign(CUSTOMERS, sources(EVENTS), horizon(), MONEY)
    stored = closed.astype({"starts_at": "datetime64[us]", "ends_at": "datetime64[us]"})
    assert outcomes.late(stored, sources(EVENTS).responses) == 0
    more = [*EVENTS, event(3, "signed_up", "2023-06-10"), event(3, "opened", "2023-06-10")]
    assert outcomes.late(stored, sources(more).responses) == 1


def test_the_end_of_what_is_known_is_that_of_the_last_day_with_a_session() -> None:
    assert traffic.known_until(sources([]).sessions) == dt.datetime(2023, 6, 30)
    assert traffic.known_until(lazy("SESSIONS_PROCESSED", [])) == dt.datetime.min


def test_who_is_written_to_and_in_no_arm_of_the_experiment_is_in_neither() -> None:
    offers = pd.DataFrame(
        {
            "user_id": [3, 1, 2],
            "segment": "all",
            "perk": "bag",
            "arm": [HOLDOUT, CONTROL, PERSONALISED],
            "arm_probability": [0.1, 0.45, 0.45],
            "offer": ["none", "rewards", "bag"],
            "probability": 1.0,
            "eligible": [["bag"]] * 3,
        }
    )
    arms = pd.DataFrame({"user_id": [1], "arm": [CONTROL]})
    found = outcomes.offered(offers, arms)
    assert found["arm"].tolist() == [CONTROL, outcomes.NEITHER, HOLDOUT]
    assert found["offer"].tolist() == ["rewards", "bag", "bag"]
    assert found["arm_probability"].tolist() == [0.45, 0.45, 0.1]
    without = outcomes.offered(offers, None)["arm"].tolist()
    assert without == [CONTROL, PERSONALISED, HOLDOUT]


def test_revenue_is_cut_off_at_the_percentile_of_those_who_spent() -> None:
    revenue = pd.Series([0.0] * 100 + [float(n) for n in range(1, 101)] + [1e6])
    assert outcomes.capped(revenue, 0.99).max() == pytest.approx(100, abs=1)
    assert outcomes.capped(revenue, 1.0).max() == 1e6
    assert outcomes.capped(pd.Series([0.0, 0.0]), 0.99).tolist() == [0, 0]


def population(
    effect: float, harm: float = 0.0, count: int = 12_000, margin: float | None = None
) -> pd.DataFrame:
    """A closed campaign with the arms drawn, and an effect on bookings of the personalised arm."""
    rng = np.random.default_rng(2)
    arm = rng.choice([PERSONALISED, CONTROL, HOLDOUT], count, p=[0.45, 0.45, 0.1])
    treated = arm == PERSONALISED
    bookings = rng.poisson(0.4 * (1 + effect * treated))
    revenue = bookings * rng.gamma(2.0, 100.0, count)
    return pd.DataFrame(
        {
            "campaign": CAMPAIGN,
            "user_id": np.arange(count),
            "segment": rng.choice(["calm", "lively"], count),
            "arm": arm,
            "offer": "bag",
            "probability": 1.0,
            "eligible": None,
            "clicks": ((rng.random(count) < 0.1) & (arm != HOLDOUT)).astype(int),
            "sign_ups": 0,
            "redemptions": 0,
            "unsubscribed": 0,
            "bookings": bookings,
            "sessions": 3,
            "cancellations": (rng.random(count) < 0.1 * (1 + harm * treated)).astype(int),
            "retained": rng.random(count) < 0.6,
            "revenue_usd": revenue,
            "revenue_capped_usd": revenue,
            "net_margin_usd": np.nan if margin is None else margin * revenue - 20.0 * treated,
            "bookings_before": rng.poisson(0.4, count),
            "sessions_before": rng.poisson(3, count),
            "revenue_before_usd": 0.0,
            "starts_at": pd.Timestamp(START),
            "ends_at": pd.Timestamp("2023-06-29"),
            "read_until": pd.Timestamp("2023-06-29"),
            "closed": True,
        }
    )


def verdicts(found: pd.DataFrame, comparison: str) -> dict[str, str]:
    rows = found[(found["comparison"] == comparison) & (found["segment"] == EVERYBODY)]
    return dict(zip(rows["metric"], rows["verdict"], strict=True))


def test_more_bookings_may_cost_more_than_they_bring() -> None:
    found = readout.read(population(0.3, margin=0.2), Config(), holdout=0.1)
    arms = verdicts(found, readout.ARMS)
    assert (arms["bookings"], arms["net_margin"]) == (BETTER, WORSE)
    unknown = readout.read(population(0.3), Config(), holdout=0.1)
    assert "net_margin" not in verdicts(unknown, readout.ARMS)


def test_a_planted_effect_is_found_between_the_arms() -> None:
    found = readout.read(population(0.3, harm=0.8), Config(), holdout=0.1)
    arms = verdicts(found, readout.ARMS)
    assert arms["bookings"] == arms["revenue"] == BETTER
    assert arms["cancellations"] == HARM
    assert arms["click_through"] == NO_DIFFERENCE
    row = found[(found["comparison"] == readout.ARMS) & (found["metric"] == "bookings")].iloc[0]
    assert row["relative_low"] < 0.3 < row["relative_high"]
    assert "click_through" not in verdicts(found, readout.INVITED), "the held-out cannot click"


def test_an_early_look_carries_no_verdict_below_its_bound() -> None:
    rows = population(0.12)
    whole = verdicts(readout.read(rows, Config(), holdout=0.1), readout.ARMS)
    assert whole["bookings"] == BETTER
    early = rows.assign(read_until=pd.Timestamp("2023-06-08"), closed=False)
    found = readout.read(early, Config(), holdout=0.1)
    assert verdicts(found, readout.ARMS)["bookings"] == NO_DIFFERENCE
    apart = (found["verdict"] == NO_DIFFERENCE) & ((found["low"] > 0) | (found["high"] < 0))
    assert apart.any()
    assert (found["in_words"].str.contains("Not beyond chance") == apart).all()
    assert found["peek"].all()
    assert found["look_bound"].iloc[0] > 3


def test_groups_that_are_not_as_large_as_drawn_conclude_nothing() -> None:
    rows = population(0.3)
    lost = rows[(rows["arm"] != CONTROL) | (rows["user_id"] % 10 > 0)]
    found = readout.read(lost, Config(), holdout=0.1)
    assert set(verdicts(found, readout.ARMS).values()) == {readout.UNEVEN}


def drawn(selected: float, effect: float) -> pd.DataFrame:
    """Perks drawn among the eligible: travellers may have the lounge too, and book more anyway.

    A meal brings `effect` bookings more than a bag or the lounge.
    """
    rng = np.random.default_rng(3)
    rows = population(0.0)
    travels = rng.random(len(rows)) < 0.5
    explored = rows["arm"] != HOLDOUT
    rows.loc[explored, "arm"] = EXPLORATION
    place = np.where(travels, rng.integers(0, 3, len(rows)), rng.integers(0, 2, len(rows)))
    perk = np.array(["bag", "meal", "lounge"])[place]
    mean = 0.4 + selected * travels + effect * (explored & (perk == "meal"))
    lists = np.array([["bag", "meal"], ["bag", "meal", "lounge"]], dtype=object)
    return rows.assign(
        offer=perk,
        bookings=rng.poisson(mean),
        probability=np.where(travels, 1 / 3, 1 / 2),
        eligible=[lists[int(each)] for each in travels],
        segment="all",
    )


def test_perks_drawn_by_chance_are_compared_with_none_and_with_each_other() -> None:
    found = readout.read(drawn(0.0, 0.2), Config(), holdout=0.1)
    pairs = {"bag against lounge", "bag against meal", "lounge against meal"}
    single = {f"{perk} against none" for perk in ("bag", "meal", "lounge")}
    assert set(found["comparison"]) == {readout.INVITED} | pairs | single
    assert verdicts(found, "bag against meal")["bookings"] == WORSE
    assert verdicts(found, "lounge against meal")["bookings"] == WORSE
    assert verdicts(found, "bag against lounge")["bookings"] == NO_DIFFERENCE
    segments = found[found["comparison"] == "bag against meal"]["segment"]
    assert set(segments) == {EVERYBODY, "all"}


def test_only_those_who_could_have_got_both_are_compared_and_as_likely_as_they_were() -> None:
    rows = drawn(0.6, 0.0)
    found = readout.read(rows, Config(), holdout=0.1)
    bookings = found[(found["metric"] == "bookings") & (found["segment"] == EVERYBODY)]
    by = bookings.set_index("comparison")
    assert by["verdict"].drop(readout.INVITED).eq(NO_DIFFERENCE).all()
    travels = rows["eligible"].map(len) == 3
    lounge = by.loc["bag against lounge"]
    assert lounge["customers_one"] == ((rows["offer"] == "bag") & travels & explored(rows)).sum()
    none = by.loc["lounge against none"]
    assert none["customers_other"] == (travels & ~explored(rows)).sum()
    # Half of all travel, but fewer of those who drew a bag: unweighted they would book less.
    assert by.loc["bag against none", "one"] == pytest.approx(0.7, abs=0.05)
    naive = rows.loc[explored(rows) & (rows["offer"] == "bag"), "bookings"].mean()
    assert naive < 0.66
    everybody = readout.read(rows.assign(eligible=None, probability=1.0), Config(), holdout=0.1)
    assert verdicts(everybody, "bag against lounge")["bookings"] == WORSE


def explored(rows: pd.DataFrame) -> pd.Series:
    return rows["arm"] == EXPLORATION


def test_without_a_campaign_the_readout_is_empty() -> None:
    assert readout.read(outcomes.nobody(), Config(), holdout=0.1).empty


def test_looks_are_the_ends_of_months_within_the_horizon() -> None:
    end = START + dt.timedelta(days=60)
    assert readout.times_of_looks(START, end, START + dt.timedelta(days=60)) == (0.5, 1.0)
    assert readout.times_of_looks(START, end, START + dt.timedelta(days=15)) == (0.25,)
