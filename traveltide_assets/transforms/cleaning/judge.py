"""Bronze to silver: types, repairs or rejects every row.

A row is rejected by the first rule it breaks. It goes to quarantine as unchanged text, with the
name of that rule. Repairs keep the row. Duplicates are resolved last, among the valid rows, so that
a damaged copy never displaces a valid row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import ibis
import ibis.expr.types as ir

from traveltide_assets.schema.sources import RAW, key_of
from traveltide_assets.transforms.cleaning.cleaned import Cleaned, Counts
from traveltide_assets.transforms.cleaning.parse import is_one_of, parse, text_of
from traveltide_assets.transforms.cleaning.rules import (
    REJECTIONS,
    REPAIRS,
    UNKNOWN,
    brand_and_city,
    calendar_nights,
    too_old,
)
from traveltide_assets.transforms.cleaning.values import Row, value_rules, words_for_null

_PLACE = ("source_file", "source_row")
_SOURCE_ORDER = ("source_order", *_PLACE)


def clean_users(raw: ibis.Table, null_words: Collection[str] = ()) -> Cleaned:
    """`users_raw` to `users_processed` and its quarantine.

    Here and below, `null_words` are words of the source that stand for null.
    """
    return _clean("users", raw, _typed("users", raw, null_words))


def clean_sessions(
    raw: ibis.Table,
    users: ibis.Table,
    months: Sequence[str],
    null_words: Collection[str] = (),
) -> Cleaned:
    """`sessions_raw` to `sessions_processed` and its quarantine, for the given months.

    `raw` holds at least all months up to the last of `months`. Earlier months are read only to find
    ids that a valid session has already used, and later ones are not read.
    """
    needed = raw.filter(raw.month <= max(months, default=""))
    ids = needed.select(**{_own("session_id"): text_of(needed.session_id)})
    with _repeated(ids, _own("session_id")).cache() as repeated:
        facts = _session_facts(raw, users, months, repeated, null_words)
        return _clean("sessions", raw, facts, repeated)


def validated(name: str, raw: ibis.Table) -> ibis.Table:
    """One row per raw row, as an expression: typed values, position and `reason` of rejection.

    `reason` is null for valid rows. Sessions are assumed to belong to known users and to have ids
    that no earlier month has used.
    """
    facts = {"user_is_known": True, "id_is_taken": False}
    typed = _typed(name, raw, ())
    known = typed.mutate(**{_own(fact): ibis.literal(holds) for fact, holds in facts.items()})
    rows = _validated(name, known)
    return _with_duplicates(rows, _duplicates(name, raw, rows))


def processed(name: str, validated: ibis.Table) -> ibis.Table:
    """One row per valid row, typed and repaired, as an expression."""
    valid = validated.filter(validated.reason.isnull())
    month = {"month": valid.month} if "month" in valid.columns else {}
    place = {"source_file": valid.source_file}
    return valid.select(**_repaired(name, _values(name, valid)), **place, **month)


def _session_facts(
    raw: ibis.Table,
    users: ibis.Table,
    months: Sequence[str],
    repeated: ibis.Table,
    null_words: Collection[str],
) -> ibis.Table:
    """Sessions of some months, with two facts: is the user known, and is the id already taken?

    Normally no id occurs twice, and then no other month is looked at.
    """
    wanted = _typed("sessions", raw.filter(raw.month.isin(months)), null_words)
    wanted = _with_user(wanted, users)
    if not repeated.count().to_pyarrow().as_py():
        return wanted.mutate(**{_own("id_is_taken"): ibis.literal(False)})
    first = _first_valid_month(raw, users, repeated, null_words)
    facts = wanted.left_join(first, wanted[_own("session_id")] == first[_own("used_id")])
    taken = (facts[_own("first_month")] < facts.month).fill_null(False)
    return facts.mutate(**{_own("id_is_taken"): taken})


def _with_user(typed: ibis.Table, users: ibis.Table) -> ibis.Table:
    """The rows, with the fact whether silver has their user."""
    known = users.select(**{_own("known"): users.user_id})
    joined = typed.left_join(known, typed[_own("user_id")] == known[_own("known")])
    return joined.mutate(**{_own("user_is_known"): joined[_own("known")].notnull()})


def _first_valid_month(
    raw: ibis.Table, users: ibis.Table, repeated: ibis.Table, null_words: Collection[str]
) -> ibis.Table:
    """The first month in which a valid session has the id, for ids that occur more than once.

    Only rows with such ids, normally none, are validated.
    """
    used = raw.mutate(**{_own("used_id"): text_of(raw.session_id)})
    rivals = used.semi_join(repeated, used[_own("used_id")] == repeated[_own("session_id")])
    rivals = _with_user(_typed("sessions", rivals, null_words), users)
    rivals = rivals.mutate(**{_own("id_is_taken"): ibis.literal(False)})
    valid = rivals.filter(_first_broken_rule("sessions", rivals).isnull())
    return valid.group_by(_own("used_id")).agg(**{_own("first_month"): valid.month.min()})


def _repeated(rows: ibis.Table, *key: str) -> ibis.Table:
    """The keys that occur in more than one row."""
    return rows.group_by(*key).having(rows.count() > 1).agg()


def clean_flights(raw: ibis.Table, null_words: Collection[str] = ()) -> Cleaned:
    """`flights_raw` to `flights_processed` and its quarantine."""
    return _clean("flights", raw, _typed("flights", raw, null_words))


def clean_hotels(raw: ibis.Table, null_words: Collection[str] = ()) -> Cleaned:
    """`hotels_raw` to `hotels_processed` and its quarantine."""
    return _clean("hotels", raw, _typed("hotels", raw, null_words))


def clean_responses(
    raw: ibis.Table, users: ibis.Table, null_words: Collection[str] = ()
) -> Cleaned:
    """`responses_raw` to `responses_processed` and its quarantine."""
    return _clean("responses", raw, _with_user(_typed("responses", raw, null_words), users))


def _own(name: str) -> str:
    """Name of an internal column. The space guarantees it cannot clash with a source column."""
    return f"own {name}"


def _typed(name: str, raw: ibis.Table, null_words: Collection[str]) -> ibis.Table:
    """The rows with the text and the typed value of every column.

    Rules use a value many times, so each value is a column and is computed once.
    """
    columns = RAW[name]
    texts = raw.mutate(**{_own_text(c.name): text_of(raw[c.name]) for c in columns})
    words = {c.name: words_for_null(c, null_words) for c in columns}
    texts = texts.mutate(
        **{
            _own_null_word(column): is_one_of(texts[_own_text(column)], known)
            for column, known in words.items()
            if known
        }
    )
    texts = texts.mutate(
        **{
            _own_text(column): ibis.ifelse(
                texts[_own_null_word(column)], ibis.null("string"), texts[_own_text(column)]
            )
            for column, known in words.items()
            if known
        }
    )
    return texts.mutate(
        **{_own(column.name): parse(texts[_own_text(column.name)], column) for column in columns}
    )


def _own_text(name: str) -> str:
    return _own(f"text of {name}")


def _own_null_word(name: str) -> str:
    return _own(f"null word in {name}")


def _values(name: str, rows: ibis.Table) -> dict[str, ir.Value]:
    """The typed values of a row and, if present, the facts about it."""
    names = [*(column.name for column in RAW[name]), "user_is_known", "id_is_taken"]
    return {column: rows[_own(column)] for column in names if _own(column) in rows.columns}


def _clean(
    name: str, raw: ibis.Table, facts: ibis.Table, repeated: ibis.Table | None = None
) -> Cleaned:
    """Validate rows; `repeated` are the keys that may have duplicates, if known in advance.

    Each row is validated once, into a cache. Duplicates are few, so they have a cache of their own
    and are joined where rows are read. Nothing is released before all is read: on Spark, a cache is
    filled when it is first read, and would be computed from bronze again.
    """
    first = _validated(name, facts).cache()
    duplicates = _duplicates(name, raw, first, repeated).cache()
    found = duplicates.count().to_pyarrow().as_py()
    validated = _with_duplicates(first, duplicates) if found else first
    rejected = validated.filter(validated.reason.notnull())
    return Cleaned(
        processed=processed(name, validated),
        quarantine=raw.inner_join(rejected.select(*_PLACE, "reason"), _PLACE),
        cached=(first, duplicates),
        counts=_counts(name, validated),
        overlapping=_overlapping(duplicates) if found else (),
    )


def _counts(name: str, validated: ibis.Table) -> dict[str, Counts]:
    """By month or file: the numbers of valid rows by repair, and of rejected rows by reason."""
    part = "month" if "month" in validated.columns else "source_file"
    repairs = {rule.name: validated[_own(rule.name)].sum() for rule in REPAIRS[name]}
    rows = validated.group_by(part, "reason")
    counted = rows.agg(**{_own("rows"): validated.count()}, **repairs)
    by_part: dict[str, dict[str | None, dict[str, int]]] = defaultdict(dict)
    for line in counted.order_by(part, "reason").to_pyarrow().to_pylist():
        by_part[line[part]][line["reason"]] = line
    return {
        name_of: Counts(
            {rule: int(lines.get(None, {}).get(rule) or 0) for rule in repairs},
            {reason: line[_own("rows")] for reason, line in lines.items() if reason},
        )
        for name_of, lines in by_part.items()
    }


def _overlapping(duplicates: ibis.Table) -> set[str]:
    """The files that share a key with another one: of rows that another file's row replaces."""
    file, keeper = _own("source_file"), _own("keeper")
    pairs = duplicates.filter(duplicates[file] != duplicates[keeper]).select(file, keeper)
    return {name for pair in pairs.distinct().to_pyarrow().to_pylist() for name in pair.values()}


