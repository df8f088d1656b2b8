"""The generated sample looks like the profile of the real data, and its ledger tells the truth."""

from __future__ import annotations

import filecmp
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow.csv
import pyarrow.parquet
import pytest

from traveltide_assets.sample import PERKS, SampleSpec, write, write_sample

TABLES = ("users", "sessions", "flights", "hotels")
HEADERS = {
    "users": "user_id birthdate gender married has_children home_country home_city home_airport "
    "home_airport_lat home_airport_lon sign_up_date",
    "sessions": "session_id user_id trip_id session_start session_end flight_discount "
    "hotel_discount flight_discount_amount hotel_discount_amount flight_booked hotel_booked "
    "page_clicks cancellation",
    "flights": "trip_id origin_airport destination destination_airport seats "
    "return_flight_booked departure_time return_time checked_bags trip_airline "
    "destination_airport_lat destination_airport_lon base_fare_usd",
    "hotels": "trip_id hotel_name nights rooms check_in_time check_out_time hotel_per_room_usd",
}
HAVERSINE_KM = """
12742 * asin(sqrt(
    pow(sin(radians(destination_airport_lat - home_airport_lat) / 2), 2)
    + cos(radians(destination_airport_lat)) * cos(radians(home_airport_lat))
    * pow(sin(radians(destination_airport_lon - home_airport_lon) / 2), 2)))
"""
VIEWS = f"""
CREATE VIEW cancels AS SELECT * FROM sessions WHERE cancellation;
CREATE VIEW visits AS
SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY session_start) AS ordinal,
       date_diff('second', session_start, session_end) AS seconds
FROM sessions WHERE NOT cancellation;
CREATE TABLE trips AS
SELECT visits.*, flights.* EXCLUDE (trip_id), hotels.* EXCLUDE (trip_id),
       users.* EXCLUDE (user_id), {HAVERSINE_KM} AS km,
       visits.trip_id IN (SELECT trip_id FROM cancels) AS cancelled,
       date_diff('day', session_start, coalesce(departure_time, check_in_time)) AS lead
FROM visits
LEFT JOIN flights USING (trip_id)
LEFT JOIN hotels USING (trip_id)
JOIN users ON users.user_id = visits.user_id
WHERE trip_id IS NOT NULL;
CREATE VIEW per_user AS SELECT count(*) AS rows FROM sessions GROUP BY user_id;
CREATE VIEW ages AS
SELECT *, date_diff('day', birthdate, DATE '2023-07-28') / 365.25 AS age FROM users;
"""


def _database(folder: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    for table in (*TABLES, "truth"):
        connection.execute(
            f"CREATE TABLE {table} AS SELECT * FROM read_csv(?, header=true, nullstr='')",
            [str(folder / f"{table}.csv")],
        )
    connection.execute(VIEWS)
    return connection


def _value(connection: duckdb.DuckDBPyConnection, expression: str) -> float:
    row = connection.execute(f"SELECT {expression}").fetchone()
    assert row is not None
    return float(row[0])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[SampleSpec], Path]:
    """Folder of a sample, written once per spec."""
    written: dict[SampleSpec, Path] = {}

    def folder(spec: SampleSpec) -> Path:
        if spec not in written:
            written[spec] = tmp_path_factory.mktemp("sample") / "raw"
            write_sample(written[spec], spec)
        return written[spec]

    return folder


ACTIVE = SampleSpec(users=6_000, active_share=1.0)
REGULAR = SampleSpec(users=20_000, active_share=0.0)


@pytest.fixture(scope="module")
def databases(
    folders: Callable[[SampleSpec], Path],
) -> Iterator[Callable[[SampleSpec], duckdb.DuckDBPyConnection]]:
    opened: dict[SampleSpec, duckdb.DuckDBPyConnection] = {}

    def database(spec: SampleSpec) -> duckdb.DuckDBPyConnection:
        if spec not in opened:
            opened[spec] = _database(folders(spec))
        return opened[spec]

    yield database
    for connection in opened.values():
        connection.close()


Databases = Callable[[SampleSpec], duckdb.DuckDBPyConnection]
Folders = Callable[[SampleSpec], Path]


def _share(condition: str, source: str) -> str:
    return f"avg(({condition})::INT) FROM {source}"


def _month(month: int) -> str:
    return _share(f"month(session_start) = {month}", "sessions")


