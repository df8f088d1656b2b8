"""Generates a sample chunk by chunk and writes it into a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from traveltide_assets.sample.cancellations import make_cancellations, visits_replaced
from traveltide_assets.sample.dirt import damage_tables
from traveltide_assets.sample.frames import (
    TABLES,
    flights_table,
    hotels_table,
    sessions_table,
    trip_identifiers,
    truth_table,
    users_table,
)
from traveltide_assets.sample.itineraries import make_trips
from traveltide_assets.sample.people import make_people
from traveltide_assets.sample.spec import SampleSpec
from traveltide_assets.sample.visits import make_visits

USERS_PER_CHUNK = 10_000
"""Users per chunk. Bounds the memory use. Another number would give other samples."""

FileFormat = Literal["csv", "parquet"]
TRUTH = "truth.csv"
"""The file that tells a sample from other sources, beside its tables."""
_WORLD, _PERKS, _DIRT = range(3)
"""Random streams of a chunk, separate so that a change to one does not affect the others."""


class _TableWriter(Protocol):
    def write_table(self, table: pa.Table) -> None: ...


def write_sample(
    folder: Path,
    spec: SampleSpec,
    file_format: FileFormat = "csv",
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write users, sessions, flights and hotels of a sample, all columns as text.

    CSV files quote every value and write nulls as empty text. Users are sorted by `user_id`,
    sessions by `session_start` within each chunk of users. Also writes `truth.csv` (each user's
    kind and favourite perk) and, with dirt, `damage.csv`, the ledger of the damaged rows. Files
    appear under their names only when all are complete. `on_progress` is called with the number of
    users done and the total. Raises `ValueError` if the folder contains anything but a sample.
    """
    if file_format not in ("csv", "parquet"):
        raise ValueError(f"file_format must be csv or parquet, not {file_format}")
    if folder.exists() and any(folder.iterdir()) and not (folder / TRUTH).exists():
        raise ValueError(f"{folder} contains other files than a sample; choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{folder.name}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=folder.parent) as unfinished:
        with ExitStack() as stack:
            writers: dict[str, _TableWriter] = {}
            for done, tables in _chunks(spec):
                for name, table in tables.items():
                    if name not in writers:
                        suffix = file_format if name in TABLES else "csv"
                        path = Path(unfinished) / f"{name}.{suffix}"
                        writers[name] = stack.enter_context(_open(path, table.schema))
                    writers[name].write_table(table)
                if on_progress is not None:
                    on_progress(done, spec.users)
        folder.mkdir(exist_ok=True)
        _remove_earlier_sample(folder)
        for path in sorted(Path(unfinished).iterdir()):
            path.replace(folder / path.name)


def is_truth(file: Path) -> bool:
    """Whether a file is the `truth.csv` of a sample, and not somebody's file of that name."""
    with file.open("rb") as opened:
        return opened.readline(200).strip() == b'"user_id","kind","favourite_perk"'


def _remove_earlier_sample(folder: Path) -> None:
    """Remove all files of an earlier sample: an old ledger or format must not mix with the new."""
    for name in (*TABLES, "truth", "damage"):
        for suffix in ("csv", "parquet"):
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)


def _open(path: Path, schema: pa.Schema) -> pa.csv.CSVWriter | pa.parquet.ParquetWriter:
    if path.suffix == ".parquet":
        return pa.parquet.ParquetWriter(path, schema)
    return pa.csv.CSVWriter(
        path, schema, write_options=pa.csv.WriteOptions(quoting_style="all_valid")
    )


def _chunks(spec: SampleSpec) -> Iterator[tuple[int, dict[str, pa.Table]]]:
    """For each chunk: the number of users done after it, and its tables."""
    for number, first in enumerate(range(0, spec.users, USERS_PER_CHUNK)):
        count = min(USERS_PER_CHUNK, spec.users - first)
        yield first + count, _make_chunk(spec, number, first, count)


def _make_chunk(spec: SampleSpec, number: int, first: int, count: int) -> dict[str, pa.Table]:
    rng = np.random.default_rng([spec.seed, number, _WORLD])
    perks = np.random.default_rng([spec.seed, number, _PERKS])
    people = make_people(spec, first, count, rng, perks)
    actors = people.alike() if spec.alike else people
    visits = make_visits(actors, spec.affinity, rng)
    trips = make_trips(actors, visits, spec.affinity, rng)
    cancellations = make_cancellations(actors, visits, trips, spec.affinity, rng)
    if spec.alike:  # What users do must not affect what they do next.
        kept = np.ones(len(visits.user), dtype=np.bool_)
    else:
        kept = ~visits_replaced(visits, trips, cancellations.trip, count)
    trip_id = trip_identifiers(people, trips, rng)
    tables = {
        "users": users_table(people),
        "sessions": sessions_table(people, visits, kept, trips, cancellations, trip_id, rng),
        "flights": flights_table(people, trips, trip_id),
        "hotels": hotels_table(trips, trip_id),
    }
    if spec.dirt > 0:
        dirt = np.random.default_rng([spec.seed, number, _DIRT])
        tables, ledger = damage_tables(tables, spec.dirt, dirt)
        tables["damage"] = ledger
    return {**tables, "truth": truth_table(people)}
