"""What every storage is: whole files under keys, each with a version."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from traveltide_assets.engines.base import Spread
from traveltide_assets.schema.errors import TravelTideError


class StorageError(TravelTideError):
    """The storage cannot be reached, or denies access; the message says what to set or allow."""

    permanent = False


class Refused(StorageError):
    """Bucket, credentials or rights are wrong."""

    permanent = True


class Replaced(StorageError):
    """A file has been replaced since its version was listed."""


class Conflict(StorageError):
    """Somebody else stored something else under a key while it was being written.

    The loser's inputs may be older than the winner's, and nobody can tell, so neither overwrites
    the other: the loser fails, and running it again computes from what is stored by then.
    """


class Storage(Protocol):
    """Files under keys such as `gold/users_final/month=2023-07/users_final.parquet`.

    What has to be moved is moved by this machine, or where `spread` says.
    """

    def versions(self, folder: str = "", deep: bool = True) -> dict[str, str]:
        """The version of every file in a folder of keys, in key order; one file, one content.

        Files in folders of the folder count as well, unless it is not to be `deep`.
        """

    def files(self, versions: Mapping[str, str], spread: Spread | None = None) -> list[Path]:
        """Files with the content of these keys; `Replaced` if a version is gone."""

    def replacing(self, key: str, version: str | None) -> AbstractContextManager[Path]:
        """A path to write to; what is written there gets the key in one step at the end.

        `version` is what the key is known to hold; `Conflict` if by then it holds something else
        that is not the same content either. On any failure, what is stored stays.
        """

    def replacing_all(
        self, versions: Mapping[str, str | None], spread: Spread | None = None
    ) -> AbstractContextManager[dict[str, Path]]:
        """The same for several keys at once; each of them is replaced in one step of its own."""

    def remove(self, key: str) -> None:
        """Remove a file, if it is there."""

    def uri(self, key: str = "") -> str:
        """Where a key lies, for people."""
