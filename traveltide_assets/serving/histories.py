"""Features of new customers from their raw rows, by the definitions of the pipeline.

Cleaning and features are the Ibis expressions of `transforms/`, compiled once per month and run by
DuckDB in memory. Compiling takes a second, running a few hundredths of a second.
"""

from __future__ import annotations

import datetime as dt
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
import ibis
import pandas as pd
import pyarrow as pa

from traveltide_assets.engines.base import compile_step_by_step
from traveltide_assets.prediction.early import early_features
from traveltide_assets.schema.sources import PLACE, SOURCES
from traveltide_assets.serving.messages import History
from traveltide_assets.transforms.cleaning import judge, rules
from traveltide_assets.transforms.features.catalogue import OWN

_ORDER = ("users", "sessions", "flights", "hotels")
_PARTS = {"users": "profile", "sessions": "sessions", "flights": "flights", "hotels": "hotels"}
_UNKNOWN = "unknown"
# DuckDB refuses work beyond this before the process reaches its own limit.
_MEMORY = "512MB"
# Customers whose rows are computed together: more would take more memory and no less time.
_TOGETHER = 1_000


class RejectedRow(ValueError):
    """Rows of a customer cannot be used. `place` is the path to the row or the field."""

    def __init__(self, customer: int, place: Sequence[int | str], reason: str) -> None:
        super().__init__(reason)
        self.customer, self.place = customer, ["history", *place]


@dataclass(frozen=True)
class Plans:
    """The SQL of cleaning, by table, and of the features as of the end of a month."""

    judge: Mapping[str, str]
    features: str

    @classmethod
    def of(cls, month: str) -> Plans:
        """The definitions of the pipeline, compiled for a month."""
        compile_step_by_step()
        raw = {name: _unbound(f"raw_{name}", _schema(name)) for name in _ORDER}
        judged = {name: judge.validated(name, table) for name, table in raw.items()}
        known = {
            name: judge.processed(name, ibis.table(table.schema(), name=f"judged_{name}"))
            for name, table in judged.items()
        }
        # Features of published works would take a sixth more time, and no model reads them.
        users, sessions, flights, hotels = (known[name] for name in _ORDER)
        features = early_features(users, sessions, flights, hotels, month, catalogue=OWN)
        return cls({name: _sql(table) for name, table in judged.items()}, _sql(features))

    def to_json(self) -> bytes:
        """The plans as JSON. `from_json` reads them back."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Plans:
        """The plans that `to_json` wrote."""
        return cls(**json.loads(text))


class HistoryFeatures:
    """Early features of raw rows, by the given plans. Not thread-safe."""

    def __init__(self, plans: Plans) -> None:
        self._plans = plans
        self._schemas = {name: _schema(name) for name in _ORDER}
        # For a single customer, several threads cost more than they save.
        self._engine = duckdb.connect(
            ":memory:",
            config={"threads": 1, "memory_limit": _MEMORY, "enable_external_access": False},
        )

    def of(self, customers: Mapping[int, History]) -> pd.DataFrame:
        """One row per customer, indexed by number. Raises `RejectedRow` if a row is rejected."""
        numbers = list(customers)
        parts = (numbers[at : at + _TOGETHER] for at in range(0, len(numbers), _TOGETHER))
        return pd.concat([self._together({n: customers[n] for n in part}) for part in parts])

    def _together(self, customers: Mapping[int, History]) -> pd.DataFrame:
        try:
            return self._of(customers)
        except duckdb.OutOfMemoryException as error:
            raise MemoryError from error
        except duckdb.DataError as error:
            # A value that no rule refuses and some expression cannot hold.
            if len(customers) == 1:
                why = "out_of_range: a value is larger than can be computed with"
                raise RejectedRow(next(iter(customers)), [], why) from error
            numbers = list(customers)
            middle = len(numbers) // 2
            halves = (numbers[:middle], numbers[middle:])
            return pd.concat([self._together({n: customers[n] for n in half}) for half in halves])

    def _of(self, customers: Mapping[int, History]) -> pd.DataFrame:
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _ORDER}
        for number, customer in customers.items():
            for name, part in _PARTS.items():
                given = getattr(customer, part)
                entries = given if isinstance(given, list) else [given]
                rows[name] += [
                    self._row(name, number, place, entry.model_dump())
                    for place, entry in enumerate(entries)
                ]
        for name in _ORDER:
            table = pa.Table.from_pylist(rows.pop(name), schema=self._schemas[name])
            self._engine.register(f"raw_{name}", table)
        for name in _ORDER:
            found = self._run(self._plans.judge[name])
            _reject(name, found)
            self._engine.register(f"judged_{name}", found)
        features = self._run(self._plans.features).to_pandas()
        return features.sort_values("user_id").set_axis(sorted(customers))

    def _run(self, sql: str) -> pa.Table:
        # DuckDB recommends `sql()` instead, but that plans the query three times.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")
            return self._engine.execute(sql).to_arrow_table()

    def _row(
        self, name: str, customer: int, place: int, values: Mapping[str, Any]
    ) -> dict[str, Any]:
        """A row as the source would give it: strings, with ids unique across customers."""
        row = {column: _text(value) for column, value in values.items()}
        row["user_id"] = str(customer)
        if name == "users":
            row["gender"] = row["home_city"] = _UNKNOWN
        if name == "sessions":
            row["session_id"] = f"{customer}/{row['session_id'] or f'{place:06d}'}"
        if row.get("trip_id"):
            row["trip_id"] = f"{customer}/{row['trip_id']}"
        return row | {"source_file": str(customer), "source_row": place, "source_order": 1}


def _schema(name: str) -> pa.Schema:
    columns = {column.name: pa.string() for column in SOURCES[name]}
    columns |= {column.name: ibis.dtype(column.type).to_pyarrow() for column in PLACE}
    return pa.schema(columns.items())


def _unbound(name: str, schema: pa.Schema) -> ibis.Table:
    return ibis.table(ibis.Schema.from_pyarrow(schema), name=name)


def _sql(table: ibis.Table) -> str:
    return str(ibis.to_sql(table, dialect="duckdb"))


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat(" ") if isinstance(value, dt.datetime) else str(value)


def _reject(name: str, judged: pa.Table) -> None:
    reasons = judged.column("reason")
    if reasons.null_count == len(reasons):
        return
    for row in judged.select(["source_file", "source_row", "reason"]).to_pylist():
        if row["reason"]:
            rule, part = row["reason"], _PARTS[name]
            place: list[int | str] = [part] if part == "profile" else [part, row["source_row"]]
            # Rules on one column end with its name: negative_rooms.
            place += [c.name for c in SOURCES[name] if rule.endswith(f"_{c.name}")][-1:]
            why = f"{rule}: {rules.rule_reasons(name).get(rule, '')}"
            raise RejectedRow(int(row["source_file"]), place, why)
