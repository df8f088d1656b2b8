"""Folders that a process holds while it lives, so that others know what a killed one left behind.

The system releases the lock of a process that ends in any way. A number of a process would say
less: numbers are used again, and two containers have the same ones.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def hold(parent: Path) -> Path:
    """A new folder in `parent`, held until this process ends. Those of dead processes are removed.

    The name begins with the number of the process. Spark keeps folders of other names there.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for folder in parent.glob("[0-9]*"):
        with unless_held(folder) as abandoned:
            if abandoned:
                shutil.rmtree(folder, ignore_errors=True)
    while True:
        folder = parent / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        try:
            # Left open on purpose: the lock lives as long as the process.
            fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            continue  # Another process takes it for abandoned, before it was locked.
        if folder.exists():
            return folder


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Holds a folder that exists, beside others who may hold it as well."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)


@contextmanager
def unless_held(folder: Path) -> Iterator[bool]:
    """Whether nobody holds a folder. Nobody can, until the end of the block.

    False where it cannot be known, as on a network file system without such locks.
    """
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        free = False
    else:
        free = True
    try:
        yield free
    finally:
        os.close(lock)