PROFILE_OF_ACTIVE = [
    ("sessions per user", "avg(rows) FROM per_user", 8.20, 0.05),
    ("users with 8 sessions", _share("rows = 8", "per_user"), 0.8184, 0.025),
    ("users with 9 sessions", _share("rows = 9", "per_user"), 0.1602, 0.025),
    ("women", _share("gender = 'F'", "users"), 0.8823, 0.015),
    ("married", _share("married", "users"), 0.4405, 0.025),
    ("parents", _share("has_children", "users"), 0.3264, 0.025),
    ("from the usa", _share("home_country = 'usa'", "users"), 0.8321, 0.02),
    ("from new york", _share("home_city = 'new york'", "users"), 0.1134, 0.015),
    ("born in 2006", _share("year(birthdate) = 2006", "users"), 0.0388, 0.008),
    ("mean age", "avg(age) FROM ages", 41.37, 0.6),
    ("spread of age", "stddev(age) FROM ages", 12.04, 0.6),
    ("age 35 to 45", _share("age BETWEEN 35 AND 45", "ages"), 0.357, 0.025),
    ("married at 50 to 55", _share("married", "ages WHERE age BETWEEN 50 AND 55"), 0.691, 0.06),
    ("parents over 70", _share("has_children", "ages WHERE age > 70"), 0.0, 0.01),
    ("sign-ups in January", _share("sign_up_date >= '2023-01-01' AND sign_up_date < '2023-02-01'",
                                   "users"), 0.5792, 0.025),
    ("sessions in January", _month(1), 0.2082, 0.025),
    ("sessions in February", _month(2), 0.2315, 0.025),
    ("sessions in March", _month(3), 0.2226, 0.025),
    ("sessions in April", _month(4), 0.0968, 0.02),
    ("sessions in June", _month(6), 0.0865, 0.02),
    ("sessions at 20 h", _share("hour(session_start) = 20", "visits"), 0.0955, 0.006),
    ("conversion", _share("trip_id IS NOT NULL", "visits"), 0.3311, 0.01),
    ("conversion of teenagers", _share("trip_id IS NOT NULL", "visits JOIN ages USING (user_id) "
                                       "WHERE age <= 20"), 0.137, 0.03),
    ("conversion at 40 to 50", _share("trip_id IS NOT NULL", "visits JOIN ages USING (user_id) "
                                      "WHERE age > 40 AND age <= 50"), 0.386, 0.02),
    ("conversion of first visits", _share("trip_id IS NOT NULL", "visits WHERE ordinal = 1"),
     0.292, 0.03),
    ("conversion of eighth visits", _share("trip_id IS NOT NULL", "visits WHERE ordinal = 8"),
     0.429, 0.035),
    ("packages", _share("flight_booked AND hotel_booked", "trips"), 0.7412, 0.015),
    ("hotels only", _share("NOT flight_booked", "trips"), 0.1480, 0.015),
    ("cancelled trips", _share("cancelled", "trips"), 0.038, 0.006),
    ("cancelled far trips", _share("cancelled", "trips WHERE km > 6000"), 0.503, 0.10),
    ("cancelled near trips", _share("cancelled", "trips WHERE km <= 6000"), 0.030, 0.006),
    ("far flights", _share("km > 6000", "trips WHERE flight_booked"), 0.0221, 0.005),
    ("flight discounts", _share("flight_discount", "visits"), 0.1704, 0.008),
    ("hotel discounts", _share("hotel_discount", "visits"), 0.1277, 0.008),
    ("both discounts", _share("flight_discount AND hotel_discount", "visits"), 0.0255, 0.004),
    ("flight discount", "avg(flight_discount_amount) FROM visits", 0.1399, 0.004),
    ("hotel discount", "avg(hotel_discount_amount) FROM visits", 0.1122, 0.004),
    ("conversion with discounts", _share("trip_id IS NOT NULL", "visits WHERE flight_discount"),
     0.3311, 0.02),
    ("clicks of bookings", "median(page_clicks) FROM trips", 22, 1),
    ("clicks of other visits", "median(page_clicks) FROM visits WHERE trip_id IS NULL", 8, 1),
    ("fewest clicks of packages",
     "min(page_clicks) FROM visits WHERE flight_booked AND hotel_booked", 14, 0),
    ("seconds per click", "avg(seconds / page_clicks) FROM visits", 7.48, 0.1),
    ("spread of seconds per click", "stddev(seconds / page_clicks) FROM visits", 0.233, 0.05),
    ("longest cancellations", _share("session_end - session_start = INTERVAL 2 HOUR", "cancels"),
     0.566, 0.07),
    ("most clicks of cancellations", _share("page_clicks = 200", "cancels"), 0.415, 0.07),
    ("cancellations at :00", _share("second(session_start) = 0", "cancels"), 0.016, 0.02),
    ("one seat", _share("seats = 1", "flights"), 0.8535, 0.012),
    ("two seats", _share("seats = 2", "flights"), 0.1079, 0.012),
    ("no bag", _share("checked_bags = 0", "flights"), 0.4873, 0.015),
    ("bags", "avg(checked_bags) FROM flights", 0.583, 0.025),
    ("more bags than seats", _share("checked_bags > seats", "flights"), 0.0355, 0.007),
    ("fare", "avg(base_fare_usd) FROM flights", 490.7, 40),
    ("median fare", "median(base_fare_usd) FROM flights", 378, 15),
    ("fare per km there and back",
     "median(base_fare_usd / seats / km) FROM trips WHERE return_flight_booked", 0.178, 0.002),
    ("fare per km there", "median(base_fare_usd / seats / km) FROM trips "
     "WHERE NOT return_flight_booked", 0.089, 0.002),
    ("one-way flights", _share("NOT return_flight_booked", "flights"), 0.0435, 0.006),
    ("distance", "median(km) FROM trips", 2_026, 80),
    ("departures at 7", _share("hour(departure_time) = 7", "flights"), 0.343, 0.015),
    ("lead of near flights", "median(lead) FROM trips WHERE flight_booked AND km < 6000", 8, 1),
    ("lead of far flights", "median(lead) FROM trips WHERE km > 6000", 224, 10),
    ("days away", "avg(date_diff('day', departure_time, return_time)) FROM flights", 4.27, 0.2),
    ("flights of Delta", _share("trip_airline = 'Delta Air Lines'", "flights"), 0.1529, 0.015),
    ("nights", "avg(nights) FROM hotels", 3.62, 0.2),
    ("no nights", _share("nights <= 0", "hotels"), 0.0917, 0.015),
    ("nights without flight", "avg(nights) FROM trips WHERE NOT flight_booked", 7.62, 0.4),
    ("one night short", _share("date_diff('day', check_in_time, check_out_time) = nights + 1",
                               "hotels"), 0.6024, 0.025),
    ("out before in", _share("check_out_time < check_in_time", "hotels"), 0.0158, 0.006),
    ("one room", _share("rooms = 1", "hotels"), 0.8452, 0.015),
    ("room price", "median(hotel_per_room_usd) FROM hotels", 148, 5),
    ("brands with a blank", _share("hotel_name LIKE '%  - %'", "hotels"), 0.4006, 0.015),
]  # fmt: skip
PROFILE_OF_REGULAR = [
    ("sessions per user", "avg(rows) FROM per_user", 5.3, 0.1),
    ("users with 1 session", _share("rows = 1", "per_user"), 0.050, 0.01),
    ("users with 4 sessions", _share("rows = 4", "per_user"), 0.138, 0.01),
    ("users with 7 sessions", _share("rows = 7", "per_user"), 0.124, 0.015),
    ("users with 8 sessions", _share("rows = 8", "per_user"), 0.091, 0.015),
    ("sign-ups in 2021", _share("year(sign_up_date) = 2021", "users"), 0.074, 0.003),
    ("sign-ups in 2022", _share("year(sign_up_date) = 2022", "users"), 0.4187, 0.003),
    ("sessions in 2021", _share("year(session_start) = 2021", "sessions"), 0.0507, 0.008),
    ("sessions in 2022", _share("year(session_start) = 2022", "sessions"), 0.3653, 0.02),
    ("sessions in 2023", _share("year(session_start) = 2023", "sessions"), 0.5840, 0.02),
    ("users active in 2023",
     "count(DISTINCT user_id) FILTER (year(session_start) = 2023) / count(DISTINCT user_id) "
     "FROM sessions", 0.963, 0.015),
    ("women", _share("gender = 'F'", "users"), 0.4444, 0.012),
    ("married", _share("married", "users"), 0.3867, 0.012),
    ("parents", _share("has_children", "users"), 0.3131, 0.012),
    ("born in 2006", _share("year(birthdate) = 2006", "users"), 0.0425, 0.006),
    ("born in 1984", _share("year(birthdate) = 1984", "users"), 0.0310, 0.005),
    ("conversion", _share("trip_id IS NOT NULL", "visits"), 0.419, 0.01),
    ("sessions with a trip", _share("trip_id IS NOT NULL", "sessions"), 0.4319, 0.01),
    ("cancellations", _share("cancellation", "sessions"), 0.0168, 0.002),
    ("cancelled trips", _share("cancelled", "trips"), 0.0404, 0.004),
    ("packages", _share("flight_booked AND hotel_booked", "trips"), 0.7013, 0.01),
    ("flights only", _share("NOT hotel_booked", "trips"), 0.1454, 0.01),
    ("flight discounts", _share("flight_discount", "visits"), 0.1666, 0.008),
    ("hotel discounts", _share("hotel_discount", "visits"), 0.1300, 0.006),
    ("seats", "avg(seats) FROM flights", 1.251, 0.02),
    ("bags", "avg(checked_bags) FROM flights", 0.608, 0.025),
    ("fare", "avg(base_fare_usd) FROM flights", 644, 40),
    ("median fare", "median(base_fare_usd) FROM flights", 396, 12),
    ("late departures", _share("hour(departure_time) > 16", "flights"), 0.035, 0.005),
    ("nights", "avg(nights) FROM hotels", 4.27, 0.15),
    ("rooms", "avg(rooms) FROM hotels", 1.189, 0.015),
    ("return at departure", _share("return_time = departure_time", "flights"), 0.0052, 0.002),
    ("trips to new york", _share("destination = 'new york'", "flights"), 0.1351, 0.012),
    ("destinations", "count(DISTINCT destination) FROM flights", 140, 10),
]  # fmt: skip
Rate = tuple[str, str, float, float]