def _validated(name: str, facts: ibis.Table) -> ibis.Table:
    """The typed values of each row, its position, the reason of rejection, and its repairs."""
    month = ["month"] if "month" in facts.columns else []
    row = _row(name, facts)
    return facts.select(
        *_SOURCE_ORDER,
        *month,
        *[_own(column.name) for column in RAW[name]],
        reason=_first_broken_rule(name, facts),
        **{_own(rule.name): rule.applies(row).fill_null(False) for rule in REPAIRS[name]},
    )


def _row(name: str, facts: ibis.Table) -> Row:
    """What rules look at: typed values, facts, the text of each value, and the text as it came.

    `null_word` says of columns for which there are such words whether the text was one.
    """
    columns = [column.name for column in RAW[name]]
    return {
        **_values(name, facts),
        "raw": {column: facts[column] for column in columns},
        "text": {column: facts[_own_text(column)] for column in columns},
        "null_word": {
            column: facts[_own_null_word(column)]
            for column in columns
            if _own_null_word(column) in facts.columns
        },
    }


def _first_broken_rule(name: str, facts: ibis.Table) -> ir.StringValue:
    row = _row(name, facts)
    rules = (*value_rules(name), *REJECTIONS[name])
    # A null condition does not hold. Made false here, engines would compute all of its parts.
    branches = [(rule.applies(row), rule.name) for rule in rules]
    return ibis.cases(*branches, else_=ibis.null("string"))


