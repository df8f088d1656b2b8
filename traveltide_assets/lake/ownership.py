"""Whose data a lake holds: a lake belongs to one source.

A manifest in bronze names the source. Without it, a run on another source would replace some months
and tables and leave the rest, and the mixture would pass every check.

Another source is refused unless the run was told to replace the old one or that it is the same
source at another place. A lake that records what was mailed is not replaced.

Replacing begins with a manifest that says so, then empties all layers, and ends with the manifest
of the new source. A run that is killed in between leaves a lake that the new source finishes
emptying and any other source is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from traveltide_assets.lake.release import FOLDER, Releases
from traveltide_assets.lake.storage.base import Storage
from traveltide_assets.schema.errors import TravelTideError

MANIFEST = "bronze/source.json"
GENERATED = "Generated data, not real customers"
# In the order in which they are emptied: whoever reads a release loses it before its tables.
_LAYERS = (FOLDER, "gold", "silver", "bronze")
TAG = "traveltide/lake"
"""The tag by which a run in Dagster is told what `Told` says."""


class WrongLake(TravelTideError):
    """The lake holds another source's data. The message names both and says what to do."""


class Told(StrEnum):
    """What a run was told about a lake of another source."""

    REPLACE = "replace"
    SAME_SOURCE = "same-source"


_OTHER_LAKE = "Set TRAVELTIDE_LAKE to another lake."
_SAME_SOURCE = (
    f"If it is the same source at another place: `traveltide run --{Told.SAME_SOURCE}`, or a run "
    f"of the job `ingest` with the tag {TAG}: {Told.SAME_SOURCE}."
)
_REPLACE = (
    f"To remove all that the lake holds, releases included, and start again: `traveltide run "
    f"--{Told.REPLACE}`, or the tag {TAG}: {Told.REPLACE}."
)


class Owner(BaseModel):
    """A source as a lake remembers it.

    `location` is for people and has no secrets. `generated` says whether a sample generator wrote
    the data; None if that was not looked up. `database` is the identity that a database server
    gives its database, whatever host name leads to it.
    """

    model_config = ConfigDict(frozen=True)

    location: str
    generated: bool | None = False
    database: str | None = None

    def is_same(self, other: Owner) -> bool:
        """Whether both are the same source, as far as both are known."""
        if None not in (self.generated, other.generated) and self.generated != other.generated:
            return False
        if self.database and other.database:
            return self.database == other.database
        return self.location == other.location

    def __str__(self) -> str:
        return f"{self.location} (generated data)" if self.generated else self.location


class _Manifest(BaseModel):
    """`emptying`: what an earlier source left has not all been removed yet."""

    owner: Owner
    emptying: bool = False


def notice_of(storage: Storage) -> str | None:
    """The first line of whatever shows a lake of generated data; None if its data is real."""
    manifest = _read(storage)
    if manifest is None or not manifest.owner.generated:
        return None
    return f"{GENERATED} ({manifest.owner.location})"


class Claim:
    """The claim of a run's source to a lake.

    `identify` gives the source as an `Owner`. With True it looks at the source itself, and may
    raise an error of the source; with False it only says what the settings tell.
    """

    def __init__(
        self,
        storage: Storage,
        identify: Callable[[bool], Owner],
        lock: Path,
        told: Told | None = None,
    ) -> None:
        self._storage = storage
        self._identify = identify
        self._lock = lock
        self._told = told

    def verify(self, ingesting: bool = False) -> None:
        """Raise `WrongLake` if the lake is not that of the source. Writes nothing.

        Only runs that ingest may use a lake that is not empty yet.
        """
        manifest = _read(self._storage)
        if manifest is None:
            self._refuse_unknown()
            return
        if not (manifest.owner.is_same(self._identify(False)) or self._is_same(manifest.owner)):
            self._refuse(manifest.owner, self._identify(False))
        if manifest.emptying and not ingesting:
            raise WrongLake(
                f"{self._storage.uri()} has not been emptied completely for {manifest.owner}: "
                "ingest that source, by `traveltide run` or the job `ingest`"
            )

    def take(self) -> None:
        """Make the lake that of the source before anything is written. Empties it if told to.

        Raises `WrongLake`, and then changes nothing.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        # The steps of one run may have a process each, and one must not empty what another wrote.
        with FileLock(self._lock):
            manifest = _read(self._storage)
            source = self._identify(True)
            emptying = manifest is not None and manifest.emptying
            if manifest is None:
                if self._told is None:
                    self._refuse_unknown()
                emptying = self._told is Told.REPLACE and self._holds_data()
            elif not manifest.owner.is_same(source):
                if self._told is Told.REPLACE:
                    emptying = True
                elif self._told is None or manifest.owner.generated != source.generated:
                    self._refuse(manifest.owner, source)
            if emptying:
                self._refuse_mailed()
                self._write(_Manifest(owner=source, emptying=True))
                for layer in _LAYERS:
                    self._storage.clear(layer, keep=MANIFEST)
            if emptying or manifest != _Manifest(owner=source):
                self._write(_Manifest(owner=source))

    def _is_same(self, owner: Owner) -> bool:
        """The same question to the source itself, which may be known by another name."""
        return owner.database is not None and owner.is_same(self._identify(True))

    def _holds_data(self) -> bool:
        return any(self._storage.versions(layer) for layer in _LAYERS)

    def _refuse_unknown(self) -> None:
        if self._holds_data():
            source = self._identify(False)
            raise WrongLake(
                f"{self._storage.uri()} does not say whose data it holds: an earlier version wrote "
                f"it. This run is on {source}. {_OTHER_LAKE} {_SAME_SOURCE} {_REPLACE}"
            )

    def _refuse(self, owner: Owner, source: Owner) -> None:
        moved = "" if owner.generated != source.generated else f"{_SAME_SOURCE} "
        raise WrongLake(
            f"{self._storage.uri()} is the lake of another source: it holds data of {owner}, but "
            f"this run is on {source}. Nothing was written. {_OTHER_LAKE} {moved}{_REPLACE}"
        )

    def _refuse_mailed(self) -> None:
        """What was sent to customers is on record nowhere else."""
        if mailed := Releases(self._storage).mailed():
            raise WrongLake(
                f"{self._storage.uri()} records what was mailed ({', '.join(mailed)}), so it is "
                f"not emptied. {_OTHER_LAKE} Or move {self._storage.uri(FOLDER)} away first"
            )

    def _write(self, manifest: _Manifest) -> None:
        known = self._storage.versions("bronze", deep=False).get(MANIFEST)
        with self._storage.replacing(MANIFEST, known) as path:
            path.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _read(storage: Storage) -> _Manifest | None:
    known = storage.versions("bronze", deep=False)
    if MANIFEST not in known:
        return None
    (file,) = storage.files({MANIFEST: known[MANIFEST]})
    try:
        return _Manifest.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise WrongLake(
            f"{storage.uri(MANIFEST)}, which says whose data the lake holds, is damaged. Remove "
            "it, and run again with --same-source or --replace"
        ) from error
