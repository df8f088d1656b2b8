"""Renames the columns of a source to their names in the contract."""

from __future__ import annotations

import re
from collections.abc import Sequence

from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.sources.base import SourceError

# Names that bronze, the quarantine and the numbering of rows use for their own columns.
_OURS = ("source_file", "source_row", "month", "reason", "file_row_number")


def contract_columns(name: str, where: object, header: Sequence[str]) -> dict[str, str]:
    """The columns of a source's table by their name in the lake: {name: name in the source}.

    An alias becomes the name in the contract. Columns that are not in the contract are kept under
    their name in lower-case letters, digits and underscores. Raises `SourceError` if a required
    column is missing or two columns have the same name.
    """
    named = {_plain(column): column for column in header}
    if len(named) < len(header):
        raise SourceError(f"{where}: two columns have the same name: {', '.join(header)}")
    missing = []
    for column in SOURCES[name]:
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


def _plain(header: str) -> str:
    name = re.sub(r"\W+", "_", header.strip().lower())
    return f"{name}_in_source" if name in _OURS else name
