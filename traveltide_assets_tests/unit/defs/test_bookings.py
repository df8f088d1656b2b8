"""What sessions say of trips beside flights and stays is counted by one query, as separate ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.contracts import build_tables
from traveltide_assets.defs.checks import contradictions, gaps, ingestion
from traveltide_assets.defs.checks.check import Check, Context
from traveltide_assets.defs.checks.soundness import SESSIONS, layers
from traveltide_assets.engines.base import Engine
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.settings import Settings
from traveltide_assets_tests.support.queries import answered

PERKS = load_perks(Settings().perks_file)
TABLES = build_tables(PERKS, build_strategies(Settings(), PERKS))
MONTHS = ("2023-06", "2023-07")
DAY = pd.Timestamp("2023-06-10")
_NOTHING = {"string": None, "int64": 0, "float64": 0.0, "boolean": False}


def rows(path: str, given: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows of a table: what is given, and for other columns nothing in particular."""
    usual = {c.name: _NOTHING.get(c.type, DAY) for c in TABLES[path].columns}
    frame = pd.DataFrame([{**usual, **row} for row in given], columns=list(usual))
    return frame.astype({c.name: "object" for c in TABLES[path].columns if c.type == "boolean"})


def session(number: int, trip: str | None, user: int = 1, **more: Any) -> dict[str, Any]:
    return {"session_id": f"s{number}", "user_id": user, "trip_id": trip, **more}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """Two months of sessions, three users, six flights and four stays."""
    lake = Lake(Folder(tmp_path / "lake"), DuckDB(tmp_path / "scratch"), TABLES)
    both = {"flight_booked": True, "hotel_booked": True}
    booked = {
        "2023-06": [
            session(1, "a", **both),
            session(2, "b", user=2, **both),
            session(3, "gone", **both),
            session(4, "flight only", flight_booked=True),
            session(5, None),
        ],
        "2023-07": [
            session(6, "a", cancellation=True),
            session(7, "cancelled only", cancellation=True),
            session(8, "late", **both),
            session(9, "gone in July", **both),
        ],
    }
    for month, given in booked.items():
        lake.write(TABLES[SESSIONS], rows(SESSIONS, given), month)
    users = [{"user_id": user, "home_airport": home} for user, home in ((1, "A"), (2, "B"))]
    trips = ["a", "b", "flight only", "cancelled only", "nobody's", "late"]
    flights = [{"trip_id": trip, "origin_airport": "A", "seats": 1} for trip in trips]
    flights[5]["departure_time"] = DAY - pd.Timedelta("1D")
    stays = [{"trip_id": trip, "rooms": 1, "hotel_per_room_usd": 9.0} for trip in trips[:2]]
    stays += [{"trip_id": "late", "check_in_time": DAY + pd.Timedelta("3D")}]
    stays += [{"trip_id": "nobody's"}]
    refused = [{"trip_id": "refused"}]
    for name, given in (("users", users), ("flights", flights), ("hotels", stays)):
        _, processed, quarantine = layers(name)
        lake.write(TABLES[processed], rows(processed, given))
        lake.write(TABLES[quarantine], rows(quarantine, refused if name != "users" else []))
    return Context(TABLES, lake, Settings(), PERKS, MONTHS, MONTHS)


def test_what_lacks_a_row_or_a_session_is_counted(context: Context) -> None:
    missing = gaps.missing_rows("flights", context)
    assert (missing.booked, missing.missing) == (6, 2)
    assert missing.examples == ("gone", "gone in July")
    stays = gaps.missing_rows("hotels", context)
    assert (stays.booked, stays.missing) == (5, 2)
    unbooked = gaps.has_few_orphans("flights", context)
    assert unbooked.facts["without_session"] == 2  # Nobody's, and of whom only a cancellation is.
    (known,) = (c for c in _checks("flights") if c.name == "foreign_key")
    assert known.outcome(context).facts["rows_without_session"] == 1


def test_rules_speak_only_of_rows_that_have_what_they_compare(context: Context) -> None:
    counted = contradictions.by_month_of_booking("flights", context)
    sums = pd.DataFrame(counted).drop(columns="booked_month").sum()
    early = "flights depart before they are booked"
    away = "flights start elsewhere than at the home airport of who booked them"
    # The trip "b" is of a user of another airport. Who cancels or is unknown has no home.
    assert (sums[early], sums[f"may be that {early}"]) == (1, 4)
    assert (sums[away], sums[f"may be that {away}"]) == (1, 4)
    assert sums["flights have no seat"] == 0
    stays = contradictions.by_month_of_booking("hotels", context)
    beside = "stays lie before or after the flight of their trip"
    spoken_of = f"may be that {beside}"
    assert [sum(line[what] for line in stays) for what in (beside, spoken_of)] == [1, 4]


def test_one_query_counts_for_all_checks_of_a_table_and_once(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answered(monkeypatch)
    for check in _checks("flights"):
        if check.name in ("consistent", "foreign_key"):
            check.outcome(context)
    assert len(asked) == 1
    contradictions.by_month_of_booking("flights", context)
    assert len(asked) == 1


def _checks(name: str) -> tuple[Check, ...]:
    (step,) = (step for step in ingestion.STEPS if step.name == f"{name}_silver")
    return step.checks


class Elsewhere(DuckDB):
    """An engine of which this machine has another."""

    @property
    def single(self) -> DuckDB:
        return DuckDB(self._scratch)


def test_few_rows_are_read_on_this_machine_and_many_by_the_engine(
    context: Context, tmp_path: Path
) -> None:
    engine: Engine = Elsewhere(tmp_path / "scratch")
    lake = Lake(context.lake.storage, engine, TABLES)
    paths = [SESSIONS, "silver/flights_processed", "gold/user_features"]
    assert lake.for_few(paths, 14) is lake, "nine sessions and six flights are more than 14"
    few = lake.for_few(paths, 15)
    assert (
        few.table(SESSIONS, MONTHS).get_backend() is not lake.table(SESSIONS, MONTHS).get_backend()
    )
    assert few.rows("silver/flights_processed") == 6