def _named(rates: Sequence[Rate]) -> list[object]:
    return [pytest.param(*rate[1:], id=rate[0]) for rate in rates]


@pytest.mark.parametrize(("measure", "expected", "tolerance"), _named(PROFILE_OF_ACTIVE))
def test_active_users_follow_the_profile_of_the_cohort(
    databases: Databases, measure: str, expected: float, tolerance: float
) -> None:
    assert _value(databases(ACTIVE), measure) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(("measure", "expected", "tolerance"), _named(PROFILE_OF_REGULAR))
def test_regular_users_follow_the_profile_of_the_full_database(
    databases: Databases, measure: str, expected: float, tolerance: float
) -> None:
    assert _value(databases(REGULAR), measure) == pytest.approx(expected, abs=tolerance)


IN_COHORT = """
(SELECT user_id FROM sessions WHERE session_start >= '2023-01-04'
 GROUP BY user_id HAVING count(*) > 7)
"""


def test_the_cohort_of_a_default_sample_is_its_active_users(databases: Databases) -> None:
    database = databases(SampleSpec(users=30_000))
    share = _value(database, f"count(*) / 30000 FROM {IN_COHORT}")
    assert share == pytest.approx(0.0059, abs=0.0015)
    active = f"avg((user_id IN {IN_COHORT})::INT) FROM truth WHERE kind = 'active'"
    assert _value(database, active) == 1.0


