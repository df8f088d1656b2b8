"""The columns of a raw table: named as in the contract, or those of a table that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from traveltide_assets.schema.sources import PLACE, RAW, as_text
from traveltide_assets.sources.base import SourceError

if TYPE_CHECKING:
    import ibis

# Names that bronze and the quarantine use for their own columns, or the numbering of rows has used.
_OURS = ("source_file", "source_row", "source_order", "month", "reason", "file_row_number")


def contract_columns(name: str, where: object, header: Sequence[str]) -> dict[str, str]:
    """The columns of a source's table by their name in the lake: {name: name in the source}.

    An alias becomes the name in the contract. Columns that are not in the contract are kept under
    their name in lower-case letters, digits and underscores. Raises `SourceError` if a required
    column is missing or two columns have the same name.
    """
    named: dict[str, str] = {}
    for theirs in header:
        plain = _plain(theirs)
        if plain in named:
            raise SourceError(f"{where}: {_of_one_name(named[plain], theirs)}: rename one of them")
        named[plain] = theirs
    missing = []
    for column in RAW[name]:
        known = [alias for alias in (column.name, *column.aliases) if alias in named]
        if known:
            named[column.name] = named.pop(known[0])
        else:
            missing.append(column.name)
    if missing:
        raise SourceError(
            f"{where}: table {name} lacks the required column{'s' if len(missing) > 1 else ''} "
            f"{', '.join(missing)} (it has: {', '.join(header)})"
        )
    return named


def without_rows(name: str, other: ibis.Table) -> ibis.Table:
    """An optional table that the source lacks, as an expression on another of its tables."""
    import ibis

    columns = {c.name: ibis.null(c.type) for c in (*as_text(RAW[name]), *PLACE)}
    return other.filter(ibis.literal(False)).select(**columns)


def names_known(table: str, header: Iterable[str]) -> int:
    """How many names of a header are columns of the table."""
    known = {name for column in RAW[table] for name in (column.name, *column.aliases)}
    return len(known & {_plain(name) for name in header})


def _of_one_name(one: str, other: str) -> str:
    if one == other:
        return f"duplicate column names: {one} (two columns have the same name)"
    return (
        f"two columns have the same name: {one!r} and {other!r} (upper and lower case, and signs "
        "other than letters and digits, make no difference)"
    )


def _plain(header: str) -> str:
    name = re.sub(r"\W+", "_", header.strip().lower())
    return f"{name}_in_source" if name in _OURS else name
