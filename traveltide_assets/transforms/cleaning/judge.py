"""Bronze to silver: types, repairs or rejects every row.

A row is rejected by the first rule it breaks and goes to quarantine under that rule's name, as text,
as it came. Repairs keep the row. Duplicates are judged last, among the rows that are otherwise
sound, so that a damaged copy never displaces a sound one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import ibis
import ibis.expr.types as ir
from ibis.expr.types.relations import CachedTable

from traveltide_assets.schema.sources import KEYS, SOURCES
from traveltide_assets.transforms.cleaning.parse import parse, text_of
from traveltide_assets.transforms.cleaning.rules import (
    REFUSALS,
    REPAIRS,
    Row,
    brand_and_city,
    calendar_nights,
)

_SOURCE_ORDER = ("source_file", "source_row")


@dataclass
class Cleaned:
    """The two halves of a table, and the number of rows that each rule repaired or refused.

    `month` is a column of both halves where the raw table has one. Both read one intermediate
    result, so use them inside a `with` block.
    """

    processed: ibis.Table
    quarantine: ibis.Table
    judged: CachedTable
    repairs: Mapping[str, int]
    refusals: Mapping[str, int]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.judged.release()


def clean_users(raw: ibis.Table) -> Cleaned:
    """`users_raw` to `users_processed` and its quarantine."""
    return _clean("users", raw, _typed("users", raw))


def clean_sessions(raw: ibis.Table, users: ibis.Table, months: Sequence[str]) -> Cleaned:
    """`sessions_raw` up to the last of `months` to the processed sessions of `months`.

    Earlier months serve only to see whether a sound session used the id before.
    """
    ids = raw.select(**{_own("session_id"): text_of(raw.session_id)})
    with _repeated(ids, _own("session_id")).cache() as repeated:
        return _clean("sessions", raw, _session_facts(raw, users, months, repeated), repeated)


def judged(name: str, raw: ibis.Table) -> ibis.Table:
    """The rows, typed, with their place and the `reason` they are refused for, lazily.

    Sessions are taken to be of users that are known, with ids that no earlier month has used.
    """
    facts = {"user_is_known": True, "id_is_taken": False}
    typed = _typed(name, raw)
    known = typed.mutate(**{_own(fact): ibis.literal(holds) for fact, holds in facts.items()})
    rows = _judged(name, known)
    return _with_duplicates(rows, _duplicates(name, raw, rows))


def processed(name: str, judged: ibis.Table) -> ibis.Table:
    """The sound ones among judged rows, typed and repaired, lazily."""
    sound = judged.filter(judged.reason.isnull())
    month = {"month": sound.month} if "month" in sound.columns else {}
    return sound.select(**_repaired(name, _values(name, sound)), **month)


def _session_facts(
    raw: ibis.Table, users: ibis.Table, months: Sequence[str], repeated: ibis.Table
) -> ibis.Table:
    """The sessions of some months, whether their user is known and whether their id is taken."""
    wanted = _with_user(_typed("sessions", raw.filter(raw.month.isin(months))), users)
    first = _first_sound_month(raw, users, repeated)
    facts = wanted.left_join(first, wanted[_own("session_id")] == first[_own("used_id")])
    taken = (facts[_own("first_month")] < facts.month).fill_null(False)
    return facts.mutate(**{_own("id_is_taken"): taken})


def _with_user(typed: ibis.Table, users: ibis.Table) -> ibis.Table:
    """The sessions with the fact whether silver knows their user."""
    known = users.select(**{_own("known"): users.user_id})
    joined = typed.left_join(known, typed[_own("user_id")] == known[_own("known")])
    return joined.mutate(**{_own("user_is_known"): joined[_own("known")].notnull()})


def _first_sound_month(raw: ibis.Table, users: ibis.Table, repeated: ibis.Table) -> ibis.Table:
    """The first month in which a sound session has the id, for ids used more than once.

    Only the rows of such ids, normally none, are judged.
    """
    used = raw.mutate(**{_own("used_id"): text_of(raw.session_id)})
    rivals = used.semi_join(repeated, used[_own("used_id")] == repeated[_own("session_id")])
    rivals = _with_user(_typed("sessions", rivals), users)
    rivals = rivals.mutate(**{_own("id_is_taken"): ibis.literal(False)})
    sound = rivals.filter(_first_refusal("sessions", rivals).isnull())
    return sound.group_by(_own("used_id")).agg(**{_own("first_month"): sound.month.min()})


def _repeated(rows: ibis.Table, key: str) -> ibis.Table:
    """The keys that several rows have."""
    return rows.group_by(key).having(rows.count() > 1).agg()


def clean_flights(raw: ibis.Table) -> Cleaned:
    """`flights_raw` to `flights_processed` and its quarantine."""
    return _clean("flights", raw, _typed("flights", raw))


def clean_hotels(raw: ibis.Table) -> Cleaned:
    """`hotels_raw` to `hotels_processed` and its quarantine."""
    return _clean("hotels", raw, _typed("hotels", raw))


def _own(name: str) -> str:
    """The name of a column of ours: with its blank it is none that a source can have."""
    return f"own {name}"


def _typed(name: str, raw: ibis.Table) -> ibis.Table:
    """The rows with the text and the typed value of every column.

    Rules name a value many times, so each is a column of its own, which is computed once.
    """
    names = [column.name for column in SOURCES[name]]
    texts = raw.mutate(**{_own_text(column): text_of(raw[column]) for column in names})
    return texts.mutate(
        **{
            _own(column.name): parse(texts[_own_text(column.name)], column)
            for column in SOURCES[name]
        }
    )


def _own_text(name: str) -> str:
    return _own(f"text of {name}")


def _values(name: str, rows: ibis.Table) -> dict[str, ir.Value]:
    """The typed values of a row and, where they are known, the facts about it."""
    names = [*(column.name for column in SOURCES[name]), "user_is_known", "id_is_taken"]
    return {column: rows[_own(column)] for column in names if _own(column) in rows.columns}


def _clean(
    name: str, raw: ibis.Table, facts: ibis.Table, repeated: ibis.Table | None = None
) -> Cleaned:
    """`repeated` are the keys that may be there twice, where they are known."""
    judged = _judged(name, facts).cache()
    duplicates = _duplicates(name, raw, judged, repeated)
    if duplicates.count().to_pyarrow().as_py():
        first, judged = judged, _with_duplicates(judged, duplicates).cache()
        first.release()
    sound = judged.filter(judged.reason.isnull())
    counts = sound.agg(**{rule.name: sound[_own(rule.name)].sum() for rule in REPAIRS[name]})
    refused = judged.filter(judged.reason.notnull())
    by_reason = refused.group_by("reason").agg(rows=refused.count()).order_by("reason")
    return Cleaned(
        processed=processed(name, judged),
        quarantine=raw.inner_join(refused.select(*_SOURCE_ORDER, "reason"), _SOURCE_ORDER),
        judged=judged,
        repairs={key: int(n or 0) for key, n in counts.to_pyarrow().to_pylist()[0].items()},
        refusals={line["reason"]: line["rows"] for line in by_reason.to_pyarrow().to_pylist()},
    )


def _judged(name: str, facts: ibis.Table) -> ibis.Table:
    """The typed values of each row, its place, why it is refused, and what is repaired in it."""
    month = ["month"] if "month" in facts.columns else []
    columns = [column.name for column in SOURCES[name]]
    row = {
        **_values(name, facts),
        "raw": {column: facts[column] for column in columns},
        "text": {column: facts[_own_text(column)] for column in columns},
    }
    return facts.select(
        *_SOURCE_ORDER,
        *month,
        *[_own(column) for column in columns],
        reason=_first_refusal(name, facts),
        **{_own(rule.name): rule.applies(row).fill_null(False) for rule in REPAIRS[name]},
    )


def _first_refusal(name: str, facts: ibis.Table) -> ir.StringValue:
    row = _values(name, facts)
    blank = {column.name: facts[_own_text(column.name)].isnull() for column in SOURCES[name]}
    branches: list[tuple[ir.BooleanValue, str]] = []
    for column in SOURCES[name]:
        if column.required and column.type != "boolean":
            branches.append((blank[column.name], f"missing_{column.name}"))
    for column in SOURCES[name]:
        if column.type != "string":
            unread = row[column.name].isnull() & ~blank[column.name]
            branches.append((unread, f"unreadable_{column.name}"))
    branches += [(rule.applies(row).fill_null(False), rule.name) for rule in REFUSALS[name]]
    return ibis.cases(*branches, else_=ibis.null("string"))


def _duplicates(
    name: str, raw: ibis.Table, judged: ibis.Table, repeated: ibis.Table | None = None
) -> ibis.Table:
    """The places of all but the last of the sound rows that share a key, and why each goes.

    Only the rows of repeated keys, normally none, are ordered and compared.
    """
    key = _own(KEYS[name])
    sound = judged.filter(judged.reason.isnull()).select(key, *_SOURCE_ORDER)
    if repeated is not None:
        sound = sound.semi_join(repeated, key)
    rivals = sound.semi_join(_repeated(sound, key), key)
    rivals = rivals.inner_join(raw, _SOURCE_ORDER)
    content = _content(rivals, [column.name for column in SOURCES[name]])
    window = ibis.window(group_by=key, order_by=[ibis.desc(c) for c in _SOURCE_ORDER])
    placed = rivals.select(
        *_SOURCE_ORDER,
        content=content,
        kept=content.first().over(window),
        place=ibis.row_number().over(window),
    )
    return placed.filter(placed.place > 0).select(
        **{_own(column): placed[column] for column in _SOURCE_ORDER},
        **{
            _own("duplicate"): ibis.ifelse(
                placed.content == placed.kept, "exact_duplicate", "duplicate_key"
            )
        },
    )


def _with_duplicates(judged: ibis.Table, duplicates: ibis.Table) -> ibis.Table:
    """The judged rows, duplicates refused."""
    joined = judged.left_join(
        duplicates, [judged[column] == duplicates[_own(column)] for column in _SOURCE_ORDER]
    )
    return joined.select(
        *[joined[c] for c in judged.columns if c != "reason"],
        reason=ibis.coalesce(joined.reason, joined[_own("duplicate")]),
    )


def _content(table: ibis.Table, columns: Sequence[str]) -> ir.StringValue:
    parts = [table[column].fill_null("") for column in columns]
    return ibis.literal("\x1f").join(parts)


def _repaired(name: str, row: Row) -> dict[str, ir.Value]:
    values = {column.name: row[column.name] for column in SOURCES[name]}
    if name == "sessions":
        return _without_artefacts(values)
    if name == "hotels":
        brand, city = brand_and_city(row)
        del values["hotel_name"]
        values |= {
            "hotel_brand": brand,
            "hotel_city": city,
            "nights": calendar_nights(row),
            "nights_stored": row["nights"],
            "out_before_in": row["check_out_time"] < row["check_in_time"],
        }
    return values


def _without_artefacts(values: dict[str, ir.Value]) -> dict[str, ir.Value]:
    seconds = values["session_end"].delta(values["session_start"], unit="second")
    values = {**values, "session_seconds": seconds}
    artefacts = (
        "flight_discount",
        "hotel_discount",
        "flight_discount_amount",
        "hotel_discount_amount",
        "flight_booked",
        "hotel_booked",
        "page_clicks",
        "session_seconds",
    )
    return values | {
        name: ibis.ifelse(values["cancellation"], ibis.null(values[name].type()), values[name])
        for name in artefacts
    }
