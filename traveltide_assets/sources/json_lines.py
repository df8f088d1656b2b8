"""Landed files of JSON lines, as programs log events: one object per line, rewritten as CSV.

A key that a line lacks is an empty value. Values stay the text that they were written as, so a
number keeps its digits.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from traveltide_assets.schema.sources import RAW
from traveltide_assets.sources.base import SourceError
from traveltide_assets.sources.columns import contract_columns


def keys(file: Path, uri: str, table: str) -> list[str]:
    """The keys of all lines, those of the contract that need not be filled in any case.

    Raises `SourceError` if the file cannot be of the table.
    """
    found = dict.fromkeys(key for _, line in _lines(file, uri) for key in line)
    columns = RAW[table]
    # A file without a line says nothing about its keys.
    needless = [column.name for column in columns if not (found and column.required)]
    names = [*found, *(name for name in needless if name not in found)]
    contract_columns(table, uri, names)
    return names


def rewrite(file: Path, uri: str, columns: Sequence[str], path: Path) -> None:
    """Write the same values as CSV. Raises `SourceError` with the first line that is no object."""
    with path.open("w", encoding="utf-8", newline="") as copy:
        writer = csv.writer(copy, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(columns)
        for _, line in _lines(file, uri):
            writer.writerow([_text(line.get(name)) for name in columns])


def _lines(file: Path, uri: str) -> Iterator[tuple[int, dict[str, Any]]]:
    with file.open(encoding="utf-8-sig", errors="strict") as text:
        try:
            for number, line in enumerate(text, 1):
                if line.strip():
                    yield number, _object(line, f"{uri}: line {number}")
        except UnicodeDecodeError:
            raise SourceError(f"{uri}: not UTF-8: save the file as UTF-8") from None


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        # Numbers as they are written: a float would lose digits of an id.
        found = json.loads(line, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        raise SourceError(
            f"{place}: no JSON ({error.msg}). Each line must be one object; is the file cut off?"
        ) from None
    if not isinstance(found, dict):
        raise SourceError(f"{place}: no JSON object: each line must be one, as {{…}}")
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
