"""What rows say against each other: dates, flags and owners that cannot all be true.

Values that were shifted by a row, swapped with another column or moved by a year are readable one
by one. Against other columns and tables they stand out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir

from traveltide_assets.defs.checks.bookings import (
    BOOKED_AT,
    DEPARTURE,
    FLIGHT,
    HOME,
    MONTH,
    RETURN,
    TRIP,
    beside_sessions,
)
from traveltide_assets.defs.checks.check import EXAMPLES, Context, Outcome
from traveltide_assets.defs.checks.soundness import BOOKED, FEW, SESSIONS, layers

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from traveltide_assets.lake.lake import Lake

# Of fewer rows than this, a column may well have one value.
_ENOUGH = 100

AFTER: Mapping[str, tuple[str, ...]] = {
    "sessions": (),
    "flights": (SESSIONS, layers("users")[1]),
    "hotels": (SESSIONS, layers("flights")[1]),
}
"""The tables that the rules of a table read, by its name."""


@dataclass(frozen=True)
class Rule:
    """Rows that a rule speaks of, the condition that none should meet, and the words.

    `key` names the rows for the reader. Of what `rows` gives, the rule speaks of those that are
    `of` interest. `most` is the share of rows that may meet the condition whatever the settings
    say, because what it speaks of is unusual, but possible.
    """

    key: str
    words: str
    cause: str
    rows: Callable[[Lake], ibis.Table]
    of: Callable[[ibis.Table], ir.BooleanValue]
    wrong: Callable[[ibis.Table], ir.BooleanValue]
    most: float = 0.0


def _sessions(lake: Lake) -> ibis.Table:
    return lake.table(SESSIONS, lake.months(SESSIONS))


def _cancellations(lake: Lake) -> ibis.Table:
    rows = _sessions(lake)
    booked = rows.filter((rows.flight_booked | rows.hotel_booked).fill_null(False))
    owners = booked.group_by("trip_id").agg(booker=booked.user_id.min())
    return rows.filter(rows.cancellation).inner_join(owners, "trip_id")


_FLIGHTS, _HOTELS = (partial(beside_sessions, name) for name in ("flights", "hotels"))


def _all(rows: ibis.Table) -> ir.BooleanValue:
    return ibis.literal(True)


def _there(rows: ibis.Table) -> ir.BooleanValue:
    return rows.trip_id.notnull()


def _with(column: str) -> Callable[[ibis.Table], ir.BooleanValue]:
    return lambda rows: _there(rows) & rows[column].notnull()


def _unlike_its_amount(rows: ibis.Table, part: str) -> ir.BooleanValue:
    flag = rows[f"{part}_discount"].fill_null(False)
    return (flag != rows[f"{part}_discount_amount"].notnull()) & ~rows.cancellation


def _not_during_the_flight(rows: ibis.Table) -> ir.BooleanValue:
    too_early = rows.check_out_time.date() < rows[DEPARTURE].date()
    too_late = rows.check_in_time.date() > rows[RETURN].date()
    return too_early | too_late.fill_null(False)


RULES: Mapping[str, tuple[Rule, ...]] = {
    "sessions": (
        Rule(
            "trip_id",
            "cancellations are of trips that another customer booked",
            "user_id, trip_id or cancellation belong to other rows",
            _cancellations,
            _all,
            lambda rows: rows.user_id != rows.booker,
        ),
        *(
            Rule(
                "session_id",
                f"sessions have a {part}_discount that its amount denies",
                f"{part}_discount or {part}_discount_amount is inverted, empty or another column",
                _sessions,
                _all,
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
            _FLIGHTS,
            _there,
            lambda rows: rows.return_flight_booked != rows.return_time.notnull(),
        ),
        Rule(
            "trip_id",
            "flights depart before they are booked",
            "trip_id belongs to other rows, or departure_time or session_start is wrong",
            _FLIGHTS,
            _with(BOOKED_AT),
            lambda rows: rows.departure_time.date() < rows[BOOKED_AT].date(),
        ),
        Rule(
            "trip_id",
            "flights start elsewhere than at the home airport of who booked them",
            "user_id of users or sessions, or trip_id, belongs to other rows",
            _FLIGHTS,
            _with(HOME),
            lambda rows: rows.origin_airport != rows[HOME],
            most=0.5,
        ),
        Rule(
            "trip_id",
            "flights have no seat",
            "seats is empty or another column, such as checked_bags",
            _FLIGHTS,
            _there,
            lambda rows: rows.seats == 0,
        ),
    ),
    "hotels": (
        Rule(
            "trip_id",
            "stays begin before they are booked",
            "trip_id belongs to other rows, or check_in_time or session_start is wrong",
            _HOTELS,
            _with(BOOKED_AT),
            lambda rows: rows.check_in_time.date() < rows[BOOKED_AT].date(),
        ),
        Rule(
            "trip_id",
            "stays lie before or after the flight of their trip",
            "trip_id belongs to other rows, or the dates of flights or hotels are wrong",
            _HOTELS,
            _with(FLIGHT),
            _not_during_the_flight,
        ),
        Rule(
            "trip_id",
            "stays end before they begin",
            "check_in_time and check_out_time are swapped",
            _HOTELS,
            _there,
            lambda rows: rows.check_out_time.date() < rows.check_in_time.date(),
        ),
        Rule(
            "trip_id",
            "stays have more rooms than a room costs dollars",
            "rooms and hotel_per_room_usd are swapped",
            _HOTELS,
            _there,
            lambda rows: rows.rooms > rows.hotel_per_room_usd,
        ),
    ),
}


def is_consistent(name: str, context: Context) -> Outcome:
    """Few rows contradict others. A smaller share than the limit passes."""
    lake, limit = context.lake, context.settings.checks.block_contradiction_share
    facts: dict[str, object] = {"limit": limit}
    problems = []
    # A backfill from the UI ingests the snapshots before the first month of sessions.
    rules = RULES[name] if lake.months(SESSIONS) else ()
    found = _counts(name, context) if rules else {}
    for rule in rules:
        total, count = found[_spoken_of(rule)], found[rule.words]
        facts[rule.words] = count
        allowed = max(limit, rule.most)
        if count >= FEW and count > allowed * total:
            rows = rule.rows(lake)
            wrong = rows.filter(_breaks(rule, rows)).order_by(rule.key).limit(EXAMPLES)
            examples = ", ".join(wrong.select(rule.key).to_pyarrow()[rule.key].to_pylist())
            problems.append(
                f"{count:,} of {total:,} {rule.words} ({count / total:.1%}; "
                f"{'' if rule.most else 'checks.block_contradiction_share allows '}"
                f"{allowed:.1%}{' may be' if rule.most else ''}), such as {examples}. "
                f"Likely {rule.cause}"
            )
    if problems:
        facts["problem"] = f"{'; '.join(problems)}. Export the table again and ingest"
    return Outcome(not problems, facts)


def _counts(name: str, context: Context) -> dict[str, int]:
    """By the words of each rule the rows that break it; and those that it speaks of."""
    if name in BOOKED:
        lines = by_month_of_booking(name, context)
    else:
        sets = dict.fromkeys(rule.rows for rule in RULES[name])
        lines = [
            _line(rows(context.lake), [rule for rule in RULES[name] if rule.rows is rows])
            for rows in sets
        ]
    what = [of for rule in RULES[name] for of in (_spoken_of(rule), rule.words)]
    return {of: sum(line.get(of, 0) for line in lines) for of in what}


def _line(rows: ibis.Table, rules: Sequence[Rule]) -> dict[str, int]:
    (line,) = rows.agg(**_judged(rows, rules)).to_pyarrow().to_pylist()
    return dict(line)


def by_month_of_booking(name: str, context: Context) -> list[dict[str, Any]]:
    """What one query counts of flights or hotel stays beside sessions, by month of booking.

    Without a month are those that no session books. `trips` have a row or are booked, `rows` have
    a row, and `unknown` are of trips that no session names.
    """

    def found() -> list[dict[str, Any]]:
        beside = beside_sessions(name, context.lake)
        there = _there(beside)
        counted = beside.group_by(MONTH).agg(
            trips=beside.count(),
            rows=beside.count(where=there),
            unknown=beside.count(where=there & beside[TRIP].isnull()),
            **_judged(beside, RULES[name]),
        )
        return list(counted.to_pyarrow().to_pylist())

    return context.once(layers(name)[1], "beside sessions", found)


def _judged(rows: ibis.Table, rules: Sequence[Rule]) -> dict[str, ir.IntegerScalar]:
    spoken_of = {_spoken_of(rule): rule.of(rows) for rule in rules}
    broken = {rule.words: _breaks(rule, rows) for rule in rules}
    return {what: rows.count(where=holds) for what, holds in (spoken_of | broken).items()}


def _spoken_of(rule: Rule) -> str:
    return f"may be that {rule.words}"


def _breaks(rule: Rule, rows: ibis.Table) -> ir.BooleanValue:
    return rule.of(rows) & rule.wrong(rows).fill_null(False)


def is_varied(name: str, context: Context) -> Outcome:
    """No column but text has one value, or none, in every row of a table with many rows."""
    path = layers(name)[1]
    lake, months = context.lake, context.lake.months(path)
    footers = list(lake.footers(path, months).values())
    rows = sum(footer.num_rows for footer in footers)
    facts: dict[str, object] = {"rows": rows}
    columns = [c.name for c in context.tables[path].columns if c.type != "string"]
    alike = [column for column in columns if not _differs(column, footers)]
    if not alike or rows < _ENOUGH:
        return Outcome(True, facts)
    table = lake.table(path, months)
    spread = {f"{c}:{end}": getattr(table[c], end)() for c in alike for end in ("min", "max")}
    row = table.agg(**spread).to_pyarrow().to_pylist()[0]
    constant = {c: row[f"{c}:min"] for c in alike if row[f"{c}:min"] == row[f"{c}:max"]}
    if not constant:
        return Outcome(True, facts)
    listed = ", ".join(
        f"{c} (no value)" if value is None else f"{c} (always {str(value).lower()})"
        for c, value in constant.items()
    )
    facts["problem"] = (
        f"{name} says the same in all of its {rows:,} rows: {listed}. Likely the export "
        "leaves the column empty; if it is true, nothing is to be done"
    )
    return Outcome(False, facts)


def _differs(column: str, footers: Sequence[pq.FileMetaData]) -> bool:
    """Whether the footers of files tell that a column has different values."""
    found = []
    for footer in footers:
        place = footer.schema.names.index(column)
        groups = [footer.row_group(group) for group in range(footer.num_row_groups)]
        found += [group.column(place).statistics for group in groups]
    known = [each for each in found if each is not None and each.has_min_max]
    return bool(known) and min(each.min for each in known) != max(each.max for each in known)
