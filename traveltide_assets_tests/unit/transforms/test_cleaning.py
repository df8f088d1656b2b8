"""Every rule of cleaning fires on its rows and on no other, whatever the text of the source."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from traveltide_assets.schema.sources import ATTRIBUTES, IDS, KEYS, SOURCES
from traveltide_assets.transforms.cleaning.cleaned import Cleaned
from traveltide_assets.transforms.cleaning.judge import (
    clean_flights,
    clean_hotels,
    clean_sessions,
    clean_users,
)
from traveltide_assets.transforms.cleaning.parse import month_of
from traveltide_assets.transforms.cleaning.rules import rule_reasons

SOUND: dict[str, dict[str, str | None]] = {
    "users": {
        "user_id": "1",
        "birthdate": "1985-02-28",
        "gender": "F",
        "married": "true",
        "has_children": "false",
        "home_country": "usa",
        "home_city": "new york",
        "home_airport": "LGA",
        "home_airport_lat": "40.777",
        "home_airport_lon": "-73.872",
        "sign_up_date": "2022-11-30",
    },
    "sessions": {
        "session_id": "1-a",
        "user_id": "1",
        "trip_id": "1-t",
        "session_start": "2023-01-31 23:59:00",
        "session_end": "2023-02-01 00:01:30",
        "flight_discount": "true",
        "hotel_discount": "false",
        "flight_discount_amount": "0.15",
        "hotel_discount_amount": None,
        "flight_booked": "true",
        "hotel_booked": "false",
        "page_clicks": "17",
        "cancellation": "false",
    },
    "flights": {
        "trip_id": "1-t",
        "origin_airport": "LGA",
        "destination": "montreal",
        "destination_airport": "YUL",
        "seats": "2",
        "return_flight_booked": "true",
        "departure_time": "2023-03-01 07:00:00",
        "return_time": "2023-03-08 07:00:00",
        "checked_bags": "0",
        "trip_airline": "Aéreo",
        "destination_airport_lat": "45.471",
        "destination_airport_lon": "-73.741",
        "base_fare_usd": "410.5",
    },
    "hotels": {
        "trip_id": "1-t",
        "hotel_name": "Hilton - montreal",
        "nights": "6",
        "rooms": "1",
        "check_in_time": "2023-03-01 16:05:10.25",
        "check_out_time": "2023-03-08 11:00:00",
        "hotel_per_room_usd": "120",
    },
}
REFUSED: dict[str, dict[str, dict[str, str]]] = {
    "users": {
        "birthdate_in_future": {"birthdate": "2022-12-01"},
        "latitude_out_of_range": {"home_airport_lat": "90.1"},
        "longitude_out_of_range": {"home_airport_lon": "-180.1"},
    },
    "sessions": {
        "negative_page_clicks": {"page_clicks": "-1"},
        "implausible_page_clicks": {"page_clicks": "1000001"},
        "session_too_long": {"session_end": "2023-03-04 00:00:00"},
        "ends_before_start": {"session_end": "2023-01-31 23:58:59.999999"},
        "discount_out_of_range": {"hotel_discount_amount": "1.01"},
        "booking_without_trip": {"trip_id": " "},
        "unknown_user": {"user_id": "2"},
    },
    "flights": {
        "negative_seats": {"seats": "-1"},
        "implausible_seats": {"seats": "1001"},
        "negative_checked_bags": {"checked_bags": "-1.0"},
        "implausible_checked_bags": {"checked_bags": "9007199254740991"},
        "negative_base_fare_usd": {"base_fare_usd": "-0.01"},
        "implausible_base_fare_usd": {"base_fare_usd": "1.7e308"},
        "trip_too_long": {"return_time": "2030-03-08 07:00:00"},
        "return_before_departure": {"return_time": "2023-03-01 06:59:59"},
        "latitude_out_of_range": {"destination_airport_lat": "-91"},
        "longitude_out_of_range": {"destination_airport_lon": "181"},
    },
    "hotels": {
        "implausible_nights": {"nights": "-10001"},
        "negative_rooms": {"rooms": "-1"},
        "implausible_rooms": {"rooms": "1001"},
        "negative_hotel_per_room_usd": {"hotel_per_room_usd": "-5"},
        "implausible_hotel_per_room_usd": {"hotel_per_room_usd": "1e308"},
        "stay_too_long": {"check_out_time": "1901-03-08 11:00:00"},
    },
}
NEEDS_TWO_ROWS = {"exact_duplicate", "duplicate_key", "duplicate_of_earlier_month"}
Text = str | None
Place = tuple[str, int]


def row(name: str, key: str | None = None, **changes: Text) -> dict[str, Text]:
    """A sound row of a table, with another key or other values."""
    return {**SOUND[name], **({} if key is None else {KEYS[name]: key}), **changes}


def raw(name: str, rows: Sequence[Mapping[str, Text | int]]) -> ibis.Table:
    """Rows as bronze has them; without a place of their own they lie in one file in this order."""
    columns = [column.name for column in SOURCES[name]]
    numbers = ("source_row", "source_order")
    extra = [key for key in (rows[0] if rows else ()) if key not in (*columns, *numbers)]
    placed = [
        {
            "source_file": f"{name}.csv",
            "source_row": number,
            "source_order": 1,
            "month": "2023-01",
            **values,
        }
        for number, values in enumerate(rows, 1)
    ]
    texts = [*columns, "source_file", *dict.fromkeys(extra)]
    if name == "sessions":
        texts.append("month")
    schema = pa.schema(
        [(column, pa.string()) for column in dict.fromkeys(texts)]
        + [(number, pa.int64()) for number in numbers]
    )
    return ibis.memtable(pa.Table.from_pylist(placed, schema=schema))


@dataclass(frozen=True)
class Result:
    """What cleaning made of rows, by their place or in the order of their key."""

    processed: list[dict[str, Any]]
    quarantine: list[dict[str, Any]]
    repairs: Mapping[str, int]
    rejections: Mapping[str, int]

    @property
    def reasons(self) -> dict[Place, str]:
        return {(r["source_file"], r["source_row"]): r["reason"] for r in self.quarantine}

    def of(self, key: str | int) -> dict[str, Any]:
        """The one processed row of a key."""
        (found,) = [r for r in self.processed if key in (r.get("session_id"), r.get("trip_id"))]
        return found


def clean(
    name: str,
    rows: Sequence[Mapping[str, Text | int]],
    months: Sequence[str] = ("2023-01", "2023-02"),
    users: Sequence[int] = (1,),
    null_words: Sequence[str] = (),
) -> Result:
    table = raw(name, rows)
    steps: dict[str, Callable[[], Cleaned]] = {
        "users": lambda: clean_users(table, null_words),
        "sessions": lambda: clean_sessions(
            table,
            ibis.memtable(pa.table({"user_id": pa.array(users, pa.int64())})),
            months,
            null_words,
        ),
        "flights": lambda: clean_flights(table, null_words),
        "hotels": lambda: clean_hotels(table, null_words),
    }
    with steps[name]() as cleaned:
        return Result(
            processed=cleaned.processed.to_pyarrow().to_pylist(),
            quarantine=cleaned.quarantine.to_pyarrow().to_pylist(),
            repairs=cleaned.repairs,
            rejections=cleaned.rejections,
        )


def damages(name: str) -> dict[str, dict[str, str]]:
    """For every rule that judges one row by itself, a damage that only this rule refuses."""
    blank = [c.name for c in SOURCES[name] if c.required and c.type != "boolean"]
    typed = [c.name for c in SOURCES[name] if c.type != "string"]
    valued = [c.name for c in SOURCES[name] if c.name not in ATTRIBUTES]
    ids = [c.name for c in SOURCES[name] if c.name in IDS]
    return {
        **{f"missing_{column}": {column: ""} for column in blank},
        **{f"null_word_{column}": {column: "Null"} for column in valued},
        **{f"inexact_{column}": {column: "1.00001E+11"} for column in ids},
        **{f"unreadable_{column}": {column: "nonsense"} for column in typed},
        **REFUSED[name],
    }


@cache
def damaged(name: str) -> tuple[Result, dict[str, Place]]:
    """Each damage in a row of its own, a sound row after each, cleaned together."""
    rows: list[dict[str, Text]] = []
    places: dict[str, Place] = {}
    keys = [str(number) for number in range(10, 500)]
    for rule, damage in damages(name).items():
        rows.append({**row(name, keys.pop()), **damage})
        places[rule] = (f"{name}.csv", len(rows))
        rows.append(row(name, keys.pop()))
    return clean(name, rows), places


RULES = [(name, rule) for name in SOURCES for rule in damages(name)]


@pytest.mark.parametrize(("name", "rule"), RULES, ids=[f"{n}-{r}" for n, r in RULES])
def test_a_damaged_row_is_refused_under_the_name_of_its_rule(name: str, rule: str) -> None:
    result, places = damaged(name)
    assert result.reasons[places[rule]] == rule
    assert result.rejections[rule] == 1


@pytest.mark.parametrize("name", SOURCES)
def test_no_sound_row_is_refused(name: str) -> None:
    result, places = damaged(name)
    assert set(result.reasons) == set(places.values())
    assert len(result.processed) == len(places)


@pytest.mark.parametrize("name", SOURCES)
def test_every_rule_has_a_reason_and_a_row_here_that_breaks_it(name: str) -> None:
    assert set(damages(name)) == set(rule_reasons(name)) - NEEDS_TWO_ROWS
    assert all(rule_reasons(name).values())


@pytest.mark.parametrize("name", SOURCES)
def test_quarantine_keeps_the_text_as_it_came(name: str) -> None:
    result, places = damaged(name)
    found = {(r["source_file"], r["source_row"]): r for r in result.quarantine}
    for rule, damage in damages(name).items():
        assert {column: found[places[rule]][column] for column in damage} == damage


def test_the_first_rule_that_a_row_breaks_names_it() -> None:
    result = clean("flights", [row("flights", seats="-1", base_fare_usd="", checked_bags="x")])
    assert list(result.reasons.values()) == ["missing_base_fare_usd"]


# Dialects. Each example is a column of many texts, because a query costs more than its rows.

# Shrinking a failure would take minutes.
MANY = settings(
    max_examples=4,
    phases=[Phase.generate],
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
UNREADABLE = object()
PADS = st.sampled_from(["", " ", "  ", "\t"])
WORDS = ("nan", "NaN", "inf", "-inf", "Infinity", "-infinity", "epoch", "n/a", "null", "1,2", "--1")


def column_of(cases: st.SearchStrategy[tuple[str, object]]) -> st.SearchStrategy[Any]:
    padded = st.tuples(cases, PADS, PADS).map(lambda c: (c[1] + c[0][0] + c[2], c[0][1]))
    return st.lists(padded, min_size=20, max_size=60)


def assert_read(column: str, cases: Sequence[tuple[str, object]]) -> None:
    rows = [row("flights", str(n), **{column: text}) for n, (text, _) in enumerate(cases)]
    result = clean("flights", rows)
    found: dict[str, object] = {r["trip_id"]: r[column] for r in result.processed}
    for line in result.quarantine:
        word = line[column].strip().lower() in ("nan", "null", "n/a")
        rules = ("null_word", "missing") if word else ("unreadable",)
        assert line["reason"] in [f"{rule}_{column}" for rule in rules], line[column]
        found[line["trip_id"]] = UNREADABLE
    assert [(text, found[str(n)]) for n, (text, _) in enumerate(cases)] == list(cases)


@st.composite
def booleans(draw: st.DrawFn) -> tuple[str, object]:
    words = {"true": True, "t": True, "1": True, "1.0": True, "": False}
    words |= {"false": False, "f": False, "0": False, "0.0": False}
    text = draw(st.sampled_from([*words, "yes", "2", "01", "tr", "-1", "null"]))
    change = draw(st.sampled_from([str.lower, str.upper, str.title]))
    return change(text), words.get(text, UNREADABLE)


@MANY
@given(column_of(booleans()))
def test_booleans_are_read_in_every_dialect(cases: list[tuple[str, object]]) -> None:
    assert_read("return_flight_booked", cases)


@st.composite
def integers(draw: st.DrawFn) -> tuple[str, object]:
    number = draw(st.integers(0, 10_000))
    tails = [".5", ".25x", "x", " 1", "_0", "e1", "E+2", "e-400", ".00000000000000000001"]
    tail = draw(st.sampled_from(["", ".", ".0", ".000", *tails]))
    return f"{number}{tail}", number if tail in ("", ".", ".0", ".000") else UNREADABLE


@MANY
@given(column_of(integers() | st.sampled_from(WORDS).map(lambda word: (word, UNREADABLE))))
def test_integers_may_end_in_point_zero_but_not_in_a_fraction(
    cases: list[tuple[str, object]],
) -> None:
    assert_read("checked_bags", cases)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (str(2**53 - 1), 2**53 - 1),
        (f"00{2**53 - 1}.0", 2**53 - 1),
        (str(2**53), None),
        ("9007199254740993", None),
        ("9007199254740991.4", None),
        ("1.00001E+11", None),
        ("1,00001E+11", None),
        ("1e5", None),
        ("1e308", None),
        ("7.5", None),
        (str(2**64), None),
    ],
)
def test_an_id_that_has_lost_digits_is_refused_as_such(text: str, number: int | None) -> None:
    result = clean("users", [row("users", text)])
    assert [r["user_id"] for r in result.processed] == [n for n in [number] if n]
    assert set(result.reasons.values()) == (set() if number else {"inexact_user_id"})


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("1.00001E+11", "inexact_trip_id"),
        ("1e+11", "inexact_trip_id"),
        ("1,5e+3", "inexact_trip_id"),
        ("nan", "null_word_trip_id"),
        ("None", "null_word_trip_id"),
        ("12e10", None),
        ("1-e+11", None),
        ("12345678901234567890123", None),
        ("nan-1", None),
    ],
)
def test_ids_of_text_may_be_any_text_but_a_word_for_null_or_a_rounded_number(
    text: str, rule: str | None
) -> None:
    result = clean("hotels", [row("hotels", text)])
    assert list(result.reasons.values()) == ([rule] if rule else [])


NUMBERS = st.floats(0, 1e7, allow_subnormal=False).map(lambda number: (repr(number), number))


@MANY
@given(column_of(NUMBERS | st.sampled_from(WORDS).map(lambda word: (word, UNREADABLE))))
def test_numbers_are_finite(cases: list[tuple[str, object]]) -> None:
    assert_read("base_fare_usd", cases)


def test_a_number_is_what_the_text_says_or_no_number() -> None:
    read = {"1e3": 1000.0, "0e5": 0.0, "0.000": 0.0, "+5": 5.0, ".5": 0.5, "1.": 1.0}
    other = ["1_000", "1e-400", "0.1e-400", "1e400", "0x10", "1d", "12 3", "$5", "1.234,5"]
    assert_read("base_fare_usd", [*read.items(), *((text, UNREADABLE) for text in other)])


@st.composite
def times(draw: st.DrawFn) -> tuple[str, object]:
    time = draw(st.datetimes(dt.datetime(2019, 1, 1), dt.datetime(2023, 3, 8, 6)))
    digits = draw(st.integers(0, 6))
    time = time.replace(microsecond=time.microsecond // 10 ** (6 - digits) * 10 ** (6 - digits))
    fraction = f".{time.microsecond:06d}"[: digits + 1] if digits else ""
    zone = draw(st.sampled_from(["", "", "", "Z", "+00", "+02:00", "-05", " UTC", " Europe/Paris"]))
    separator = draw(st.sampled_from([" ", "T"]))
    text = f"{time:%Y-%m-%d}{separator}{time:%H:%M:%S}{fraction}{zone}"
    return text.replace(f"{time:%Y}", f"{time.year:04d}", 1), UNREADABLE if zone else time


@MANY
@given(column_of(times() | st.sampled_from(WORDS).map(lambda word: (word, UNREADABLE))))
def test_times_have_up_to_six_digits_of_fraction_and_no_zone(
    cases: list[tuple[str, object]],
) -> None:
    assert_read("departure_time", cases)


@pytest.mark.parametrize(
    ("text", "is_time"),
    [
        ("2023-03-01", True),
        ("2023-3-1 7:05", True),
        ("2023/03/01T07:05:09.", True),
        ("2023-03-01 24:00:00", False),
        ("2023-03-01T24:00", False),
        ("2023-02-28 23:59:60", False),
        ("2023-03-01 25:00:00", False),
        ("20230301", False),
        ("2023-03", False),
        ("01/03/2023 07:05", False),
        ("03-01-2023", False),
        ("2023-03-01 07:05:00 AM", False),
        ("2023-03-01 07", False),
        ("1677654000", False),
        ("2023-03-01 07:05:00,5", False),
    ],
)
def test_a_time_is_what_the_text_says_or_no_time(text: str, is_time: bool) -> None:
    result = clean("flights", [row("flights", departure_time=text)])
    assert list(result.reasons.values()) == ([] if is_time else ["unreadable_departure_time"])


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("2023-07-31 24:00:00", None),
        ("2023-07-31 23:59:59.999999", "2023-07"),
        (" 2023-08-01 00:00:00 ", "2023-08"),
        ("2023-08-01T00:00:00Z", None),
        ("2023-13-01 00:00:00", None),
        ("0023-08-01 00:00:00", None),
        ("infinity", None),
        ("today", None),
        ("", None),
        (None, None),
    ],
)
def test_the_month_of_a_session_is_that_of_its_start(text: Text, month: Text) -> None:
    table = ibis.memtable(pa.table({"time": pa.array([text], pa.string())}))
    assert month_of(table.time).to_pyarrow().to_pylist() == [month]


def test_discounts_are_rounded_to_hundredths() -> None:
    texts = ["0.3999999999999999", "0.6000000000000001", "0.15", "0", "1.0", "1.0000000001", ""]
    rows = [row("sessions", str(n), flight_discount_amount=t) for n, t in enumerate(texts)]
    result = clean("sessions", rows)
    found = {r["session_id"]: r["flight_discount_amount"] for r in result.processed}
    assert [found[str(n)] for n in range(len(texts))] == [0.4, 0.6, 0.15, 0.0, 1.0, 1.0, None]
    assert result.repairs["discount_rounded"] == 3


def test_blanks_around_values_and_blank_booleans_are_repaired_and_counted() -> None:
    rows = [
        row("users", "1", home_city=" montreal "),
        row("users", "2", married="", has_children=None),
        row("users", "3"),
    ]
    result = clean("users", rows)
    assert [r["home_city"] for r in sorted(result.processed, key=lambda r: r["user_id"])] == [
        "montreal",
        "new york",
        "new york",
    ]
    assert sorted((r["user_id"], r["married"]) for r in result.processed)[1] == (2, False)
    assert {rule: n for rule, n in result.repairs.items() if n} == {
        "text_trimmed": 1,
        "blank_boolean": 1,
    }


NOBODY_SAYS = dict.fromkeys(sorted(ATTRIBUTES), "")


@pytest.mark.parametrize("word", [None, "", " ", "NULL", "n/a", "\\N"])
def test_no_customer_is_lost_for_what_the_source_does_not_say(word: Text) -> None:
    result = clean("users", [row("users", **dict.fromkeys(NOBODY_SAYS, word))])
    assert result.reasons == {}
    (user,) = result.processed
    texts = {"gender", "home_country", "home_city", "home_airport"}
    flags = {"married", "has_children"}
    assert {user[name] for name in texts} == {"unknown"}
    assert {user[name] for name in flags} == {False}
    assert {user[name] for name in ATTRIBUTES - texts - flags} == {None}
    assert result.repairs["unknown_attribute"] == 1
    assert result.repairs["null_word_blanked"] == bool((word or "").strip())


def test_a_birthdate_that_stands_for_unknown_is_unknown() -> None:
    rows = [row("users", "1", birthdate="1900-01-01"), row("users", "2", birthdate="1907-12-01")]
    result = clean("users", rows)
    found = {r["user_id"]: r["birthdate"] for r in result.processed}
    assert found == {1: None, 2: dt.date(1907, 12, 1)}
    assert result.repairs["birthdate_blanked"] == 1


@pytest.mark.parametrize("name", ["sessions", "flights"])
def test_words_of_the_settings_stand_for_null_in_every_column(name: str) -> None:
    optional = {"sessions": "trip_id", "flights": "return_time"}[name]
    unbooked = {"flight_booked": "f"} if name == "sessions" else {}
    rows = [row(name, "a", **unbooked, **{optional: " Keine "}), row(name, "keine")]
    refused = clean(name, rows[:1]).reasons
    result = clean(name, rows, null_words=["KEINE"])
    assert name == "sessions" or set(refused.values()) == {"unreadable_return_time"}
    assert [r[optional] for r in result.processed] == [None]
    assert set(result.reasons.values()) == {f"missing_{KEYS[name]}"}
    assert result.repairs["null_word_blanked"] == 1
    assert result.repairs["text_trimmed"] == 0


def test_nan_in_a_number_is_null_and_in_a_text_a_text() -> None:
    rows = [
        row("sessions", "a", flight_discount_amount="NaN", hotel_discount_amount="nan"),
        row("sessions", "b", page_clicks="nan"),
    ]
    result = clean("sessions", rows)
    assert result.of("a")["flight_discount_amount"] is None
    assert result.of("a")["hotel_discount_amount"] is None
    assert list(result.reasons.values()) == ["missing_page_clicks"]
    airport = clean("flights", [row("flights", destination_airport="NAN", destination="nan")])
    assert airport.of("1-t")["destination_airport"] == "NAN"


# Duplicates


def test_an_exact_copy_collapses_and_of_conflicting_rows_the_last_stays() -> None:
    rows = [
        row("hotels", "t", rooms="1"),
        row("hotels", "t", rooms="2"),
        row("hotels", "t", rooms="3"),
        row("hotels", "t", rooms="2"),
        row("hotels", "u"),
    ]
    result = clean("hotels", rows)
    assert result.of("t")["rooms"] == 2
    assert result.reasons == {
        ("hotels.csv", 1): "duplicate_key",
        ("hotels.csv", 2): "exact_duplicate",
        ("hotels.csv", 3): "duplicate_key",
    }


def test_keys_are_compared_as_values_not_as_text() -> None:
    result = clean("users", [row("users", "7", gender="M"), row("users", " 7.0", gender="F")])
    assert [(r["user_id"], r["gender"]) for r in result.processed] == [(7, "F")]


def test_a_damaged_copy_never_displaces_a_sound_one() -> None:
    result = clean("hotels", [row("hotels", "t", rooms="1"), row("hotels", "t", rooms="-1")])
    assert result.of("t")["rooms"] == 1
    assert result.reasons == {("hotels.csv", 2): "negative_rooms"}


def test_the_last_row_is_that_of_the_newest_file_whatever_the_order_of_reading() -> None:
    def placed(file: str, order: int, number: int, rooms: str) -> dict[str, Text | int]:
        return {
            **row("hotels", "t", rooms=rooms),
            "source_file": file,
            "source_order": order,
            "source_row": number,
        }

    rows = [placed("hotels-a.csv", 2, 2, "2"), placed("hotels-a.csv", 2, 1, "1")]
    rows = [*rows, placed("hotels-b.csv", 1, 9, "9")]
    result = clean("hotels", rows)
    assert result.of("t")["rooms"] == 2
    assert set(result.reasons) == {("hotels-a.csv", 1), ("hotels-b.csv", 9)}


def test_a_session_id_belongs_to_the_month_that_used_it_first() -> None:
    rows = [
        {**row("sessions", "again", page_clicks="2"), "month": "2023-02"},
        {**row("sessions", " again", page_clicks="1"), "month": "2023-01"},
        {**row("sessions", "other"), "month": "2023-02"},
    ]
    both = clean("sessions", rows)
    assert both.of("again")["page_clicks"] == 1
    assert both.reasons == {("sessions.csv", 1): "duplicate_of_earlier_month"}
    later = clean("sessions", rows, months=["2023-02"])
    assert [r["session_id"] for r in later.processed] == ["other"]
    assert later.reasons == both.reasons


@pytest.mark.parametrize("damage", [{"page_clicks": "-1"}, {"user_id": "2"}])
def test_a_damaged_session_does_not_take_its_id_from_a_later_month(
    damage: dict[str, str],
) -> None:
    rows = [
        {**row("sessions", "again"), **damage, "month": "2023-01"},
        {**row("sessions", "again"), "month": "2023-02"},
    ]
    result = clean("sessions", rows)
    assert [r["month"] for r in result.processed] == ["2023-02"]
    assert set(result.reasons) == {("sessions.csv", 1)}


def test_extra_columns_of_any_name_neither_disturb_nor_change() -> None:
    extra = (
        "user known_user user_is_known id_is_taken first_month duplicate content kept place rows "
        "copies lost_file lost_row id reason_in_source typed_user_id raw"
    )
    strange = {name: f"source's {name}" for name in extra.split()}
    rows = [
        {**row("sessions", "a", page_clicks="1"), **strange, "month": "2023-01"},
        {**row("sessions", "a", page_clicks="2"), **strange, "month": "2023-01"},
    ]
    result = clean("sessions", rows)
    assert result.reasons == {("sessions.csv", 1): "duplicate_key"}
    assert {name: result.quarantine[0][name] for name in strange} == strange


# Hotels


@cache
def stays() -> Result:
    times = {
        "one_short": ("2023-03-01 16:00:00", "2023-03-03 11:00:00", "1"),
        "right": ("2023-03-01 16:00:00", "2023-03-03 11:00:00", "2"),
        "same_day": ("2023-03-01 08:00:00", "2023-03-01 11:00:00", "0"),
        "out_before_in": ("2023-03-02 16:00:00", "2023-03-01 11:00:00", "-2"),
        "out_before_in_that_day": ("2023-03-01 16:00:00", "2023-03-01 11:00:00", "-1"),
        "over_the_leap_day": ("2024-02-28 23:59:59.999", "2024-03-01 00:00:00", "1"),
    }
    names = {
        "plain": "Hilton - london",
        "trailing_blank": "Extended Stay  - london",
        "hyphens": "Aman-Resorts - winston-salem",
        "no_city": "Hilton",
        "padded": "  Hilton - london ",
        "two_lines": "Grand\r\nInn - london",
    }
    rows = [
        row("hotels", key, check_in_time=start, check_out_time=end, nights=nights)
        for key, (start, end, nights) in times.items()
    ]
    return clean("hotels", [*rows, *(row("hotels", k, hotel_name=n) for k, n in names.items())])


@pytest.mark.parametrize(
    ("key", "nights", "stored", "flag"),
    [
        ("one_short", 2, 1, False),
        ("right", 2, 2, False),
        ("same_day", 1, 0, False),
        ("out_before_in", 1, -2, True),
        ("out_before_in_that_day", 1, -1, True),
        ("over_the_leap_day", 2, 1, False),
    ],
)
def test_nights_are_those_of_the_calendar_and_at_least_one(
    key: str, nights: int, stored: int, flag: bool
) -> None:
    stay = stays().of(key)
    assert (stay["nights"], stay["nights_stored"], stay["out_before_in"]) == (nights, stored, flag)


@pytest.mark.parametrize(
    ("key", "brand", "city"),
    [
        ("plain", "Hilton", "london"),
        ("trailing_blank", "Extended Stay", "london"),
        ("hyphens", "Aman-Resorts", "winston-salem"),
        ("no_city", "Hilton", None),
        ("padded", "Hilton", "london"),
        ("two_lines", "Grand\r\nInn", "london"),
    ],
)
def test_brand_and_city_are_split_and_trimmed(key: str, brand: str, city: Text) -> None:
    stay = stays().of(key)
    assert (stay["hotel_brand"], stay["hotel_city"]) == (brand, city)


def test_the_repairs_of_stays_are_counted() -> None:
    # The six stays that are here for their names have one night too few as well.
    assert {rule: n for rule, n in stays().repairs.items() if n} == {
        "text_trimmed": 1,
        "nights_recomputed": 5 + 6,
        "out_before_in_flagged": 2,
        "brand_trimmed": 1,
    }


# Sessions


def test_a_cancellation_keeps_nothing_of_what_the_export_makes_up() -> None:
    made_up = {"flight_discount": "true", "hotel_discount": "true", "hotel_booked": "true"}
    rows = [
        row("sessions", "booking"),
        row("sessions", "cancelling", cancellation="true", page_clicks="250", **made_up),
    ]
    result = clean("sessions", rows)
    booking, cancelling = result.of("booking"), result.of("cancelling")
    artefacts = {
        "flight_discount": True,
        "hotel_discount": False,
        "flight_discount_amount": 0.15,
        "hotel_discount_amount": None,
        "flight_booked": True,
        "hotel_booked": False,
        "page_clicks": 17,
        "session_seconds": 150,
    }
    assert {name: booking[name] for name in artefacts} == artefacts
    assert {name: cancelling[name] for name in artefacts} == dict.fromkeys(artefacts)
    assert cancelling["trip_id"] == "1-t"
    assert cancelling["session_start"] == dt.datetime(2023, 1, 31, 23, 59)
    assert result.repairs["cancellation_blanked"] == 1


# Anything at all

MESSY = st.one_of(
    st.none(),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.integers().map(str),
    st.floats().map(repr),
    st.datetimes().map(str),
    st.dates().map(str),
    st.sampled_from([*WORDS, "true", "f", "", "1", "-1", " - ", "2023-02-29", "24:00:00"]),
)


@st.composite
def messy_row(draw: st.DrawFn, name: str) -> dict[str, Text]:
    """A row of which some values, or all, are anything."""
    columns = [column.name for column in SOURCES[name]]
    spoiled = draw(st.lists(st.sampled_from(columns), max_size=3) | st.just(columns))
    found = row(name, draw(st.sampled_from(["1", "2", "3", "4"])))
    found |= {column: draw(MESSY) for column in spoiled}
    if name == "sessions":
        found["month"] = draw(st.sampled_from(["2023-01", "2023-02"]))
    return found


@pytest.mark.parametrize("name", SOURCES)
@settings(MANY)
@given(data=st.data())
def test_every_row_is_processed_or_refused_with_a_known_reason(
    name: str, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(messy_row(name), min_size=1, max_size=60))
    result = clean(name, rows)
    assert len(result.processed) + len(result.quarantine) == len(rows)
    assert set(result.reasons.values()) <= set(rule_reasons(name))
    assert sum(result.rejections.values()) == len(result.quarantine) == len(result.reasons)
    for line in result.quarantine:
        came = rows[line["source_row"] - 1]
        assert {column: line[column] for column in came} == came
    keys = [line[KEYS[name]] for line in result.processed]
    assert len(set(keys)) == len(keys)
    assert None not in keys
