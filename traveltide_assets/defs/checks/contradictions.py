"""What rows say against each other: dates, flags and owners that cannot all be true.

Values that were shifted by a row, swapped with another column or moved by a year are readable one
by one. Against other columns and tables they stand out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import ibis
import ibis.expr.types as ir

from traveltide_assets.defs.checks.check import EXAMPLES, Context, Outcome
from traveltide_assets.defs.checks.soundness import FEW, SESSIONS, layers

# Of fewer rows than this, a column may well have one value.
_ENOUGH = 100
_ALL = "rows"
_USERS, _FLIGHTS, _HOTELS = (layers(name)[1] for name in ("users", "flights", "hotels"))


AFTER: Mapping[str, tuple[str, ...]] = {
    "sessions": (),
    "flights": (SESSIONS, _USERS),
    "hotels": (SESSIONS, _FLIGHTS),
}
"""The tables that the rules of a table read, by its name."""


@dataclass(frozen=True)
class Rule:
    """Rows of a table that a rule speaks of, the condition that none should meet, and the words.

    `key` names the rows for the reader. `most` is the share of rows that may meet the condition
    whatever the settings say, because what it speaks of is unusual, but possible.
    """

    key: str
    words: str
    cause: str
    rows: Callable[[ibis.Table, Mapping[str, ibis.Table]], ibis.Table]
    wrong: Callable[[ibis.Table], ir.BooleanValue]
    most: float = 0.0


def _with_booking(rows: ibis.Table, others: Mapping[str, ibis.Table]) -> ibis.Table:
    sessions = others[SESSIONS]
    booked = sessions.filter((sessions.flight_booked | sessions.hotel_booked).fill_null(False))
    first = booked.group_by("trip_id").agg(booked_at=booked.session_start.min())
    return rows.inner_join(first, "trip_id")


def _with_home(rows: ibis.Table, others: Mapping[str, ibis.Table]) -> ibis.Table:
    sessions = others[SESSIONS]
    booked = sessions.filter(sessions.flight_booked & ~sessions.cancellation)
    owners = booked.select("trip_id", "user_id").distinct()
    homes = others[_USERS].select("user_id", "home_airport").drop_null("home_airport")
    return rows.inner_join(owners, "trip_id").inner_join(homes, "user_id")


def _with_flight(rows: ibis.Table, others: Mapping[str, ibis.Table]) -> ibis.Table:
    flights = others[_FLIGHTS].select("trip_id", "departure_time", "return_time")
    return rows.inner_join(flights, "trip_id")


def _cancellations(rows: ibis.Table, others: Mapping[str, ibis.Table]) -> ibis.Table:
    booked = rows.filter((rows.flight_booked | rows.hotel_booked).fill_null(False))
    owners = booked.group_by("trip_id").agg(booker=booked.user_id.min())
    return rows.filter(rows.cancellation).inner_join(owners, "trip_id")


def _alone(rows: ibis.Table, others: Mapping[str, ibis.Table]) -> ibis.Table:
    return rows


def _unlike_its_amount(rows: ibis.Table, part: str) -> ir.BooleanValue:
    flag = rows[f"{part}_discount"].fill_null(False)
    return (flag != rows[f"{part}_discount_amount"].notnull()) & ~rows.cancellation


def _not_during_the_flight(rows: ibis.Table) -> ir.BooleanValue:
    too_early = rows.check_out_time.date() < rows.departure_time.date()
    too_late = rows.check_in_time.date() > rows.return_time.date()
    return too_early | too_late.fill_null(False)


RULES: Mapping[str, tuple[Rule, ...]] = {
    "sessions": (
        Rule(
            "trip_id",
            "cancellations are of trips that another customer booked",
            "user_id, trip_id or cancellation belong to other rows",
            _cancellations,
            lambda rows: rows.user_id != rows.booker,
        ),
        *(
            Rule(
                "session_id",
                f"sessions have a {part}_discount that its amount denies",
                f"{part}_discount or {part}_discount_amount is inverted, empty or another column",
                _alone,
                partial(_unlike_its_amount, part=part),
            )
            for part in ("flight", "hotel")
        ),
    ),
    "flights": (
        Rule(
            "trip_id",
            "flights have a return_flight_booked that return_time denies",
            "return_flight_booked or return_time is empty, inverted or another column",
            _alone,
            lambda rows: rows.return_flight_booked != rows.return_time.notnull(),
        ),
        Rule(
            "trip_id",
            "flights depart before they are booked",
            "trip_id belongs to other rows, or departure_time or session_start is wrong",
            _with_booking,
            lambda rows: rows.departure_time.date() < rows.booked_at.date(),
        ),
        Rule(
            "trip_id",
            "flights start elsewhere than at the home airport of who booked them",
            "user_id of users or sessions, or trip_id, belongs to other rows",
            _with_home,
            lambda rows: rows.origin_airport != rows.home_airport,
            most=0.5,
        ),
        Rule(
            "trip_id",
            "flights have no seat",
            "seats is empty or another column, such as checked_bags",
            _alone,
            lambda rows: rows.seats == 0,
        ),
    ),
    "hotels": (
        Rule(
            "trip_id",
            "stays begin before they are booked",
            "trip_id belongs to other rows, or check_in_time or session_start is wrong",
            _with_booking,
            lambda rows: rows.check_in_time.date() < rows.booked_at.date(),
        ),
        Rule(
            "trip_id",
            "stays lie before or after the flight of their trip",
            "trip_id belongs to other rows, or the dates of flights or hotels are wrong",
            _with_flight,
            _not_during_the_flight,
        ),
        Rule(
            "trip_id",
            "stays end before they begin",
            "check_in_time and check_out_time are swapped",
            _alone,
            lambda rows: rows.check_out_time.date() < rows.check_in_time.date(),
        ),
        Rule(
            "trip_id",
            "stays have more rooms than a room costs dollars",
            "rooms and hotel_per_room_usd are swapped",
            _alone,
            lambda rows: rows.rooms > rows.hotel_per_room_usd,
        ),
    ),
}


def is_consistent(name: str, context: Context) -> Outcome:
    """Few rows contradict others. A smaller share than the limit passes."""
    tables, limit = _tables(context), context.settings.checks.block_contradiction_share
    facts: dict[str, object] = {"limit": limit}
    path = layers(name)[1]
    problems = []
    # A backfill from the UI ingests the snapshots before the first month of sessions.
    rules = RULES[name] if SESSIONS in tables else ()
    spoken_of = {rule.rows: rule.rows(tables[path], tables) for rule in rules}
    counts = {
        spoken: _counts(rows, [rule for rule in rules if rule.rows is spoken])
        for spoken, rows in spoken_of.items()
    }
    for rule in rules:
        rows, counted = spoken_of[rule.rows], counts[rule.rows]
        total, count = counted[_ALL], counted[rule.words]
        facts[rule.words] = count
        allowed = max(limit, rule.most)
        if count >= FEW and count > allowed * total:
            found = rows.filter(rule.wrong(rows).fill_null(False)).order_by(rule.key)
            examples = ", ".join(
                found.limit(EXAMPLES).select(rule.key).to_pyarrow()[rule.key].to_pylist()
            )
            problems.append(
                f"{count:,} of {total:,} {rule.words} ({count / total:.1%}; "
                f"{'' if rule.most else 'checks.block_contradiction_share allows '}"
                f"{allowed:.1%}{' may be' if rule.most else ''}), such as {examples}. "
                f"Likely {rule.cause}"
            )
    if problems:
        facts["problem"] = f"{'; '.join(problems)}. Export the table again and ingest"
    return Outcome(not problems, facts)


def _counts(rows: ibis.Table, rules: Sequence[Rule]) -> dict[str, int]:
    """From one scan: the number of rows, and by the words of each rule those that are wrong."""
    wrong = {rule.words: rule.wrong(rows).fill_null(False).sum().fill_null(0) for rule in rules}
    counted = rows.agg(**{_ALL: rows.count()}, **wrong).to_pyarrow().to_pylist()[0]
    return {words: int(count) for words, count in counted.items()}


def _tables(context: Context) -> dict[str, ibis.Table]:
    """The snapshots that are stored and, if any month is, the sessions of all stored months."""
    lake = context.lake
    stored = (path for path in (_USERS, _FLIGHTS, _HOTELS) if lake.exists(path))
    found = {path: lake.table(path) for path in stored}
    if months := lake.months(SESSIONS):
        found[SESSIONS] = lake.table(SESSIONS, months)
    return found


def is_varied(name: str, context: Context) -> Outcome:
    """No column but text has one value, or none, in every row of a table with many rows."""
    path = layers(name)[1]
    lake, months = context.lake, context.lake.months(path)
    table = lake.table(path, months) if months else lake.table(path)
    columns = [c.name for c in context.tables[path].columns if not table[c.name].type().is_string()]
    spread = {f"{c}:{end}": getattr(table[c], end)() for c in columns for end in ("min", "max")}
    row = table.agg(rows=table.count(), **spread).to_pyarrow().to_pylist()[0]
    constant = {c: row[f"{c}:min"] for c in columns if row[f"{c}:min"] == row[f"{c}:max"]}
    facts: dict[str, object] = {"rows": row["rows"]}
    if not constant or row["rows"] < _ENOUGH:
        return Outcome(True, facts)
    listed = ", ".join(
        f"{c} (no value)" if value is None else f"{c} (always {str(value).lower()})"
        for c, value in constant.items()
    )
    facts["problem"] = (
        f"{name} says the same in all of its {row['rows']:,} rows: {listed}. Likely the export "
        "leaves the column empty; if it is true, nothing is to be done"
    )
    return Outcome(False, facts)
