"""A lake of bronze and silver that takes what has landed in a folder, as the assets make it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import ibis

from traveltide_assets.defs.checks.soundness import layers
from traveltide_assets.defs.cleaned_files import CleanedFiles
from traveltide_assets.defs.cleaning_notes import Work
from traveltide_assets.engines.checksum import digest_of
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.parts import Parts
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.schema.table import Table
from traveltide_assets.sources import tables as bronze
from traveltide_assets.sources.files import Files
from traveltide_assets.transforms import tables as silver
from traveltide_assets.transforms.cleaning.cleaned import Cleaned
from traveltide_assets_tests.support.landed_files import HEADER, write_sound

TABLES: Mapping[str, Table] = {table.path: table for table in (*bronze.TABLES, *silver.TABLES)}


class SilverLake:
    """A landing folder with a sound file of each table, and the lake beside it."""

    def __init__(self, folder: Path, engine: DuckDB) -> None:
        self.landing, self._staging = write_sound(folder), folder / "staging"
        self._engine = engine
        self.lake = Lake(Folder(folder / "lake"), engine, TABLES)

    def source(self) -> Files:
        """What has landed by now."""
        return Files(Folder(self.landing), self._engine, self._staging)

    def land_only(self, table: str, names: Iterable[str]) -> None:
        """Remove the files of a table that have other names."""
        for file in {*self.landing.glob(f"*{table}*")} - {self.landing / name for name in names}:
            file.unlink()

    def land_file(self, table: str, name: str, lines: Iterable[str]) -> Path:
        """Land a file of a table with these rows. An unchanged file is not touched."""
        content = "\n".join([",".join(HEADER[table]), *lines]) + "\n"
        file = self.landing / name
        if not file.exists() or file.read_text(encoding="utf-8") != content:
            file.write_text(content, encoding="utf-8")
        return file

    def ingest_files(
        self, name: str, clean: Callable[[ibis.Table], Cleaned], rules: str = ""
    ) -> Work:
        """Bronze and silver of a table by file."""
        path, raw = layers(name)[0], self.source().parts(name, [])
        for file, staged in raw.items():
            self.lake.take(TABLES[path], staged, file)
        self.lake.keep_only(TABLES[path], raw)
        files = CleanedFiles(self.lake, name, self.lake.table(path), rules)
        work = files.clean(clean)
        self.store(name, work)
        files.save(work)
        return work

    def store(self, name: str, work: Work) -> None:
        """Silver and the quarantine of a table, from what was cleaned."""
        _, processed, quarantine = layers(name)
        with work.cleaned as cleaned:
            for path, rows in ((processed, cleaned.processed), (quarantine, cleaned.quarantine)):
                Parts(rows, work.made, work.kept).write(self.lake, TABLES[path])

    def digests(self, name: str) -> dict[tuple[str, str], str]:
        """What is stored of a table, by layer and part."""
        return {
            (path, part): digest_of(self.lake.path(path, part))
            for path in layers(name)
            for part in self.lake.versions(path)
        }
