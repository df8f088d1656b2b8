"""Releases as tests need them: the current one of a lake, and others with changed files."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pandas as pd

from traveltide_assets.lake.release import Release, Releases
from traveltide_assets.lake.storage.folder import Folder


def current(lake: Path, month: str | None = None) -> Release:
    """The current release in a lake, by default of its latest month."""
    return Releases(Folder(lake)).current(month)


def release_with(lake: Path, files: Mapping[str, bytes]) -> Release:
    """Make a release current that differs from the current one in some files."""
    releases = Releases(Folder(lake))
    before = releases.current()
    stored = {file.name: before.read(file.name) for file in before.manifest.files}
    manifest = before.manifest
    made = releases.add(before.month, {**stored, **files}, manifest.decision, manifest.customers)
    releases.point(made, before.id)
    return made


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