def test_every_active_user_qualifies_for_the_cohort(databases: Databases) -> None:
    assert _value(databases(ACTIVE), f"count(*) FROM {IN_COHORT}") >= 0.999 * ACTIVE.users


def test_regular_users_almost_never_qualify_for_the_cohort(databases: Databases) -> None:
    assert _value(databases(REGULAR), f"count(*) FROM {IN_COHORT}") <= 0.0005 * REGULAR.users


def test_cancellations_take_the_place_of_visits_but_not_where_customers_are_alike(
    databases: Databases,
) -> None:
    fewest = "min(n) FROM (SELECT count(*) AS n FROM visits GROUP BY user_id)"
    assert _value(databases(ACTIVE), fewest) < 8
    assert _value(databases(replace(ACTIVE, alike=True)), fewest) == 8


BOTH = "(SELECT trip_id FROM visits WHERE flight_booked AND hotel_booked)"
VIOLATIONS = {
    "a user has an identifier of their own": "users GROUP BY user_id HAVING count(*) > 1",
    "a session has an identifier of its own": "sessions GROUP BY session_id HAVING count(*) > 1",
    "a trip has one flight": "flights GROUP BY trip_id HAVING count(*) > 1",
    "a trip has one hotel": "hotels GROUP BY trip_id HAVING count(*) > 1",
    "a trip is booked once": "trips GROUP BY trip_id HAVING count(*) > 1",
    "a trip is cancelled once": "cancels GROUP BY trip_id HAVING count(*) > 1",
    "identifiers name their user": "sessions WHERE NOT regexp_full_match(session_id, "
    "user_id || '-[0-9a-f]{32}') OR NOT regexp_full_match(trip_id, user_id || '-[0-9a-f]{32}')",
    "a session has a user": "sessions WHERE user_id NOT IN (SELECT user_id FROM users)",
    "a flight has a booking": "flights WHERE trip_id NOT IN "
    "(SELECT trip_id FROM visits WHERE flight_booked)",
    "a hotel has a booking": "hotels WHERE trip_id NOT IN "
    "(SELECT trip_id FROM visits WHERE hotel_booked)",
    "a booked flight is there": "trips WHERE flight_booked AND seats IS NULL",
    "a booked hotel is there": "trips WHERE hotel_booked AND rooms IS NULL",
    "a cancelled trip is booked": "cancels WHERE trip_id NOT IN (SELECT trip_id FROM trips)",
    "a trip is named exactly when booked": "visits "
    "WHERE (trip_id IS NOT NULL) <> (flight_booked OR hotel_booked)",
    "an amount comes exactly with a discount": "visits "
    "WHERE flight_discount <> (flight_discount_amount IS NOT NULL) "
    "OR hotel_discount <> (hotel_discount_amount IS NOT NULL)",
    "a cancellation has all flags and no amounts": "cancels WHERE NOT (flight_discount "
    "AND hotel_discount AND flight_booked AND hotel_booked) OR flight_discount_amount IS NOT NULL "
    "OR hotel_discount_amount IS NOT NULL",
    "a cancellation lasts 10 to 120 minutes": "cancels "
    "WHERE session_end - session_start NOT BETWEEN INTERVAL 10 MINUTE AND INTERVAL 120 MINUTE",
    "a cancellation clicks once a minute": "cancels WHERE session_end - session_start "
    "< INTERVAL 120 MINUTE "
    "AND page_clicks <> date_diff('microsecond', session_start, session_end) // 60000000",
    "a cancellation comes after the booking and before the trip": "cancels "
    "JOIN trips USING (trip_id) WHERE cancels.session_start < trips.session_end "
    "OR cancels.session_start >= coalesce(departure_time, check_in_time)",
    "a cancellation comes whole days and some minutes later": "cancels "
    "JOIN trips USING (trip_id) WHERE date_diff('second', trips.session_start, "
    "cancels.session_start) % 86400 NOT BETWEEN 1 AND 6000",
    "nothing happens after the last day": "sessions WHERE session_start >= '2023-07-29'",
    "nobody comes before signing up": "sessions JOIN users USING (user_id) "
    "WHERE session_start < sign_up_date",
    "nobody has two sessions at once": "(SELECT session_end, lead(session_start) OVER "
    "(PARTITION BY user_id ORDER BY session_start) AS next FROM sessions) "
    "WHERE next < session_end",
    "nobody starts two sessions at once": "sessions GROUP BY user_id, session_start "
    "HAVING count(*) > 1",
    "a visit starts on a whole minute": "visits WHERE second(session_start) <> 0",
    "nobody is born after 2006": "users WHERE birthdate >= '2007-01-01' "
    "OR birthdate < '1931-01-01'",
    "a flight starts at home": "trips WHERE origin_airport <> home_airport",
    "a flight leads away from home": "trips WHERE destination = home_city",
    "a flight leaves on the full hour": "flights "
    "WHERE date_trunc('hour', departure_time) <> departure_time",
    "a return is booked exactly when it has a time": "flights "
    "WHERE return_flight_booked <> (return_time IS NOT NULL)",
    "a trip takes whole days": "flights WHERE return_time < departure_time "
    "OR hour(return_time) <> hour(departure_time)",
    "a city has one point as destination": "(SELECT DISTINCT destination, "
    "destination_airport_lat, destination_airport_lon FROM flights) "
    "GROUP BY destination HAVING count(*) > 1",
    "check-out is at 11:00": "hotels WHERE check_out_time::TIME <> TIME '11:00:00'",
    "check-in without flight is at 11:00": "trips WHERE NOT flight_booked "
    "AND check_in_time::TIME <> TIME '11:00:00'",
    "check-in with a flight is two hours after landing": f"trips WHERE trip_id IN {BOTH} "
    "AND abs(epoch(check_in_time - departure_time) - 7200 - km / 800 * 3600) > 0.0026",
    "nights count to noon of the last day": "hotels WHERE nights <> "
    "floor(epoch(check_out_time + INTERVAL 1 HOUR - check_in_time) / 86400)",
    "nights without flight are those of the calendar": "trips WHERE NOT flight_booked "
    "AND (nights <> date_diff('day', check_in_time, check_out_time) OR nights < 1)",
    "the hotel is where the flight goes": f"trips WHERE trip_id IN {BOTH} "
    "AND NOT ends_with(hotel_name, ' - ' || destination)",
    "a flight without seats costs nothing": "flights "
    "WHERE seats = 0 AND (base_fare_usd <> 0 OR checked_bags <> 0)",
}


