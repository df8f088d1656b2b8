"""Sorts what lies in a landing place: the files of each table, and what is no file of a table.

Whatever carries a table's name and cannot be read is an error, because it may be a part of the
delivery.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import quote

from traveltide_assets.lake.storage.base import Entry, Storage
from traveltide_assets.schema.sources import RAW, SOURCES
from traveltide_assets.sources.base import BadFiles, SourceError
from traveltide_assets.sources.tables import raw_table

SUFFIXES = (".csv", ".csv.gz", ".parquet")
JSON_LINES = ".jsonl"
# The scoring service logs exposures in a file per day.
_LOG_OF_EVENTS = re.compile(r"events-\d{4}-\d\d-\d\d\.jsonl")
_WORKBOOKS = {"xlsx", "xlsm", "xlsb", "xls", "ods", "numbers"}
_ARCHIVES = {"zip", "tar", "tgz", "7z", "rar", "gz", "gzip", "bz2", "xz", "zst", "lz4", "snappy"}
# What people and programs put beside a delivery: notes, checksums, copies of earlier states.
_NO_DATA = {
    *("txt", "md", "rst", "pdf", "doc", "docx", "html", "htm", "png", "jpg", "svg", "log"),
    *("sql", "py", "r", "ipynb", "toml", "yaml", "yml", "ini", "conf"),
    *("md5", "sha1", "sha256", "sha512", "crc", "sig", "asc", "ok", "done"),
    *("bak", "old", "orig", "swp"),
}
# The lake has a folder `file=…` for it, whose name has at most 255 bytes.
_LONGEST_NAME = 250
# Files that the generator of the sample writes beside its tables.
_ANSWERS = ("truth", "damage")


@dataclass(frozen=True)
class Delivery:
    """The files of each table by name, and the names of files that were left aside.

    An optional table may have no file.
    """

    tables: dict[str, dict[str, Entry]]
    nameless: list[str]
    no_data: list[str]


def look(landing: Storage, without: Collection[str] = ()) -> Delivery:
    """What has landed, without some files. A table that has no other file is empty.

    Raises one `BadFiles` that names every problem with a file, or `SourceError` if files of a table
    are missing.
    """
    found: dict[str, dict[str, Entry]] = {table: {} for table in RAW}
    nameless, no_data = [], []
    problems: dict[str, str] = {}
    spared = {table for name in without for table in tables_in(name)}
    for entry in landing.entries():
        if entry.name in without:
            continue
        tables = tables_in(entry.name)
        if not tables:
            if _is_read(entry.name) and entry.name.partition(".")[0] not in _ANSWERS:
                nameless.append(shown(entry.name))
        elif entry.version is not None and _is_no_data(entry.name):
            no_data.append(shown(entry.name))
        elif problem := _problem(entry, tables):
            problems[entry.name] = f"{shown(landing.uri(entry.name))}{problem}"
        else:
            found[tables[0]][entry.name] = entry
    if problems:
        raise BadFiles(problems)
    if missing := [t for t in SOURCES if not found[t] and t not in spared]:
        raise SourceError(_nothing_for(missing, landing, [*_names(found), *nameless]))
    return Delivery(found, nameless, no_data)


def carries_a_table(name: str) -> bool:
    """Whether a file of this name belongs to a table."""
    return bool(tables_in(name))


def tables_in(name: str) -> list[str]:
    """The tables that a file's name mentions. A log of events holds responses."""
    if _LOG_OF_EVENTS.fullmatch(name.lower()):
        return ["responses"]
    return [table for table in RAW if table in name.lower()]


def shown(text: str) -> str:
    """A path as it can be printed, even if it is not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _problem(entry: Entry, tables: list[str]) -> str:
    """Why an entry that carries a table's name cannot be read. Empty if it can."""
    rename = f"or give it a name without {' and '.join(repr(table) for table in tables)}"
    suffix = entry.name.lower().rpartition(".")[2] if "." in entry.name else ""
    if entry.problem == "a folder":
        return (
            " is a folder, and folders are not read: put its files beside the others, as "
            f"{tables[0]}-1.csv or {tables[0]}-1.parquet, {rename}"
        )
    if entry.version is None:
        return f" is {entry.problem}: make it readable, or remove it"
    if shown(entry.name) != entry.name:
        return ": the file name is not UTF-8: rename the file"
    if raw_table(tables[0]).by_file and len(quote(entry.name, safe="")) > _LONGEST_NAME:
        return (
            f": the file name is too long for the name of a folder: at most {_LONGEST_NAME} "
            "characters, of which a space counts 3, ä 6 and 月 9: rename the file"
        )
    if suffix in _WORKBOOKS:
        return f" is a workbook: save its sheet as {tables[0]}.csv (comma-separated, UTF-8)"
    if _is_read(entry.name) or (tables == ["responses"] and entry.name.endswith(JSON_LINES)):
        return "" if len(tables) == 1 else f": the file name mentions {' and '.join(tables)}"
    if suffix in _ARCHIVES:
        return f" is an archive: unpack it, or compress the file alone, as {tables[0]}.csv.gz"
    ending = f"files that end in .{suffix}" if suffix else "files without an ending"
    return f": {ending} are not read: deliver it as {', '.join(SUFFIXES)}, {rename}"


def _nothing_for(missing: list[str], landing: Storage, names: list[str]) -> str:
    seen = ", ".join(sorted(names)) or "no CSV or Parquet file, or it does not exist"
    return (
        f"{landing.uri()} has no file for {', '.join(missing)} (found: {seen}). "
        f"The file name must contain the table's name, as in {missing[0]}.csv. "
        "TRAVELTIDE_SOURCE sets the folder"
    )


def _names(found: dict[str, dict[str, Entry]]) -> Iterable[str]:
    return (name for files in found.values() for name in files)


def _is_read(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _is_no_data(name: str) -> bool:
    return name.lower().rpartition(".")[2] in _NO_DATA or name.endswith(("~", "#"))
