"""Processes that take the lease of a lake, as runs on one machine or on several do."""

from __future__ import annotations

import time
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

from traveltide_assets.connections.locations import S3Location
from traveltide_assets.lake.config import Lease as Config
from traveltide_assets.lake.lease import Lease, LeaseLost
from traveltide_assets.lake.storage.base import Storage
from traveltide_assets.resources import open_storage

COUNT, WRITTEN = "count", "written"
# Below what the settings allow, so that no test waits for a minute.
QUICK = Config.model_construct(wait_seconds=60, stale_seconds=2)


def opened(place: Path | S3Location, cache: Path) -> Storage:
    return open_storage(place, cache, "TRAVELTIDE_LAKE")


def put(storage: Storage, key: str, content: bytes) -> None:
    with storage.replacing(key, storage.versions().get(key)) as path:
        path.write_bytes(content)


def count_up(place: Path | S3Location, cache: Path, name: str, times: int) -> None:
    """Add to a number in the lake. Sums get lost if two processes are at it."""
    storage = opened(place, cache)
    for turn in range(times):
        with Lease(storage, QUICK).held(f"{name}-{turn}", "counting", lambda _: None):
            found = storage.look(COUNT)
            number, version = (int(found[0]), found[1]) if found else (0, None)
            time.sleep(0.02)
            storage.swap(COUNT, str(number + 1).encode(), version)


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