@pytest.mark.parametrize("spec", [ACTIVE, REGULAR], ids=["active", "regular"])
@pytest.mark.parametrize("violation", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_this_holds_always(databases: Databases, spec: SampleSpec, violation: str) -> None:
    found = f"count(*) FROM (SELECT 1 FROM {violation})"
    assert _value(databases(spec), found) == 0


def _same(one: Path, other: Path, tables: Sequence[str] = TABLES) -> bool:
    names = [f"{table}.csv" for table in tables]
    return filecmp.cmpfiles(one, other, names, shallow=False)[0] == names


def test_the_same_spec_gives_the_same_bytes(folders: Folders, tmp_path: Path) -> None:
    spec = SampleSpec(users=10_500, affinity=0.5, dirt=0.02)
    write_sample(tmp_path / "again", spec)
    assert _same(folders(spec), tmp_path / "again", (*TABLES, "truth", "damage"))


def test_another_seed_gives_another_sample(folders: Folders) -> None:
    one, other = (folders(SampleSpec(users=500, seed=seed)) for seed in (1, 2))
    assert not _same(one, other)


def test_users_go_on_across_chunks(folders: Folders) -> None:
    rows = _rows(folders(SampleSpec(users=10_500)), "users")
    assert [int(row[0]) for row in rows] == list(range(1, 10_501))
    signed_up = [row[-1] for row in rows]
    assert signed_up == sorted(signed_up)
    assert len({row[1:-1] for row in rows}) > 10_450


def test_files_are_quoted_text_with_the_columns_of_the_real_export(folders: Folders) -> None:
    folder = folders(ACTIVE)
    for table, header in HEADERS.items():
        raw = (folder / f"{table}.csv").read_bytes()
        first, second = raw.split(b"\n", 2)[:2]
        assert first.decode() == ",".join(f'"{column}"' for column in header.split())
        assert second.startswith(b'"')
        assert second.count(b'","') == len(header.split()) - 1
        assert b"\r" not in raw
        assert raw.endswith(b'"\n')


def test_amounts_and_times_are_written_like_the_real_ones(folders: Folders) -> None:
    sessions, hotels = (_rows(folders(ACTIVE), table) for table in ("sessions", "hotels"))
    amounts = {row[7] for row in sessions} | {row[8] for row in sessions}
    assert {"", "0.05", "0.1", "0.15", "0.2", "0.3999999999999999"} <= amounts
    fractions = {len(row[4].partition(".")[2]) for row in hotels}
    assert fractions == {0, 1, 2, 3}
    assert max(len(row[4].partition(".")[2]) for row in sessions) == 6
    assert not any(row[4].endswith(("0", ".")) for row in sessions if "." in row[4])
    fares = [row[-1] for row in _rows(folders(ACTIVE), "flights")]
    assert all("." in fare for fare in fares)
    assert any(fare.endswith(".0") for fare in fares)


def test_parquet_holds_the_same_text_as_csv(folders: Folders, tmp_path: Path) -> None:
    spec = SampleSpec(users=500)
    write_sample(tmp_path / "raw", spec, "parquet")
    for table in TABLES:
        stored = pyarrow.parquet.read_table(tmp_path / "raw" / f"{table}.parquet")
        columns = [column.to_pylist() for column in stored.columns]
        assert list(zip(*columns, strict=True)) == _rows(folders(spec), table)


def test_progress_is_told_after_each_chunk(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_sample(tmp_path / "raw", SampleSpec(users=10_010), on_progress=lambda *a: told.append(a))
    assert told == [(10_000, 10_010), (10_010, 10_010)]


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_sample(tmp_path / "raw", SampleSpec(users=10), on_progress=fail)
    assert list(tmp_path.iterdir()) == []


def test_a_clean_sample_takes_away_the_ledger_of_a_damaged_one(tmp_path: Path) -> None:
    write_sample(tmp_path, SampleSpec(users=50, dirt=0.1))
    assert (tmp_path / "damage.csv").exists()
    write_sample(tmp_path, SampleSpec(users=50))
    assert not (tmp_path / "damage.csv").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [("users", 0), ("seed", -1), ("active_share", 1.5), ("affinity", -0.1), ("dirt", 2.0),
     ("dirt", float("nan"))],
)  # fmt: skip
def test_a_spec_that_makes_no_sense_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        SampleSpec(**{field: value})  # type: ignore[arg-type]


def test_an_unknown_file_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="file_format"):
        write_sample(tmp_path, SampleSpec(users=1), "xlsx")  # type: ignore[arg-type]