def _duplicates(
    name: str, raw: ibis.Table, validated: ibis.Table, repeated: ibis.Table | None = None
) -> ibis.Table:
    """Positions of valid rows that a later row with the same key replaces, with the reason.

    Only rows with repeated keys, normally none, are sorted and compared.
    """
    key = [_own(column) for column in key_of(name)]
    valid = validated.filter(validated.reason.isnull()).select(*key, *_SOURCE_ORDER)
    if repeated is not None:
        valid = valid.semi_join(repeated, key)
    rivals = valid.semi_join(_repeated(valid, *key), key)
    rivals = rivals.inner_join(raw.drop("source_order"), _PLACE)
    content = _content(rivals, [column.name for column in RAW[name]])
    window = ibis.window(group_by=key, order_by=[ibis.desc(c) for c in _SOURCE_ORDER])
    placed = rivals.select(
        *_PLACE,
        content=content,
        kept=content.first().over(window),
        keeper=rivals.source_file.first().over(window),
        place=ibis.row_number().over(window),
    )
    return placed.filter(placed.place > 0).select(
        **{_own(column): placed[column] for column in (*_PLACE, "keeper")},
        **{
            _own("duplicate"): ibis.ifelse(
                placed.content == placed.kept, "exact_duplicate", "duplicate_key"
            )
        },
    )


def _with_duplicates(validated: ibis.Table, duplicates: ibis.Table) -> ibis.Table:
    """The validated rows, with duplicates rejected."""
    joined = validated.left_join(
        duplicates, [validated[column] == duplicates[_own(column)] for column in _PLACE]
    )
    return joined.select(
        *[joined[c] for c in validated.columns if c != "reason"],
        reason=ibis.coalesce(joined.reason, joined[_own("duplicate")]),
    )


def _content(table: ibis.Table, columns: Sequence[str]) -> ir.StringValue:
    parts = [table[column].fill_null("") for column in columns]
    return ibis.literal("\x1f").join(parts)


def _repaired(name: str, row: Row) -> dict[str, ir.Value]:
    values = {column.name: row[column.name] for column in RAW[name]}
    if name == "users":
        return _with_unknowns(row)
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


def _with_unknowns(row: Row) -> dict[str, ir.Value]:
    values = {
        column.name: row[column.name].fill_null(UNKNOWN)
        if column.type == "string"
        else row[column.name]
        for column in RAW["users"]
    }
    birthdate = ibis.ifelse(too_old(row), ibis.null("date"), row["birthdate"])
    return values | {"birthdate": birthdate}


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
