"""Processes that take the lease of a lake, as runs on one machine or on several do."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

from traveltide_assets.connections.locations import S3Location
from traveltide_assets.lake.config import Lease as Config
from traveltide_assets.lake.lease import Lease, LeaseLost
from traveltide_assets.lake.storage.base import Conflict, Storage
from traveltide_assets.resources import open_storage

COUNT, WRITTEN, SPANS = "count", "written", ".spans"
# Below what the settings allow, so that no test waits for a minute.
QUICK = Config.model_construct(wait_seconds=60, stale_seconds=2)
# On a busy machine, a process that lives may say so later than that.
PATIENT = Config.model_construct(wait_seconds=60, stale_seconds=30)


def opened(place: Path | S3Location, cache: Path) -> Storage:
    return open_storage(place, cache, "TRAVELTIDE_LAKE")


def put(storage: Storage, key: str, content: bytes) -> None:
    with storage.replacing(key, storage.versions().get(key)) as path:
        path.write_bytes(content)


def count_up(place: Path | S3Location, cache: Path, name: str, times: int) -> None:
    """Add to a number in the lake, and write down from when to when the lake was held for it."""
    storage, spans = opened(place, cache), []
    for turn in range(times):
        with Lease(storage, PATIENT).held(f"{name}-{turn}", "counting", lambda _: None):
            begun = time.monotonic()
            _add_one(storage, f"{name}-{turn}")
            spans.append((begun, time.monotonic()))
    cache.with_suffix(SPANS).write_text(json.dumps(spans), encoding="utf-8")


def _add_one(storage: Storage, who: str) -> None:
    """Replace the number by the next. What is refused, as the number is another, is done again."""
    while True:
        found = storage.look(COUNT)
        number, version = (int(found[0].split()[0]), found[1]) if found else (0, None)
        time.sleep(0.02)
        with suppress(Conflict):
            # With its writer, or a refused write would be taken for one whose answer was lost.
            return storage.swap(COUNT, f"{number + 1} {who}".encode(), version)


def write_until_it_cannot(
    place: Path | S3Location, cache: Path, machine: str, holds: Event, lost: Event
) -> None:
    """Write again and again with the lease, and say so once it is lost."""
    lease = Lease(opened(place, cache), QUICK, machine)
    storage = opened(place, cache).fenced(partial(lease.check, machine))
    try:
        with lease.held(machine, "writing", lambda _: None):
            number = 0
            while True:
                number += 1
                put(storage, WRITTEN, f"{machine} {number}".encode())
                holds.set()
    except LeaseLost:
        lost.set()
