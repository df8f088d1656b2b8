"""What every storage is: whole files under keys, each with a version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

import dagster as dg

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class StorageError(Exception):
    """The storage cannot be reached or refuses; the message says what to set or to allow."""


class Refused(StorageError, dg.Failure):
    """Bucket, credentials or rights are wrong: trying again does not help."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem, allow_retries=False)


class Replaced(StorageError):
    """A file has been replaced since its version was listed."""


class Conflict(StorageError):
    """Somebody else stored something else under a key while it was being written.

    The loser's inputs may be older than the winner's, and nobody can tell, so neither overwrites
    the other: the loser fails, and running it again computes from what is stored by then.
    """


class Spread(Protocol):
    """Calls a function with every item, on the machines of a cluster."""

    def __call__(
        self, function: Callable[[_Item], _Result], items: Sequence[_Item], /
    ) -> list[_Result]: ...


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
