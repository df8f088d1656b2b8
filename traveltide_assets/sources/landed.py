"""Reads one landed file into staged rows: its text, with the place of each row."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from traveltide_assets.engines.base import LocalEngine, UnreadableFile
from traveltide_assets.lake.storage.folder import partial
from traveltide_assets.schema.sources import IDS, RAW
from traveltide_assets.sources import csv_file, json_lines
from traveltide_assets.sources.base import SourceError
from traveltide_assets.sources.columns import contract_columns
from traveltide_assets.sources.delivery import JSON_LINES
from traveltide_assets.sources.staged import Staged
from traveltide_assets.transforms.cleaning.parse import with_month

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Landed:
    """A landed file of a table, its place among them by age, and the folder of its staged rows."""

    table: str
    name: str
    uri: str
    file: Path
    order: int
    staged: Staged

    def header(self) -> list[str]:
        """The names of the columns. Raises `SourceError` if the file cannot be of the table."""
        if self._is_json:
            return json_lines.keys(self.file, self.uri, self.table)
        if not self._is_parquet:
            names = csv_file.header(self.file, self.uri, self.table)
            contract_columns(self.table, self.uri, names)
            return names
        schema = self._schema()
        theirs = contract_columns(self.table, self.uri, schema.names)
        if problems := _type_problems(self.table, {n: schema.field(t) for n, t in theirs.items()}):
            raise SourceError("\n".join(f"{self.uri}: {problem}" for problem in problems))
        return schema.names

    def stage(self, engine: LocalEngine) -> None:
        """Write the staged rows, and remove those of earlier versions of the file."""
        folder = self.staged.folder
        known = folder.name.partition("-")[0]
        others = map(Staged, folder.parent.glob(f"{known}-*"))
        if same := next((each for each in others if each.exists() and each.is_intact()), None):
            self.staged.write_again(engine, same, self.order)
        else:
            self._parse(engine)
        for outdated in {*folder.parent.glob("[!.]*")} - {folder}:
            shutil.rmtree(outdated, ignore_errors=True)

    def _parse(self, engine: LocalEngine) -> None:
        _log.info("reading %s", self.uri)
        columns, folder = self.header(), self.staged.folder
        if self._is_parquet:
            self._write(engine, engine.read_parquet([self.file]))
        elif self._is_json:
            with partial(folder.with_suffix(".csv")) as rewritten:
                json_lines.rewrite(self.file, self.uri, columns, rewritten)
                self._write(engine, engine.read_csv(rewritten, columns))
        else:
            with csv_file.uncompressed(self.file, self.uri, folder) as plain:
                self._parse_csv(engine, plain, columns)

    def _parse_csv(self, engine: LocalEngine, plain: Path, columns: Sequence[str]) -> None:
        try:
            self._numbered(engine, engine.read_csv(plain, columns))
        except UnreadableFile:
            with partial(self.staged.folder.with_suffix(".csv")) as rewritten:
                csv_file.rewrite(plain, self.uri, columns, rewritten)
                self._write(engine, engine.read_csv(rewritten, columns))

    def _write(self, engine: LocalEngine, rows: ibis.Table) -> None:
        try:
            self._numbered(engine, rows)
        except UnreadableFile as error:
            raise SourceError(
                f"{self.uri} is damaged: {str(error).replace(str(self.file), self.uri)}: deliver "
                "it again"
            ) from error

    def _numbered(self, engine: LocalEngine, rows: ibis.Table) -> None:
        with engine.numbered(self._named(rows), "source_row") as numbered:
            self.staged.write(engine, self.table, numbered)

    def _named(self, rows: ibis.Table) -> ibis.Table:
        """The rows as text, with the columns of the contract, in file order."""
        theirs = contract_columns(self.table, self.uri, rows.columns)
        known = {column.name for column in RAW[self.table]}
        rows = rows.select(
            **{ours: _text(rows[name], strict=ours in known) for ours, name in theirs.items()}
        )
        rows = rows.mutate(
            source_file=ibis.literal(self.name), source_order=ibis.literal(self.order, "int64")
        )
        if self.table == "sessions":
            return with_month(rows)
        return rows

    def _schema(self) -> pa.Schema:
        try:
            return pq.read_schema(self.file)
        except (pa.ArrowException, OSError) as error:
            cause = str(error).partition("\n")[0].replace(str(self.file), self.uri)
            raise SourceError(
                f"{self.uri} is damaged, or no Parquet file: {cause}: deliver it again"
            ) from error

    @property
    def _is_parquet(self) -> bool:
        return self.name.lower().endswith(".parquet")

    @property
    def _is_json(self) -> bool:
        return self.name.lower().endswith(JSON_LINES)


# Functions of the engine: the text in bytes of UTF-8, and null in place of an error.
@ibis.udf.scalar.builtin(signature=((dt.binary,), dt.string))
def decode(_): ...  # type: ignore[no-untyped-def]


@ibis.udf.scalar.builtin(name="TRY", signature=((dt.string,), dt.string))
def attempt(_): ...  # type: ignore[no-untyped-def]


def _text(value: ir.Value, strict: bool) -> ir.StringValue:
    """A value as text; unless `strict`, bytes that are no text are written in hexadecimal digits.

    NaN, which pandas writes where a number is missing, is null.
    """
    if isinstance(value, ir.BinaryValue):
        text = decode(value)
        return text if strict else ibis.coalesce(attempt(text), value.cast("string"))
    if isinstance(value, ir.FloatingValue):
        value = ibis.ifelse(value.isnan(), ibis.null(value.type()), value)
    return value.cast("string")


def _type_problems(table: str, fields: dict[str, pa.Field]) -> list[str]:
    """Columns whose type would have every row refused, or its id rounded."""
    problems = []
    for column in RAW[table]:
        field = fields[column.name]
        if pa.types.is_timestamp(field.type) and field.type.tz is not None:
            if column.type in ("timestamp(6)", "date"):
                problems.append(
                    f"{field.name} has a time zone ({field.type.tz}), but the contract has none: "
                    "write local time, as a timestamp without a zone"
                )
        elif pa.types.is_nested(field.type):
            problems.append(f"{field.name} is {field.type}, but must be {column.type}")
        elif column.name in IDS and _rounds(field.type, column.type):
            problems.append(
                f"{field.name} is {field.type}, which rounds ids: write it as {column.type}"
            )
    return problems


def _rounds(found: pa.DataType, expected: str) -> bool:
    """Whether ids of a type lose digits. Whole numbers of 64 bits are looked at row by row."""
    return pa.types.is_floating(found) and (expected == "string" or found != pa.float64())
