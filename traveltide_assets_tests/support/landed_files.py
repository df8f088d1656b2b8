"""A sound source of one row per table, as files to be damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.sources.base import SourceError
from traveltide_assets.sources.files import Files

HEADER = {name: [column.name for column in columns] for name, columns in SOURCES.items()}

SOUND = {
    "users": "1,1985-02-28,F,true,false,usa,new york,LGA,40.7,-73.8,2022-11-30",
    "sessions": "1-a,1,1-t,2023-07-01 10:00:00,2023-07-01 10:01:00,f,f,,,t,t,17,f",
    "flights": "1-t,LGA,montreal,YUL,1,t,2023-07-09 07:00:00,2023-07-10 07:00:00,0,Aéreo,45.4,"
    "-73.7,410.5",
    "hotels": "1-t,Hilton - montreal,1,1,2023-07-09 16:00:00,2023-07-10 11:00:00,120",
}


def text(name: str, *lines: str) -> str:
    return "\n".join([",".join(HEADER[name]), *(lines or [SOUND[name]])]) + "\n"


def source(folder: Path) -> Files:
    return Files(Folder(folder), DuckDB(folder.parent / "scratch"), folder.parent / "staging")


def rows(folder: Path, name: str) -> list[dict[str, str | int | None]]:
    table = source(folder).table(name).order_by(["source_file", "source_row"])
    return table.to_pyarrow().to_pylist()


def refusal(folder: Path) -> str:
    """Why a folder is refused as a source."""
    with pytest.raises(SourceError) as error:
        source(folder).table("users")
    return str(error.value)


def shorten_a_line(folder: Path) -> None:
    sound = SOUND["hotels"]
    (folder / "hotels.csv").write_text(text("hotels", sound, "1-u,Hilton", sound), "utf-8")


def write_sound(folder: Path) -> Path:
    """A new folder `source` with a sound file per table."""
    landed = folder / "source"
    landed.mkdir()
    for name in SOURCES:
        (landed / f"{name}.csv").write_text(text(name), encoding="utf-8")
    return landed
