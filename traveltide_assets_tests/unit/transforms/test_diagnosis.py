"""The likely cause of unreadable values is named for whatever column they are in."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traveltide_assets.sample import dirt
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.schema.table import Column
from traveltide_assets.transforms.cleaning.diagnosis import (
    column_of,
    diagnose,
    explain,
    in_a_format,
)
from traveltide_assets.transforms.cleaning.diagnosis import (
    columns_of as columns_of_rule,
)
from traveltide_assets.transforms.cleaning.rules import rule_reasons

COLUMNS = {(table, column.name): column for table, columns in SOURCES.items() for column in columns}


def columns_of(*types: str) -> st.SearchStrategy[Column]:
    return st.sampled_from([column for column in COLUMNS.values() if column.type in types])


NUMERIC = columns_of("float64", "int64")
TIMES = columns_of("timestamp(6)", "date")
MOMENTS = st.lists(
    st.datetimes(dt.datetime(1950, 1, 1), dt.datetime(2030, 1, 1)), min_size=1, max_size=5
)
AMOUNTS = st.lists(st.decimals(1, 99_999, places=2), min_size=1, max_size=5)


@given(NUMERIC, AMOUNTS)
def test_a_decimal_comma(column: Column, amounts: list[object]) -> None:
    values = [str(amount).replace(".", ",") for amount in amounts]
    assert "decimal comma" in diagnose(column, values).cause


@given(columns_of("int64"), st.lists(st.integers(1_000, 10**9), min_size=1, max_size=5))
def test_thousands(column: Column, numbers: list[int]) -> None:
    assert "thousands" in diagnose(column, [f"{number:,}" for number in numbers]).cause


@given(st.lists(st.decimals(1, 89, places=3), min_size=1, max_size=5))
def test_a_coordinate_with_three_decimals_is_no_thousand(degrees: list[object]) -> None:
    column = COLUMNS["flights", "destination_airport_lat"]
    values = [str(degree).replace(".", ",") for degree in degrees]
    assert "decimal comma" in diagnose(column, values).cause


@given(NUMERIC, AMOUNTS, st.sampled_from(["${}", "{} €", "USD {}", "{} usd", "£{}"]))
def test_money(column: Column, amounts: list[object], written: str) -> None:
    assert "currency" in diagnose(column, [written.format(a) for a in amounts]).cause


@given(NUMERIC, st.lists(st.integers(10**6, 10**15), min_size=1, max_size=5))
def test_scientific_notation(column: Column, numbers: list[int]) -> None:
    assert "scientific" in diagnose(column, [f"{number:.5E}" for number in numbers]).cause


@given(TIMES, MOMENTS, st.sampled_from(["Z", "+00", "+02:00", "-0500", " UTC"]))
def test_a_zone(column: Column, moments: list[dt.datetime], zone: str) -> None:
    values = [f"{moment:%Y-%m-%d %H:%M:%S}{zone}" for moment in moments]
    assert "zone" in diagnose(column, values).cause


@given(TIMES, MOMENTS)
def test_a_clock_of_twelve_hours(column: Column, moments: list[dt.datetime]) -> None:
    values = [moment.strftime("%Y-%m-%d %I:%M %p") for moment in moments]
    assert "twelve hours" in diagnose(column, values).cause


@given(
    columns_of("int64"),
    st.lists(st.integers(0, 99), min_size=1),
    st.sampled_from(["{} pcs", "{}nights"]),
)
def test_a_unit(column: Column, counts: list[int], written: str) -> None:
    assert "unit" in diagnose(column, [written.format(count) for count in counts]).cause


@given(TIMES, st.integers(1990, 2030), st.integers(13, 99), st.integers(10, 99))
def test_a_date_that_does_not_exist_has_no_zone(
    column: Column, year: int, month: int, day: int
) -> None:
    assert "zone" not in diagnose(column, [f"{year}-{month}-{day}"]).cause


@given(st.dictionaries(st.integers(2, 100).map(str), st.integers(1, 50), min_size=1))
def test_percent_in_a_column_of_shares(values: dict[str, int]) -> None:
    for column in columns_of_rule("sessions", "discount_out_of_range"):
        assert in_a_format(column, "discount_out_of_range", values) == values
    assert "percent" in explain("sessions", "discount_out_of_range", list(values))


FORMS = {
    "float64": ["1,234.50", "12,5", "$12", "12 %", "1.2e3", "N/A"],
    "timestamp(6)": ["2023-05-01T10:00:00Z", "5/31/2023 10:00", "31.05.2023", "1 May 2023"],
    "boolean": ["Y", "no", "NULL"],
}


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k, vs in FORMS.items() for v in vs])
def test_a_known_format_is_told_among_random_dirt(kind: str, value: str) -> None:
    for (_, name), column in COLUMNS.items():
        if column.type == kind:
            found = in_a_format(column, f"unreadable_{name}", {"so-so": 9, value: 6})
            assert found == {value: 6}


@pytest.mark.parametrize("table", dirt.DAMAGES)
def test_the_damage_of_the_sample_is_in_no_known_format(table: str) -> None:
    refusing = [d for d in dirt.DAMAGES[table] if d.expectation.startswith("quarantine:")]
    row = {column.name: "1" for column in SOURCES[table]} | {
        "sign_up_date": "2023-01-01",
        "session_start": "2023-01-01 10:00:00",
        "departure_time": "2023-01-01 10:00:00",
    }
    for damage in refusing:
        values = {damage.spoil(row, turn): 1 for turn in range(6)}
        for column in columns_of_rule(table, damage.name):
            assert in_a_format(column, damage.name, values) == {}, damage.name


@given(TIMES, MOMENTS, st.booleans())
def test_us_dates(column: Column, moments: list[dt.datetime], with_time: bool) -> None:
    form = "%m/%d/%Y %H:%M" if with_time else "%m/%d/%Y"
    assert "US dates" in diagnose(column, [moment.strftime(form) for moment in moments]).cause


@given(TIMES, MOMENTS)
def test_dates_that_begin_with_the_day(column: Column, moments: list[dt.datetime]) -> None:
    values = [moment.strftime("%d.%m.%Y") for moment in moments]
    assert "begin with the day" in diagnose(column, values).cause


@given(columns_of("boolean"), st.lists(st.sampled_from(["yes", "No", "Y", "n"]), min_size=1))
def test_yes_and_no(column: Column, values: list[str]) -> None:
    assert "yes and no" in diagnose(column, values).cause


@given(
    st.sampled_from(list(COLUMNS.values())),
    st.lists(st.sampled_from(["NULL", "None", "nan", "N/A", "\\N", "-"]), min_size=1),
)
def test_a_word_for_an_empty_value(column: Column, values: list[str]) -> None:
    assert "empty value" in diagnose(column, values).cause


@given(st.sampled_from(list(COLUMNS.values())), st.lists(st.text()))
def test_any_text_has_a_diagnosis_with_a_remedy(column: Column, values: list[str]) -> None:
    found = diagnose(column, values)
    assert found.cause
    assert found.remedy


@pytest.mark.parametrize("table", SOURCES)
def test_every_rule_is_about_a_column_of_its_table(table: str) -> None:
    for rule in rule_reasons(table):
        column = column_of(table, rule)
        assert column is not None, rule
        assert (table, column.name) in COLUMNS


def test_three_short_values_of_the_column_are_shown() -> None:
    said = explain("hotels", "unreadable_rooms", ["1,5", "2,5", "3,5", "4,5"])
    assert said.startswith("rooms (unreadable_rooms) has values such as '1,5', '2,5', '3,5'. ")
    assert "4,5" not in said
    long = explain("hotels", "unreadable_rooms", ["x" * 1_000])
    assert len(long) < 300
