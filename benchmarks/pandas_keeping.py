"""The peer with the promises of the pipeline: raw text is kept, and refused rows have reasons.

Each table is read once as text, and written as text (sessions by month). Every column is typed, and
every row that breaks a rule goes to quarantine with the name of the first rule. The rules are those
of `transforms/cleaning`, checked on whole columns, and a rule that no row breaks costs one pass.
Then the checks of the pipeline: rows in = rows kept + refused, by month; required values, unique
keys, flights and stays that no session names.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.pandas_peer import Tables, stays, visits
from traveltide_assets.schema.sources import ATTRIBUTES, KEYS, SOURCES
from traveltide_assets.schema.table import Column

_MAX_ORPHANS = 0.01
_FLAGS = {"true": True, "t": True, "1": True, "1.0": True}
_FLAGS |= {"false": False, "f": False, "0": False, "0.0": False}
_NULL = {"null", "\\n", "n/a", "#n/a", "(null)", "<null>", "undefined"}
_COORDINATES = ("lat", 90, "latitude"), ("lon", 180, "longitude")
Rule = tuple[str, Callable[[pd.DataFrame], pd.Series]]


class Unbalanced(AssertionError):
    """A check of the tables does not hold. The message says which."""


def tables(folder: Path, work: Path) -> Tables:
    """The valid rows of the four tables. Raw, valid and refused rows are in files of `work`."""
    keeping = _Keeping(folder, work)
    known = keeping.cleaned("users")
    sessions = keeping.cleaned("sessions", known["user_id"])
    flights, hotels = keeping.cleaned("flights"), keeping.cleaned("hotels")
    for name, table in (("flights", flights), ("hotels", hotels)):
        orphans = (~table["trip_id"].isin(sessions["trip_id"])).mean()
        if orphans > _MAX_ORPHANS:
            warnings.warn(f"{name}: {orphans:.1%} of rows are named by no session", stacklevel=2)
    return Tables(known, visits(sessions), flights, stays(hotels))


@dataclass(frozen=True)
class _Keeping:
    folder: Path
    work: Path

    def cleaned(self, name: str, users: pd.Series | None = None) -> pd.DataFrame:
        """The valid rows of a table, after its files were written and its checks have passed."""
        columns = SOURCES[name]
        file = self.folder / f"{name}.csv"
        # Every value as it is written, an empty one as an empty text.
        raw = pd.read_csv(file, dtype="str", keep_default_na=False, na_filter=False)
        months = raw["session_start"].str[:7] if name == "sessions" else None
        self._write(f"bronze/{name}", raw, months)
        text = pd.DataFrame({c.name: _text(raw[c.name]) for c in columns})
        typed = pd.DataFrame({c.name: _typed(text[c.name], c) for c in columns})
        reason = _reasons(name, text, typed, users)
        valid = typed[reason.isna()]
        refused = raw.assign(reason=reason)[reason.notna()]
        self._write(f"silver/{name}", valid, months)
        self._write(f"quarantine/{name}", refused, months)
        _check(name, valid, len(raw), len(refused))
        if months is not None:
            kept, lost = (table.index.map(months).value_counts() for table in (valid, refused))
            if not kept.add(lost, fill_value=0).eq(months.value_counts()).all():
                raise Unbalanced(f"{name}: a month has lost rows")
        return valid

    def _write(self, path: str, table: pd.DataFrame, months: pd.Series | None) -> None:
        """A file, or one for each month, sorted by key."""
        place = self.work / path
        place.mkdir(parents=True, exist_ok=True)
        table = table.sort_values(str(table.columns[0]))
        if months is None:
            table.to_parquet(place / "all.parquet", compression="zstd", index=False)
            return
        for month, rows in table.groupby(months.loc[table.index], sort=True):
            rows.to_parquet(place / f"{month}.parquet", compression="zstd", index=False)


def _text(raw: pd.Series) -> pd.Series:
    """The text without whitespace around it; null if nothing is left."""
    text = raw.str.strip()
    return text.where(text != "")


def _typed(text: pd.Series, column: Column) -> pd.Series:
    """The values of a column; null if there is none, or if the text is of another type."""
    if column.type == "boolean":
        values = text.map(_FLAGS)
        if not values.notna().all():
            lower = text.str.lower()
            values = lower.map(_FLAGS).where(text.notna(), False)
        return values.astype("boolean") if values.isna().any() else values.astype("bool")
    if column.type in ("int64", "float64"):
        number = pd.to_numeric(text, errors="coerce")
        if column.type == "int64":
            whole = number.where(number.mod(1) == 0)
            return whole.astype("int64") if whole.notna().all() else whole
        return number.round(2) if column.name.endswith("_discount_amount") else number
    if column.type in ("date", "timestamp(6)"):
        return pd.to_datetime(text, format="ISO8601", errors="coerce")
    return text


def _reasons(
    name: str, text: pd.DataFrame, typed: pd.DataFrame, users: pd.Series | None
) -> pd.Series:
    """The first rule that each row breaks; null for valid rows."""
    reason = pd.Series(None, index=typed.index, dtype="object")
    open_ = pd.Series(True, index=typed.index)
    for rule, broken in _broken(name, text, typed, users):
        hit = broken.fillna(False).astype("bool") & open_
        if hit.any():
            reason[hit] = rule
            open_ &= ~hit
    key = KEYS[name]
    valid = typed.loc[open_, key]
    repeated = valid[valid.duplicated(keep="last")]
    if len(repeated):
        rivals = text.loc[valid.index[valid.isin(repeated)]]
        last = rivals.groupby(valid.loc[rivals.index]).transform("last")
        same = (rivals.fillna("") == last.fillna("")).all(axis=1).loc[repeated.index]
        reason[repeated.index] = same.map({True: "exact_duplicate", False: "duplicate_key"})
    return reason


def _broken(
    name: str, text: pd.DataFrame, typed: pd.DataFrame, users: pd.Series | None
) -> Iterator[tuple[str, pd.Series]]:
    """Each rule, in the order of the pipeline, and whether each row breaks it."""
    columns = SOURCES[name]
    for c in columns:
        if c.required and c.type != "boolean":
            yield f"missing_{c.name}", text[c.name].isna()
    for c in columns:
        if c.name not in ATTRIBUTES and c.type == "string":
            yield f"null_word_{c.name}", text[c.name].str.lower().isin(_NULL)
    for c in columns:
        if c.type != "string":
            yield f"unreadable_{c.name}", typed[c.name].isna() & text[c.name].notna()
    for rule, broken in _RULES[name]:
        yield rule, broken(typed)
    for part, bound, word in _COORDINATES:
        for c in columns:
            if c.name.endswith(f"_{part}"):
                yield f"{word}_out_of_range", typed[c.name].abs() > bound
    if users is not None:
        yield "unknown_user", ~typed["user_id"].isin(users)


def _beyond(column: str, largest: int) -> Iterator[Rule]:
    yield f"negative_{column}", lambda t: t[column] < 0
    yield f"implausible_{column}", lambda t: t[column] > largest


def _backwards(rule: str, start: str, end: str) -> Rule:
    return rule, lambda t: t[end] < t[start]


def _too_long(rule: str, start: str, end: str, days: int) -> Rule:
    return rule, lambda t: (t[end].dt.normalize() - t[start].dt.normalize()).dt.days.abs() > days


def _outside_share(t: pd.DataFrame) -> pd.Series:
    amounts = (t["flight_discount_amount"], t["hotel_discount_amount"])
    one, other = (~amount.fillna(0).between(0, 1) for amount in amounts)
    return one | other


def _without_trip(t: pd.DataFrame) -> pd.Series:
    return (t["flight_booked"] | t["hotel_booked"] | t["cancellation"]) & t["trip_id"].isna()


_RULES: dict[str, tuple[Rule, ...]] = {
    "users": (_backwards("birthdate_in_future", "birthdate", "sign_up_date"),),
    "sessions": (
        *_beyond("page_clicks", 1_000_000),
        _backwards("ends_before_start", "session_start", "session_end"),
        _too_long("session_too_long", "session_start", "session_end", 31),
        ("discount_out_of_range", _outside_share),
        ("booking_without_trip", _without_trip),
    ),
    "flights": (
        *_beyond("seats", 1_000),
        *_beyond("checked_bags", 10_000),
        *_beyond("base_fare_usd", 10_000_000),
        _backwards("return_before_departure", "departure_time", "return_time"),
        _too_long("trip_too_long", "departure_time", "return_time", 1_830),
    ),
    "hotels": (
        ("implausible_nights", lambda t: t["nights"].abs() > 10_000),
        *_beyond("rooms", 1_000),
        *_beyond("hotel_per_room_usd", 1_000_000),
        _too_long("stay_too_long", "check_in_time", "check_out_time", 1_830),
    ),
}


def _check(name: str, valid: pd.DataFrame, read: int, refused: int) -> None:
    """Nothing is lost, every key is unique, and every required value is there."""
    if read != len(valid) + refused:
        raise Unbalanced(f"{name}: {read} rows read, {len(valid)} kept and {refused} refused")
    if not valid[KEYS[name]].is_unique:
        raise Unbalanced(f"{name}: {KEYS[name]} is not unique")
    for column in SOURCES[name]:
        if column.required and valid[column.name].isna().any():
            raise Unbalanced(f"{name}: {column.name} is missing in valid rows")
