"""What a contract is made of: a table of the lake and its columns. The contracts themselves lie beside
what produces the tables, in each package's `tables.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import ibis
import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """A column: its Ibis type, its meaning, and whether a row may go without it."""

    name: str
    type: str
    description: str
    required: bool = True
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A dataset of the lake: one row is what the description says, unique by `key`."""

    layer: str
    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partitioned: bool = False
    keeps_extra_columns: bool = False

    @property
    def path(self) -> str:
        return f"{self.layer}/{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.required)

    @cached_property
    def schema(self) -> ibis.Schema:
        return ibis.schema({column.name: column.type for column in self.columns})

    @property
    def arrow_schema(self) -> pa.Schema:
        return self.schema.to_pyarrow()
