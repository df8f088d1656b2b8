"""The interface of storage: whole files under keys, each with a version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from traveltide_assets.engines.base import Spread
from traveltide_assets.schema.errors import TravelTideError


class StorageError(TravelTideError):
    """The storage cannot be reached or denies access; the message says what to set or allow."""

    permanent = False


class Refused(StorageError):
    """The bucket, the credentials or the permissions are wrong; a retry cannot help."""

    permanent = True


class Away(StorageError):
    """The storage was away or busy for as long as requests are tried again."""

    # The storage itself has tried again; whoever called it need not wait as long once more.
    permanent = True


class Replaced(StorageError):
    """A file was replaced after its version was listed."""


class Conflict(StorageError):
    """Another writer stored different content under a key during a write.

    The later writer may have the older inputs, which cannot be known. So it fails instead of
    overwriting; running it again computes from the inputs stored by then.
    """


@dataclass(frozen=True)
class Entry:
    """What lies directly in a folder: its name, and the version and time of a readable file.

    `time` is when the file was last changed, in seconds since 1970. Anything else has no version,
    and `problem` says what it is instead: a folder, or a link to nothing.
    """

    name: str
    version: str | None = None
    time: float = 0.0
    problem: str = ""


Fence = Callable[[], None]
"""Called right before a file is replaced or removed. It raises to prevent that."""


def no_fence() -> None:
    """Lets everything through."""


class Storage(Protocol):
    """Files under keys such as `gold/users_final/month=2023-07/users_final.parquet`.

    This machine transfers the files, or `spread` does on the machines of a cluster.
    """

    fence: Fence

    def versions(self, folder: str = "", deep: bool = True) -> dict[str, str]:
        """The version of every file in a folder, by key, in key order.

        A version identifies one content. With `deep`, files in subfolders are included.
        """

    def entries(self) -> list[Entry]:
        """Everything directly in the root, in name order, also what is no readable file."""

    def files(self, versions: Mapping[str, str], spread: Spread | None = None) -> list[Path]:
        """Local files with the content of these versions, in the order of `versions`.

        `Replaced` if a version is no longer stored.
        """

    def replacing(self, key: str, version: str | None) -> AbstractContextManager[Path]:
        """A path to write to. The written file replaces the key in one step at the end.

        `version` is the version that the writer knows (None: not stored). `Conflict` if the key has
        another version by then with other content. On any failure the stored file stays.
        """

    def replacing_all(
        self, versions: Mapping[str, str | None], spread: Spread | None = None
    ) -> AbstractContextManager[dict[str, Path]]:
        """`replacing` for several keys at once. Each key is replaced in a separate step."""

    def remove(self, key: str) -> None:
        """Remove a file if it exists."""

    def sweep(self) -> None:
        """Remove what killed writers left behind, and copies that nobody uses any more."""

    def clear(self, folder: str, keep: str) -> None:
        """Remove everything in a folder, but the key `keep`. Files in fewer subfolders go first."""

    def fenced(self, fence: Fence) -> Self:
        """The same storage, which calls `fence` right before it replaces or removes a file."""

    # Small files that several machines agree by. No fence holds for them.

    def look(self, key: str) -> tuple[bytes, str] | None:
        """The content of a small file and its version; None if it is not stored."""

    def swap(self, key: str, content: bytes | None, version: str | None) -> None:
        """Replace a small file, or remove it (None), in one step that only one writer wins.

        `Conflict` if the stored version, as `look` gave it (None: not stored), is another one.
        """

    def uri(self, key: str = "") -> str:
        """The URI of a key, for messages."""