SIGNS = {
    "free_checked_bag": ("sum(checked_bags) / sum(seats)", "flight_booked", 0.8),
    "no_cancellation_fees": ("avg(cancelled::INT)", "true", 0.4),
    "exclusive_discounts": (
        "avg(coalesce(flight_discount_amount, 0) + coalesce(hotel_discount_amount, 0))",
        "true",
        0.3,
    ),
    "free_hotel_meal": ("avg((NOT flight_booked)::INT)", "true", 0.5),
    "free_hotel_night_with_flight": (
        "avg((flight_booked AND hotel_booked AND nights BETWEEN 0 AND 2)::INT)",
        "true",
        0.3,
    ),
}
"""By perk: what to measure, on which trips, and by how much its lovers differ from others."""


def _contrast(database: duckdb.DuckDBPyConnection, perk: str) -> float:
    """How much lovers of the perk differ from all other users in what shows it."""
    measure, trips, _ = SIGNS[perk]
    source = f"trips JOIN truth USING (user_id) WHERE {trips} AND favourite_perk"
    lovers, others = (_value(database, f"{measure} FROM {source} {is_it} '{perk}'")
                      for is_it in ("=", "<>"))  # fmt: skip
    return lovers - others


@pytest.mark.parametrize("perk", PERKS)
def test_a_planted_favourite_shows_and_grows_with_affinity(databases: Databases, perk: str) -> None:
    none, half, full = (
        _contrast(databases(SampleSpec(users=3_000, active_share=1.0, affinity=strength)), perk)
        for strength in (0.0, 0.5, 1.0)
    )
    least = SIGNS[perk][2]
    assert abs(none) < 0.1 * least
    assert full > least
    assert 0.3 * full < half < 0.7 * full


