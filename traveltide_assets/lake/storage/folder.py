"""Storage in a folder: a file is replaced by renaming a complete one.

The comparison before it and the renaming are one step for all writers of a machine.
"""

from __future__ import annotations

import fcntl
import filecmp
import os
import stat
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from traveltide_assets.engines.base import Spread
from traveltide_assets.lake.storage.base import Conflict, Entry

_ABANDONED_SECONDS = 3600


class Folder:
    """Files below a root folder. A key is a relative path. A version is size, times and inode."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def versions(self, folder: str = "", deep: bool = True) -> dict[str, str]:
        place = self._root / folder
        # Names that start with a dot are partial files, or leftovers of other programs.
        found = place.rglob("[!.]*") if deep else place.glob("[!.]*")
        return {
            path.relative_to(self._root).as_posix(): _version(path)
            for path in sorted(found)
            if path.is_file()
        }

    def entries(self) -> list[Entry]:
        if not self._root.is_dir():
            return []
        with os.scandir(self._root) as found:
            return sorted(
                (_entry(place) for place in found if not place.name.startswith(".")),
                key=lambda entry: entry.name,
            )

    def files(self, versions: Mapping[str, str], spread: Spread | None = None) -> list[Path]:
        return [self._root / key for key in versions]

    @contextmanager
    def replacing(self, key: str, version: str | None) -> Iterator[Path]:
        target = self._root / key
        with partial(target) as path:
            yield path
            with self._alone():
                now = _version(target) if target.exists() else None
                if now not in (version, None) and not filecmp.cmp(path, target, shallow=False):
                    raise Conflict(
                        f"{target} was replaced by another run while this one wrote it: "
                        "run it again"
                    )
                os.replace(path, target)

    @contextmanager
    def replacing_all(
        self, versions: Mapping[str, str | None], spread: Spread | None = None
    ) -> Iterator[dict[str, Path]]:
        with ExitStack() as stack:
            yield {
                key: stack.enter_context(self.replacing(key, version))
                for key, version in versions.items()
            }

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lets one writer at a time compare and rename, among all processes of the machine."""
        with (self._root / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def remove(self, key: str) -> None:
        (self._root / key).unlink(missing_ok=True)

    def clear(self, folder: str, keep: str) -> None:
        found = sorted((self._root / folder).rglob("*"), key=lambda path: len(path.parts))
        folders = {path: None for path in found if path.is_dir() and not path.is_symlink()}
        for path in found:
            if path not in folders and path != self._root / keep:
                path.unlink(missing_ok=True)
        for place in reversed(folders):
            if not any(place.iterdir()):
                place.rmdir()

    def uri(self, key: str = "") -> str:
        return str(self._root / key)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to. It becomes the target in one step at the end."""
    with partial(target) as path:
        yield path
        os.replace(path, target)


@contextmanager
def partial(target: Path) -> Iterator[Path]:
    """A temporary path beside the target; anything left there at the end is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in target.parent.glob(".*.tmp"):
        if time.time() - abandoned.stat().st_mtime > _ABANDONED_SECONDS:
            abandoned.unlink(missing_ok=True)
    path = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _entry(place: os.DirEntry[str]) -> Entry:
    try:
        status = place.stat()
    except FileNotFoundError:
        return Entry(place.name, problem="a link to a file that does not exist")
    except OSError as error:
        return Entry(place.name, problem=f"not readable ({error.strerror})")
    if stat.S_ISDIR(status.st_mode):
        return Entry(place.name, problem="a folder")
    if not stat.S_ISREG(status.st_mode):
        return Entry(place.name, problem="neither a file nor a folder")
    return Entry(place.name, _version_of(status), status.st_mtime)


def _version(path: Path) -> str:
    return _version_of(path.stat())


def _version_of(status: os.stat_result) -> str:
    """Size, times and inode of a file.

    A copy that keeps the time of the original changes what nobody can set: the time of the change
    itself, and, where it is put in place by renaming, the inode.
    """
    times = f"{status.st_mtime_ns}-{status.st_ctime_ns}"
    return f"{status.st_size}-{times}-{status.st_ino}"
