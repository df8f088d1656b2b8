"""Storage in a folder: a file is replaced by renaming a complete one.

The comparison before it and the renaming are one step for all writers that share the folder.
"""

from __future__ import annotations

import copy
import filecmp
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from traveltide_assets.engines.base import Spread
from traveltide_assets.engines.held import in_use, unless_held
from traveltide_assets.lake.storage.base import Conflict, Entry, Fence, StorageError, no_fence
from traveltide_assets.schema import places

_ABANDONED_SECONDS = 3600
# It is held for moments. Only a process that was stopped within one holds it longer.
_LOCK_SECONDS = 60


class Folder:
    """Files below a root folder. A key is a relative path. A version is size, times and inode.

    `setting` is the setting that the folder comes from, for messages.
    """

    def __init__(self, root: Path, setting: str = places.LAKE) -> None:
        self._root = root
        self._setting = setting
        self.fence: Fence = no_fence

    def fenced(self, fence: Fence) -> Self:
        other = copy.copy(self)
        other.fence = fence
        return other

    def versions(self, folder: str = "", deep: bool = True) -> dict[str, str]:
        with places.explained(self._root, self._setting):
            found = {
                path.relative_to(self._root).as_posix(): _version(path)
                for path in sorted(_listed(self._root / folder, deep))
            }
            return {key: version for key, version in found.items() if version is not None}

    def entries(self) -> list[Entry]:
        with places.explained(self._root, self._setting):
            try:
                with os.scandir(self._root) as found:
                    return sorted(
                        (_entry(place) for place in found if not place.name.startswith(".")),
                        key=lambda entry: entry.name,
                    )
            except FileNotFoundError:
                return []

    def files(self, versions: Mapping[str, str], spread: Spread | None = None) -> list[Path]:
        return [self._root / key for key in versions]

    @contextmanager
    def replacing(self, key: str, version: str | None) -> Iterator[Path]:
        target = self._root / key
        with (
            places.explained(self._root, self._setting),
            self._writing(),
            partial(target) as path,
        ):
            yield path
            with self._alone():
                self.fence()
                now = _version(target)
                if now is not None and filecmp.cmp(path, target, shallow=False):
                    return  # The same content keeps its version.
                if now not in (version, None):
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

    def sweep(self) -> None:
        """Remove the partial files of killed writers, unless somebody is writing right now."""
        with unless_held(self._root) as idle:
            for left in self._root.rglob(".*.tmp") if idle else ():
                left.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with in_use(self._root):
            yield

    def remove(self, key: str) -> None:
        with places.explained(self._root, self._setting), self._alone():
            self.fence()
            (self._root / key).unlink(missing_ok=True)

    def look(self, key: str) -> tuple[bytes, str] | None:
        with places.explained(self._root, self._setting):
            try:
                content = (self._root / key).read_bytes()
            except FileNotFoundError:
                return None
        return content, hashlib.sha256(content).hexdigest()

    def swap(self, key: str, content: bytes | None, version: str | None) -> None:
        target = self._root / key
        with (
            places.explained(self._root, self._setting),
            self._writing(),
            partial(target) as path,
        ):
            if content is not None:
                path.write_bytes(content)
            with self._alone():
                found = self.look(key)
                if (found[1] if found else None) != version:
                    raise Conflict(f"{target} was replaced by another run")
                if content is None:
                    target.unlink(missing_ok=True)
                else:
                    os.replace(path, target)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lets one writer at a time compare, ask its fence and rename, among all processes."""
        self._root.mkdir(parents=True, exist_ok=True)
        lock = self._root / ".lock"
        held = FileLock(lock, timeout=_LOCK_SECONDS)
        try:
            held.acquire()
        except Timeout:
            raise StorageError(
                f"{lock} has been locked for {_LOCK_SECONDS} s. Continue or end the process that "
                f"holds it (`fuser {lock}` names it)"
            ) from None
        try:
            yield
        finally:
            # It may be removed while it is locked: who waits for it notices and makes a new one.
            lock.unlink(missing_ok=True)
            held.release()

    def clear(self, folder: str, keep: str) -> None:
        self.fence()
        found = sorted((self._root / folder).rglob("*"), key=lambda path: len(path.parts))
        folders = {path: None for path in found if path.is_dir() and not path.is_symlink()}
        for path in found:
            if path not in folders and path != self._root / keep:
                self.remove(path.relative_to(self._root).as_posix())
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
    for abandoned in unused(target.parent.glob(".*.tmp"), _ABANDONED_SECONDS):
        abandoned.unlink(missing_ok=True)
    path = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _listed(folder: Path, deep: bool) -> Iterator[Path]:
    """The files of a folder, if it exists. Unlike a glob, it raises where it may not look."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        # Names that start with a dot are partial files, or leftovers of other programs.
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            yield Path(entry.path)
        elif deep and not entry.is_symlink():
            yield from _listed(Path(entry.path), deep)


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
    if not os.access(place.path, os.R_OK):
        return Entry(place.name, problem="not readable (permission denied)")
    return Entry(place.name, _version_of(status), status.st_mtime)


def unused(listed: Iterable[Path], seconds: float) -> Iterator[Path]:
    """Those of the listed files and folders that nobody has changed for so long.

    Others write and remove in the same place, so what was listed may be gone since.
    """
    for path in listed:
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > seconds:
                yield path


def _version(path: Path) -> str | None:
    """The version of a file; None if it is not there, or not any more."""
    if path.is_file():
        with suppress(FileNotFoundError):
            return _version_of(path.stat())
    return None


def _version_of(status: os.stat_result) -> str:
    """Size, times and inode of a file.

    A copy that keeps the time of the original changes what nobody can set: the time of the change
    itself, and, where it is put in place by renaming, the inode.
    """
    times = f"{status.st_mtime_ns}-{status.st_ctime_ns}"
    return f"{status.st_size}-{times}-{status.st_ino}"