def test_without_affinity_the_tables_do_not_know_the_favourites(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SampleSpec(users=500)
    expected = folders(spec)
    monkeypatch.setattr(write, "_PERKS", 99)
    write_sample(tmp_path / "raw", spec)
    assert _same(expected, tmp_path / "raw")
    assert not _same(expected, tmp_path / "raw", ["truth"])


DIRTY = SampleSpec(users=12_000, active_share=0.1, dirt=0.05)
CLEAN = SampleSpec(users=12_000, active_share=0.1)
Row = tuple[str, ...]


def _rows(folder: Path, table: str) -> list[Row]:
    columns = HEADERS[table].split() if table in HEADERS else None
    convert = pyarrow.csv.ConvertOptions(
        column_types={name: pyarrow.string() for name in columns or ()}, strings_can_be_null=False
    )
    stored = pyarrow.csv.read_csv(folder / f"{table}.csv", convert_options=convert)
    return list(zip(*(column.to_pylist() for column in stored.columns), strict=True))


def _ledger(folder: Path) -> list[Row]:
    text = pyarrow.csv.ConvertOptions(column_types={"key": pyarrow.string()})
    stored = pyarrow.csv.read_csv(folder / "damage.csv", convert_options=text)
    return list(zip(*(column.to_pylist() for column in stored.columns), strict=True))


def _is_readable(column: str, text: str) -> bool:
    """Whether a text is of the column's type."""
    try:
        if column in ("birthdate", "sign_up_date"):
            date.fromisoformat(text)
        elif column.endswith(("_start", "_end", "_time")):
            datetime.fromisoformat(text)
        else:
            float(text)
    except ValueError:
        return False
    return True


def _tells(damage: str, column: str, old: dict[str, str], new: dict[str, str]) -> bool:
    """Whether a damaged cell is what the name of the damage says."""
    before, after = old[column], new[column]
    if damage.startswith("missing_") or damage == "booking_without_trip":
        return after == "" != before
    if damage.startswith("unreadable_"):
        return not _is_readable(column, after) and before != ""
    if damage.startswith("negative_"):
        return float(after) < 0
    match damage:
        case "blank_boolean":
            return (before, after) == ("false", "")
        case "boolean_dialect":
            return after in {"true": ("t", "1", "1.0"), "false": ("f", "0", "0.0")}[before]
        case "text_trimmed":
            return after != before == after.strip()
        case "birthdate_in_future":
            return date.fromisoformat(after) > date.fromisoformat(old["sign_up_date"])
        case "latitude_out_of_range":
            return abs(float(after)) > 90 and column.endswith("_lat")
        case "longitude_out_of_range":
            return abs(float(after)) > 180 and column.endswith("_lon")
        case "ends_before_start":
            return after < old["session_start"] and _is_readable(column, after)
        case "discount_out_of_range":
            return before != "" and not 0 <= float(after) <= 1
        case "unknown_user":
            return int(after) > DIRTY.users
        case "return_before_departure":
            return after < old["departure_time"] and _is_readable(column, after)
    return False


def _check_row(line: Row, columns: Sequence[str], row: Row, found: Sequence[Row]) -> int:
    """Check the damaged rows that begin `found` against the ledger; how many they are."""
    _, _, column, damage, _ = line
    changed = [name for name, old, new in zip(columns, row, found[0], strict=True) if old != new]
    if damage == "exact_duplicate":
        assert found[0] == found[1] == row
        return 2
    assert changed == [column], line
    if damage == "duplicate_key":
        assert found[1] == row
        return 2
    old, new = (dict(zip(columns, values, strict=True)) for values in (row, found[0]))
    assert _tells(damage, column, old, new), (line, new[column])
    return 1


@pytest.mark.parametrize("table", TABLES)
def test_the_ledger_tells_every_difference_from_the_clean_sample(
    folders: Folders, table: str
) -> None:
    lines = {line[1]: line for line in _ledger(folders(DIRTY)) if line[0] == table}
    columns = HEADERS[table].split()
    damaged = _rows(folders(DIRTY), table)
    position = 0
    for row in _rows(folders(CLEAN), table):
        line = lines.pop(row[0], None)
        if line is None or line[3] == "owner_quarantined":
            assert damaged[position] == row
            position += 1
        else:
            position += _check_row(line, columns, row, damaged[position : position + 2])
    assert position == len(damaged)
    assert not lines


@pytest.mark.parametrize("table", TABLES)
def test_each_row_has_one_line_in_the_ledger_and_the_share_is_as_asked(
    folders: Folders, table: str
) -> None:
    lines = [line for line in _ledger(folders(DIRTY)) if line[0] == table]
    assert max(Counter(line[1] for line in lines).values()) == 1
    own = sum(line[3] != "owner_quarantined" for line in lines)
    rows = len(_rows(folders(CLEAN), table))
    assert own / rows == pytest.approx(DIRTY.dirt, abs=0.006)


def test_expectations_name_the_damage(folders: Folders) -> None:
    for _, _, column, damage, expectation in _ledger(folders(DIRTY)):
        fate, _, rule = expectation.partition(":")
        if damage == "owner_quarantined":
            assert expectation == "quarantine:unknown_user"
        elif column == "session_start":
            assert expectation == "bronze:sessions_undated"
        else:
            repaired = damage in ("boolean_dialect", "blank_boolean", "text_trimmed")
            assert (fate, rule) == ("repair" if repaired else "quarantine", damage)


def test_sessions_of_lost_users_stand_in_the_ledger(folders: Folders) -> None:
    ledger = _ledger(folders(DIRTY))
    lost = {
        key
        for table, key, _, damage, fate in ledger
        if table == "users" and fate.startswith("quarantine") and "duplicate" not in damage
    }
    theirs = {row[0] for row in _rows(folders(CLEAN), "sessions") if row[1] in lost}
    assert {line[1] for line in ledger if line[3] == "owner_quarantined"} == theirs


def test_cancellations_are_never_damaged(folders: Folders) -> None:
    cancels = {row[0] for row in _rows(folders(CLEAN), "sessions") if row[-1] == "true"}
    damaged = {line[1] for line in _ledger(folders(DIRTY)) if line[3] != "owner_quarantined"}
    assert not cancels & damaged


def test_every_kind_of_damage_occurs(folders: Folders) -> None:
    found = {line[3] for line in _ledger(folders(DIRTY))}
    kinds = {
        "exact_duplicate", "duplicate_key", "boolean_dialect", "text_trimmed", "blank_boolean",
        "birthdate_in_future", "latitude_out_of_range", "longitude_out_of_range",
        "negative_page_clicks", "ends_before_start", "discount_out_of_range",
        "booking_without_trip", "unknown_user", "unreadable_session_start", "negative_seats",
        "negative_checked_bags", "negative_base_fare_usd", "return_before_departure",
        "negative_rooms", "negative_hotel_per_room_usd", "owner_quarantined",
    }  # fmt: skip
    assert kinds <= found
