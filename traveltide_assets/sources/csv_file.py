"""Landed CSV files: compression, dialect, header, and what is wrong in which line and column.

The engine parses the files. What it refuses is read here again, row by row: that is slower, but
reads lines that end in different ways, and finds the place of a fault without quoting the row.
"""

from __future__ import annotations

import csv
import gzip
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from traveltide_assets.lake.storage.folder import partial
from traveltide_assets.schema.sources import RAW
from traveltide_assets.sources.base import SourceError
from traveltide_assets.sources.columns import names_known

_SEPARATORS = {";": "a semicolon (;)", "\t": "a tab", "|": "a bar (|)", ":": "a colon (:)"}
# How files of other kinds begin.
_OTHERS = {
    b"PK\x03\x04": "a workbook or a ZIP archive: save it as comma-separated text",
    b"\xd0\xcf\x11\xe0": "a workbook: save it as comma-separated text",
    b"\x1f\x8b": "compressed with gzip: call it .csv.gz",
    b"PAR1": "a Parquet file: call it .parquet",
    b"\xff\xfe": "UTF-16: save it as UTF-8",
    b"\xfe\xff": "UTF-16: save it as UTF-8",
    b"(\xb5/\xfd": "compressed with zstd: unpack it, or use gzip",
    b"BZh": "compressed with bzip2: unpack it, or use gzip",
    b"\xfd7zXZ": "compressed with xz: unpack it, or use gzip",
    b"<": "a web page or XML: deliver the CSV file itself",
    b"%PDF": "a PDF",
}
_FIELD = re.compile(r'"(?:[^"]|"")*"(?=[,\r\n]|\Z)|[^",\r\n][^,\r\n]*|')


def header(file: Path, uri: str, table: str) -> list[str]:
    """The names in the first line. Raises `SourceError` if it is no header of the table."""
    with _damage_named(uri), _opened(file) as content:
        head = content.read(8)
        for beginning, what in _OTHERS.items():
            if head.startswith(beginning):
                raise SourceError(f"{uri} is {what}")
    with _damage_named(uri), _opened_text(file) as text:
        reader = csv.reader(text)
        try:
            first = next(reader, [])
            if not any(name.strip() for name in first):
                _refuse_blank(uri, reader)
            _check_dialect(first, uri, table)
            text.seek(0)
            first = next(csv.reader(text, strict=True))
        except csv.Error as error:
            raise SourceError(
                f"{uri}: the first line is no header: a quotation mark is not closed, or text "
                "follows the closing one"
            ) from error
    if not all(_is_text(name) for name in first):
        raise SourceError(f"{uri}: the first line is not UTF-8")
    return [name or f"column{position}" for position, name in enumerate(first)]


@contextmanager
def uncompressed(file: Path, uri: str, beside: Path) -> Iterator[Path]:
    """The plain file. A gzip file is unpacked `beside` another, and checked to its last byte."""
    if not _is_gzip(file):
        yield file
        return
    with partial(beside) as path:
        with _damage_named(uri), gzip.open(file) as packed, path.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 2**20)
        yield path


def rewrite(file: Path, uri: str, columns: Sequence[str], path: Path) -> None:
    """Write the same values with one kind of line end.

    Raises `SourceError` with line and column of the first value that cannot be read.
    """
    with path.open("w", encoding="utf-8", newline="") as copy:
        writer = csv.writer(copy, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(columns)
        for row in _rows(file, uri, columns):
            writer.writerow(row)


def _rows(file: Path, uri: str, columns: Sequence[str]) -> Iterator[list[str]]:
    """The values of each row below the header."""
    with _opened_text(file) as text:
        lines = _Lines(text)
        reader = csv.reader(lines, strict=True)
        next(reader)
        while True:
            start = reader.line_num + 1
            lines.record.clear()
            try:
                row = next(reader, None)
            except csv.Error:
                place = _damaged_field("".join(lines.record))
                column = f", column {columns[place]}" if place < len(columns) else ""
                raise SourceError(
                    f"{uri}: line {start}{column}: a quotation mark is not closed, or text "
                    "follows the closing one (unterminated quote)"
                ) from None
            if row is None:
                return
            if row:
                yield _checked(row, f"{uri}: line {start}", columns)


def _checked(row: list[str], place: str, columns: Sequence[str]) -> list[str]:
    values = row[: len(columns)]
    if len(row) < len(columns) or any(row[len(columns) :]):
        why = (
            "is it cut off?"
            if len(row) < len(columns)
            else "a value with a comma needs quotation marks"
        )
        raise SourceError(
            f"{place}: {len(row)} value{'s' if len(row) > 1 else ''}, but the header has "
            f"{len(columns)} columns ({why})"
        )
    for name, value in zip(columns, values, strict=True):
        if not _is_text(value):
            raise SourceError(f"{place}, column {name}: not UTF-8: save the file as UTF-8")
    return values


class _Lines:
    """The lines of a file. `record` holds those that were read since it was cleared."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.record: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.record.append(line)
        return line


def _damaged_field(record: str) -> int:
    """The position of the first value of a record that breaks the rules of CSV."""
    place = position = 0
    while found := _FIELD.match(record, position):
        position = found.end()
        if record[position : position + 1] != ",":
            break
        place, position = place + 1, position + 1
    return place


def _check_dialect(first: Sequence[str], uri: str, table: str) -> None:
    if first and first[0].lower().startswith("sep="):
        raise SourceError(
            f"{uri}: the first line is {','.join(first)!r}, which only Excel understands. Delete "
            "it, and separate the values by commas"
        )
    known = names_known(table, first)
    for separator, name in _SEPARATORS.items():
        if names_known(table, ",".join(first).replace('"', "").split(separator)) > known:
            raise SourceError(
                f"{uri}: the separator is {name}, and must be a comma. Export the file again with "
                "commas between the values and a point in numbers (in Excel: CSV UTF-8, with "
                "regional settings that use a point)"
            )
    if known == 0:
        columns = ", ".join(column.name for column in RAW[table])
        raise SourceError(
            f"{uri}: the first line names none of the required columns of table {table}. It must "
            f"be the header: {columns}"
        )


def _refuse_blank(uri: str, rest: Iterable[Sequence[str]]) -> None:
    if any(any(value.strip() for value in row) for row in rest):
        raise SourceError(
            f"{uri}: the first line is blank. Delete it: the first line must be the header"
        )
    raise SourceError(f"{uri}: the file is empty")


def _is_text(value: str) -> bool:
    """Whether the bytes behind a value were UTF-8."""
    return value.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in value)


def _is_gzip(file: Path) -> bool:
    return file.name.lower().endswith(".gz")


def _opened(file: Path) -> IO[bytes]:
    return gzip.open(file) if _is_gzip(file) else file.open("rb")  # type: ignore[return-value]


def _opened_text(file: Path) -> IO[str]:
    opened = gzip.open if _is_gzip(file) else open
    kind = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    return opened(file, "rt", **kind)  # type: ignore[call-overload]


@contextmanager
def _damage_named(uri: str) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{uri}: the gzip file is damaged ({error}): deliver it again") from error
