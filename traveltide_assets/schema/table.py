"""The building blocks of a contract: `Table` and `Column`.

The contracts themselves are in each package's `tables.py`, beside the code that produces the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """A column: name, Ibis type, meaning, and whether a value is required.

    `aliases` are other names that sources use for it.
    """

    name: str
    type: str
    description: str
    required: bool = True
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of the lake. `description` says what one row is; rows are unique by `key`.

    `partitioned` tables have one file per month; those `by_file` have one per file of the source.
    `keeps_extra_columns` stores columns that the contract does not name.
    """

    layer: str
    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partitioned: bool = False
    by_file: bool = False
    keeps_extra_columns: bool = False

    @property
    def path(self) -> str:
        return f"{self.layer}/{self.name}"

    @property
    def stored(self) -> str:
        """How the table is stored, in words."""
        if self.by_file:
            return "One file per file of the source"
        return "One file per month" if self.partitioned else "One file"

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.required)

    @cached_property
    def schema(self) -> ibis.Schema:
        import ibis  # Only here, because many processes read no more than names.

        return ibis.schema({column.name: column.type for column in self.columns})

    @property
    def arrow_schema(self) -> pa.Schema:
        return self.schema.to_pyarrow()
