"""Releases: immutable copies of what others act on, and which of them is current in each month.

A release is a folder, `releases/month=YYYY-MM/<id>/`. Its id is a hash of its files and of the
facts that decided them, so the same decision gives the same release. Its manifest, with the SHA-256
of every file, is written last. The month's record, `releases/YYYY-MM.json`, is then moved to it by
a conditional write. Readers go from the record to the manifest to the files and verify each step,
so they see a whole release or an error, never parts of two.

Files under `mailing/` exist only while their release is current: nobody can send an older file.

This module stores and finds releases. What is in one is a matter of `campaign/released.py`.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from traveltide_assets.lake.manifest import Entry, File, Manifest, Record, release_id, sha256
from traveltide_assets.lake.parquet_bytes import read_rows, read_table
from traveltide_assets.lake.storage.base import Conflict, Replaced, Storage
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.schema.months import is_month

FOLDER, MANIFEST = "releases", "manifest.json"
MAILING = "mailing/"
_MAILED = "mailed.json"
_ATTEMPTS = 20
_MEND = "`traveltide release` writes it again"


class NotReleased(TravelTideError):
    """There is no such release. The message says what to run."""


class Damaged(TravelTideError):
    """A stored file of a release is not what was released. The message names the file."""

    # A retry may find it mended; see `Releases.add`.
    permanent = False


class Overtaken(TravelTideError):
    """Another run released the month meanwhile."""


_EMPTY = Record(current=None, latest=None, releases=())


@dataclass(frozen=True)
class Release:
    """One release. Whatever is read from it is verified; `Damaged` if it is not as released."""

    month: str
    manifest: Manifest
    storage: Storage

    @property
    def id(self) -> str:
        return self.manifest.release

    @property
    def names(self) -> frozenset[str]:
        """The names of its files. Releases of earlier versions have fewer."""
        return frozenset(file.name for file in self.manifest.files)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return self._verified(name)[1]

    def frame(
        self, name: str, columns: Sequence[str] | None = None, categories: Sequence[str] = ()
    ) -> pd.DataFrame:
        """A table in memory, with all columns or only the given ones; some as categories."""
        return read_table(self.read(name), columns, categories).to_pandas()

    def of_customer(
        self, name: str, user_id: int, columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """The rows of a table that are of a customer, with all columns or some."""
        return read_rows(self.read(name), "user_id", user_id, columns).to_pandas()

    def path(self, name: str) -> Path:
        """A file on this machine. If the lake is in S3, it is a local copy."""
        return self._verified(name)[0]

    def uri(self, name: str = "") -> str:
        """The URI of a file, or of the release, for messages."""
        return self.storage.uri(f"{_folder(self.month, self.id)}/{name}".rstrip("/"))

    @cached_property
    def _versions(self) -> dict[str, str]:
        return self.storage.versions(_folder(self.month, self.id))

    def _verified(self, name: str) -> tuple[Path, bytes]:
        file = next((file for file in self.manifest.files if file.name == name), None)
        if file is None:
            raise NotReleased(f"release {self.id} of {self.month} has no {name}")
        key = f"{_folder(self.month, self.id)}/{name}"
        return _verified(self.storage, key, self._versions.get(key), file.sha256)


@dataclass(frozen=True)
class Listed:
    """A line of the list of releases. `mailed` is when its files were sent, if they were.

    `release` is None if its manifest is missing (a run was stopped while it wrote) or damaged.
    """

    month: str
    entry: Entry
    current: bool
    mailed: str | None
    release: Release | None


class Releases:
    """The releases in a lake."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def months(self) -> list[str]:
        """The months with any release, prepared ones too, in order."""
        return sorted(self._records())

    def record(self, month: str) -> Record:
        """The record of a month; an empty one if nothing was ever released."""
        key = _record_key(month)
        for attempt in range(_ATTEMPTS):
            version = self._records().get(month)
            if version is None:
                return _EMPTY
            try:
                return self._parsed(key, version)
            except Replaced:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def current(self, month: str | None = None) -> Release:
        """The current release of a month, by default of the latest month that has one."""
        for each in [month] if month else reversed(self.months()):
            record = self.record(each)
            if record.current is not None:
                return self._opened(each, record, record.current)
        wanted = f" --month {month}" if month else ""
        raise NotReleased(
            f"nothing is released{f' for {month}' if month else ' yet'} in {self._storage.uri()}: "
            f"run `traveltide release{wanted}` if the month is decided, or "
            f"`traveltide run{wanted}` first"
        )

    def find(self, release_id: str) -> Release:
        """The release with this id, current or not."""
        for month in self.months():
            record = self.record(month)
            if record.entry(release_id):
                return self._opened(month, record, release_id)
        raise NotReleased(f"there is no release {release_id}; `traveltide releases` lists them")

    def all(self) -> Iterator[Listed]:
        """Every release, by month and in the order of making."""
        for month in self.months():
            record = self.record(month)
            for entry in record.releases:
                try:
                    release = self._opened(month, record, entry.id)
                except Damaged:
                    release = None
                mailed = self._mailed(month, entry.id)
                yield Listed(month, entry, entry.id == record.current, mailed, release)

    def add(
        self,
        month: str,
        files: Mapping[str, bytes],
        decision: Mapping[str, Any],
        customers: Mapping[str, int],
        live: bool = True,
        **facts: Any,
    ) -> Release:
        """Store a release, not yet current. If it is stored already, only damage is mended.

        `live` says that it will be made current, so that its files under `mailing/` are needed.
        `facts` are other fields of the manifest.
        """
        new = release_id(month, decision, files)
        manifest = Manifest(
            release=new,
            month=month,
            decision=dict(decision),
            customers=dict(customers),
            files=tuple(
                File(name=name, bytes=len(content), sha256=sha256(content))
                for name, content in sorted(files.items())
            ),
            **facts,
        )
        content = manifest.model_dump_json(indent=2).encode() + b"\n"
        known = self.record(month).entry(new)
        if known is not None and (stored := self._stored_manifest(month, known)):
            content = stored  # What it rests on was written down when it was made.
        entry = Entry(
            id=new,
            manifest=sha256(content),
            made=known.made if known else _now(),
            released=known.released if known else None,
        )
        # The entry comes before the files: files without an entry are leftovers that get removed.
        record = self._change(month, lambda record: _with_entry(record, entry))
        needed = {n: c for n, c in files.items() if live or not n.startswith(MAILING)}
        self._put(_folder(month, new), needed)
        self._put(_folder(month, new), {MANIFEST: content})
        return self._opened(month, record, new)

    def point(self, release: Release, expected: str | None) -> None:
        """Make a release current. `Overtaken` if the current one is neither it nor `expected`."""

        def moved(record: Record) -> Record:
            if record.current == release.id:
                return record
            if record.current != expected:
                raise Overtaken(
                    f"another run released {record.current} of {release.month} meanwhile, so "
                    f"{release.id} was not released: look at `traveltide releases`, then run "
                    "this again"
                )
            entries = tuple(
                entry.model_copy(update={"released": _now()}) if entry.id == release.id else entry
                for entry in record.releases
            )
            return record.model_copy(update={"current": release.id, "releases": entries})

        self._change(release.month, moved)

    def mark_mailed(self, release: Release) -> str:
        """Mark a release as sent, for good. Returns when it was first marked."""
        marked = self._mailed(release.month, release.id)
        if marked is not None:
            return marked
        now = _now()
        key = f"{_folder(release.month, release.id)}/{_MAILED}"
        with self._storage.replacing(key, None) as path:
            path.write_text(json.dumps({"mailed": now}) + "\n", encoding="utf-8")
        return now

    def _mailed(self, month: str, release_id: str) -> str | None:
        folder = _folder(month, release_id)
        key = f"{folder}/{_MAILED}"
        version = self._storage.versions(folder, deep=False).get(key)
        if version is None:
            return None
        (file,) = self._storage.files({key: version})
        return str(json.loads(file.read_bytes())["mailed"])

    def mailed(self) -> list[str]:
        """The folders of all releases that were mailed, even if the rest of them is damaged."""
        marked = (key for key in self._storage.versions(FOLDER) if key.endswith(f"/{_MAILED}"))
        return [key.removesuffix(f"/{_MAILED}") for key in marked]

    def sweep(self, month: str, keep: int) -> list[str]:
        """Remove what is not needed: old releases beyond `keep`, leftovers, files not to be sent.

        The current release, the latest one and those that were mailed stay. Returns the ids
        removed.
        """
        removed: list[str] = []

        def kept(record: Record) -> Record:
            removed[:] = [
                entry.id
                for entry in record.releases[: -keep or None]
                if entry.id not in (record.current, record.latest)
                and self._mailed(month, entry.id) is None
            ]
            entries = tuple(entry for entry in record.releases if entry.id not in removed)
            return record.model_copy(update={"releases": entries})

        record = self._change(month, kept)
        prefix = _folder(month)
        for key in self._storage.versions(prefix):
            owner, _, name = key.removeprefix(f"{prefix}/").partition("/")
            outdated = name.startswith(MAILING) and owner != record.current
            if outdated or record.entry(owner) is None:
                self._storage.remove(key)
        return removed

    # Records

    def _records(self) -> dict[str, str]:
        """The version of each month's record. One listing, whatever the number of releases."""
        stored = self._storage.versions(FOLDER, deep=False)
        named = {key.removeprefix(f"{FOLDER}/").removesuffix(".json"): key for key in stored}
        return {month: stored[key] for month, key in named.items() if is_month(month)}

    def _parsed(self, key: str, version: str) -> Record:
        (file,) = self._storage.files({key: version})
        try:
            return Record.model_validate_json(file.read_bytes())
        except (ValidationError, FileNotFoundError) as error:
            raise Damaged(
                f"{self._storage.uri(key)} is damaged: restore it, or remove it and run "
                "`traveltide release`"
            ) from error

    def _change(self, month: str, change: Callable[[Record], Record]) -> Record:
        """Change the record of a month by compare-and-swap. Returns it as it is then stored."""
        key = _record_key(month)
        for attempt in range(_ATTEMPTS):
            version = self._records().get(month)
            try:
                before = _EMPTY if version is None else self._parsed(key, version)
                after = change(before)
                if after == before:
                    return before
                with self._storage.replacing(key, version) as path:
                    path.write_text(after.model_dump_json(indent=2) + "\n", encoding="utf-8")
                return after
            except (Conflict, Replaced):
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    # Files

    def _opened(self, month: str, record: Record, release_id: str) -> Release:
        entry, folder = record.entry(release_id), _folder(month, release_id)
        if entry is None:
            raise Damaged(f"{self._storage.uri(_record_key(month))} does not list {release_id}")
        key = f"{folder}/{MANIFEST}"
        version = self._storage.versions(folder, deep=False).get(key)
        _, content = _verified(self._storage, key, version, entry.manifest)
        return Release(month, Manifest.model_validate_json(content), self._storage)

    def _stored_manifest(self, month: str, entry: Entry) -> bytes | None:
        """The manifest of a release as it was first written; None if it is missing or damaged."""
        key = f"{_folder(month, entry.id)}/{MANIFEST}"
        version = self._storage.versions(_folder(month, entry.id), deep=False).get(key)
        try:
            return _verified(self._storage, key, version, entry.manifest)[1]
        except Damaged:
            return None

    def _put(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Store files of a release, except those that are there already and sound."""
        versions = self._storage.versions(folder)
        for name, content in files.items():
            key = f"{folder}/{name}"
            try:
                _verified(self._storage, key, versions.get(key), sha256(content))
            except Damaged:
                with self._storage.replacing(key, versions.get(key)) as path:
                    path.write_bytes(content)


def _verified(storage: Storage, key: str, version: str | None, digest: str) -> tuple[Path, bytes]:
    """A file on this machine and its content, if that is as released. Otherwise `Damaged`."""
    if version is None:
        raise Damaged(f"{storage.uri(key)} is missing: {_MEND}")
    (file,) = storage.files({key: version})
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{storage.uri(key)} is missing: {_MEND}") from None
    if sha256(content) != digest:
        raise Damaged(f"{storage.uri(key)} is not what was released (other SHA-256): {_MEND}")
    return file, content


def _with_entry(record: Record, entry: Entry) -> Record:
    if record.entry(entry.id) is None:
        entries = (*record.releases, entry)
    else:
        entries = tuple(entry if each.id == entry.id else each for each in record.releases)
    return record.model_copy(update={"latest": entry.id, "releases": entries})


def _folder(month: str, release_id: str | None = None) -> str:
    folder = f"{FOLDER}/month={month}"
    return folder if release_id is None else f"{folder}/{release_id}"


def _record_key(month: str) -> str:
    return f"{FOLDER}/{month}.json"


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
