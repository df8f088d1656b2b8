"""Months after a generated source: planted effects come true, and trips are whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.sample import PERKS, SampleSpec, later_months, planted, write_sample
from traveltide_assets.sample.later_months import World

MONTH = "2023-08"
BAG = "free_checked_bag"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "source"
    write_sample(folder, SampleSpec(600, 3, 1.0, 1.0))
    return folder


@pytest.fixture(scope="module")
def world(source: Path) -> World:
    return World.read(source)


def lived(
    world: World, offered: pd.Series, chance: float, seed: int = 1
) -> dict[str, pd.DataFrame]:
    extra = np.full(len(offered), chance)
    return later_months.lived(world, offered, extra, MONTH, np.random.default_rng(seed))


def to_all(world: World) -> pd.Series:
    return pd.Series(BAG, index=world.customers["user_id"])


def test_the_planted_chance_is_that_of_extra_trips(world: World) -> None:
    without = lived(world, to_all(world), 0.0)["sessions"]
    certain = lived(world, to_all(world), 1.0)["sessions"]
    booked = [(table["trip_id"] != "").sum() for table in (without, certain)]
    # The same draws, and one trip more for everybody.
    assert booked[1] - booked[0] == len(world.customers)
    assert booked[0] == pytest.approx(later_months.TRIPS * len(world.customers), rel=0.4)


def test_every_trip_has_the_flight_and_stay_of_its_pattern_and_starts_at_home(world: World) -> None:
    tables = lived(world, to_all(world), 0.5)
    sessions, flights, hotels = (tables[name] for name in ("sessions", "flights", "hotels"))
    booked = sessions[sessions["trip_id"] != ""]
    assert booked["trip_id"].is_unique
    assert set(flights["trip_id"]) == set(booked.loc[booked["flight_booked"] == "true", "trip_id"])
    assert set(hotels["trip_id"]) == set(booked.loc[booked["hotel_booked"] == "true", "trip_id"])
    homes = world.customers.set_index(world.customers["user_id"].astype(str))["home_airport"]
    of_trip = flights.merge(booked[["trip_id", "user_id"]], on="trip_id")
    assert (of_trip["origin_airport"] == of_trip["user_id"].map(homes)).all()
    starts = pd.to_datetime(sessions["session_start"])
    assert (starts.dt.strftime("%Y-%m") == MONTH).all()
    assert (starts.dt.second == 0).all()
    leaves = of_trip.merge(booked[["trip_id", "session_start"]], on="trip_id")
    assert (leaves["departure_time"] > leaves["session_start"]).all()


def test_the_files_have_the_columns_of_the_source(source: Path, world: World) -> None:
    tables = lived(world, to_all(world), 0.5)
    for name in ("sessions", "flights", "hotels"):
        header = pd.read_csv(source / f"{name}.csv", nrows=0, dtype=str).columns
        assert list(tables[name].columns) == list(header)


def test_only_who_was_sent_an_offer_responds_and_only_who_books_redeems(world: World) -> None:
    offered = to_all(world).iloc[:200]
    tables = lived(world, offered, 0.5)
    responses, sessions = tables["responses"], tables["sessions"]
    assert set(responses["user_id"]) == set(offered.index)
    assert not responses.duplicated(["user_id", "offer", "event", "at"]).any()
    booked = sessions.loc[sessions["trip_id"] != "", "user_id"].astype(int)
    redeemed = responses.loc[responses["event"] == "redeemed", "user_id"]
    assert set(redeemed) == set(booked) & set(offered.index)
    by = {name: set(rows["user_id"]) for name, rows in responses.groupby("event")}
    assert by["sent"] >= by["delivered"] >= by["opened"] >= by["clicked"]


def test_the_seed_gives_the_same_month(world: World) -> None:
    one, same, other = (lived(world, to_all(world), 0.3, seed) for seed in (1, 1, 2))
    for name, table in one.items():
        pd.testing.assert_frame_equal(table, same[name])
    assert not one["sessions"].equals(other["sessions"])


def test_what_is_wanted_follows_traits_or_the_favourite_or_is_nothing(world: World) -> None:
    people = pd.DataFrame(
        {
            "user_id": [1, 2, 3],
            "age": [30.0, 30.0, 60.0],
            "has_children": [True, False, False],
            "favourite_perk": ["no_cancellation_fees"] * 3,
        }
    )
    found = planted.extra_trips(people, PERKS, "traits").idxmax(axis=1)
    assert list(found) == [BAG, "free_hotel_night_with_flight", "free_hotel_meal"]
    found = planted.extra_trips(people, PERKS, "perks").idxmax(axis=1)
    assert list(found) == ["no_cancellation_fees"] * 3
    assert not planted.extra_trips(people, PERKS, "none").to_numpy().any()


def test_an_offer_that_is_no_perk_does_nothing(world: World) -> None:
    chances = planted.extra_trips(world.customers, PERKS, "perks")
    offered = pd.Series(["control_offer", BAG], index=chances.index[[5, 2]])
    none, bag = planted.of_offer(chances, offered)
    assert none == 0
    assert bag == chances[BAG].iloc[2]
