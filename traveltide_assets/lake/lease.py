"""The lease: one run at a time writes a lake.

It is a small file in the lake, `_lease.json`, which says which run is at work. It is replaced by
conditional writes alone, so that of several runs only one gets it. A thread of the holder renews
it.

A holder is gone if its process has ended, as others on its machine can see, or if the lease has
not changed for `lease.stale_seconds` by the clock of whoever waits. Clocks of two machines are
never compared. Whoever finds the holder gone takes the lease over.

A holder that was only paused does not know that. So every write checks the lease first (`check`).
In a folder nobody can take it over between that check and the write. In S3 somebody could; the
write is then refused if the new holder has replaced the same file meanwhile.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from traveltide_assets.lake.config import Lease as Config
from traveltide_assets.lake.storage.base import Conflict, Storage, StorageError
from traveltide_assets.schema.errors import TravelTideError

KEY = "_lease.json"
_POLL_SECONDS = 1
# Signs of life that may fail before a holder counts as gone.
_BEATS = 6
# The start time of a process derives from the system clock, which may have been adjusted since.
_CLOCK_SECONDS = 60

_log = logging.getLogger(__name__)


class LakeBusy(StorageError):
    """Another run is at work on the lake. The message says which, where and since when."""


class LeaseLost(StorageError):
    """Another run took the lake over while this one was paused or cut off."""

    permanent = True


class Holder(BaseModel):
    """Who holds a lease. `since` is in epoch seconds, by the clock of the holder."""

    model_config = ConfigDict(frozen=True)
    owner: str
    work: str
    host: str
    machine: str
    pid: int
    since: float
    beat: str

    def __str__(self) -> str:
        began = dt.datetime.fromtimestamp(self.since, dt.UTC)
        return (
            f"run {self.owner[:8]} ({self.work}) of process {self.pid} on {self.host}, "
            f"since {began:%Y-%m-%d %H:%M:%S} UTC"
        )


class Lease:
    """The lease of a lake, as one process sees it."""

    def __init__(
        self,
        storage: Storage,
        config: Config,
        machine: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._config = config
        self._machine = this_machine() if machine is None else machine
        self._clock = clock
        # The version that was seen last, and when it was seen first and last.
        self._seen: tuple[str, float, float] | None = None

    @property
    def holder(self) -> Holder | None:
        """Who holds the lease, perhaps without being alive."""
        return self._look()[0]

    def is_gone(self, holder: Holder) -> bool | None:
        """Whether a holder's process has ended; None if that cannot be seen from here."""
        if holder.machine != self._machine:
            return None
        return not lives(holder.pid, holder.since)

    def claim(self, owner: str, work: str) -> Holder:
        """This process as the holder."""
        return Holder(
            owner=owner,
            work=work,
            host=socket.gethostname(),
            machine=self._machine,
            pid=os.getpid(),
            since=time.time(),
            beat=uuid.uuid4().hex,
        )

    def attempt(self, claim: Holder) -> Holder | None:
        """Take the lease if nobody holds it or its holder is gone, else return the holder."""
        holder, version = self._look()
        if holder is not None and not self._has_expired(holder, str(version)):
            return holder
        try:
            self._storage.swap(KEY, claim.model_dump_json().encode(), version)
        except Conflict:
            return self.holder
        if holder is not None:
            _log.warning("took the lake over from %s, which is gone", holder)
        return None

    def renew(self, owner: str) -> None:
        """Give a sign of life. `LeaseLost` if somebody else holds the lease."""
        holder, version = self._look()
        if holder is None or holder.owner != owner:
            raise self._lost(owner, holder)
        again = holder.model_copy(update={"beat": uuid.uuid4().hex})
        try:
            self._storage.swap(KEY, again.model_dump_json().encode(), version)
        except Conflict:
            raise self._lost(owner, self.holder) from None

    def release(self, owner: str) -> None:
        """Let others have the lease. Nothing happens if somebody else has it already."""
        holder, version = self._look()
        if holder is not None and holder.owner == owner:
            try:
                self._storage.swap(KEY, None, version)
            except Conflict:
                _log.warning("%s was taken over before it was released", self._storage.uri(KEY))

    def check(self, owner: str) -> None:
        """Call this right before a write. `LeaseLost` if somebody else holds the lease."""
        holder = self.holder
        if holder is None or holder.owner != owner:
            raise self._lost(owner, holder)

    @contextmanager
    def held(self, owner: str, work: str, say: Callable[[str], None]) -> Iterator[None]:
        """Hold the lease of a run, and renew it, until the end of the block.

        While another run holds it, wait for `lease.wait_seconds`, and `say` who does. Then raise
        `LakeBusy`.
        """
        self._wait(owner, work, say)
        ended = threading.Event()
        beats = threading.Thread(target=self._renew_until, args=(ended, owner), daemon=True)
        beats.start()
        try:
            yield
        finally:
            ended.set()
            beats.join(self._config.stale_seconds / _BEATS)
            try:
                self.release(owner)
            except (TravelTideError, OSError) as error:
                _log.warning("the lease was not released, and has to expire: %s", error)

    def _wait(self, owner: str, work: str, say: Callable[[str], None]) -> None:
        deadline = self._clock() + self._config.wait_seconds
        told: str | None = None
        while (holder := self.attempt(self.claim(owner, work))) is not None:
            if holder.owner != told:
                say(f"waiting for {holder}")
                told = holder.owner
            if self._clock() >= deadline:
                raise LakeBusy(
                    f"{self._storage.uri()} is in use by {holder}{self._hint(holder)}. Run this "
                    f"again when that run has ended; this one waited {self._config.wait_seconds} s "
                    "(TRAVELTIDE_LEASE__WAIT_SECONDS)"
                )
            time.sleep(_POLL_SECONDS)

    def _hint(self, holder: Holder) -> str:
        if holder.machine != self._machine:
            return ""
        try:
            stopped = psutil.Process(holder.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return ""
        return f" (stopped; `kill -CONT {holder.pid}` continues it)" if stopped else ""

    def _renew_until(self, ended: threading.Event, owner: str) -> None:
        while not ended.wait(self._config.stale_seconds / _BEATS):
            try:
                self.renew(owner)
            except LeaseLost as error:
                _log.error("%s", error)
                return
            except (TravelTideError, OSError) as error:
                _log.warning("the lease could not be renewed: %s", error)

    def _look(self) -> tuple[Holder | None, str | None]:
        found = self._storage.look(KEY)
        if found is None:
            return None, None
        content, version = found
        try:
            return Holder.model_validate_json(content), version
        except ValidationError:
            raise StorageError(
                f"{self._storage.uri(KEY)} cannot be understood. If no run is at work on this "
                "lake, remove that file"
            ) from None

    def _has_expired(self, holder: Holder, version: str) -> bool:
        gone = self.is_gone(holder)
        if gone is not None:
            return gone
        now, since = self._clock(), None
        # Who did not look for a while, as when S3 was away, knows nothing of that time.
        longest = max(self._config.stale_seconds / 2, 10 * _POLL_SECONDS)
        if self._seen is not None and now - self._seen[2] <= longest:
            since = self._seen[1] if self._seen[0] == version else None
        self._seen = (version, now if since is None else since, now)
        return now - self._seen[1] >= self._config.stale_seconds

    def _lost(self, owner: str, holder: Holder | None) -> LeaseLost:
        now = f"is now held by {holder}" if holder else "was removed"
        return LeaseLost(
            f"run {owner[:8]} was paused or cut off, and the lease of {self._storage.uri()} {now}. "
            "Nothing more of this run is written: run it again"
        )


def lives(process_id: int, reported_at: float) -> bool:
    """Whether the process that was reported at a time (epoch seconds) is still running.

    A process that started later is another one that was given the same id.
    """
    try:
        process = psutil.Process(process_id)
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and process.create_time() <= reported_at + _CLOCK_SECONDS
        )
    except psutil.NoSuchProcess:
        return False


def this_machine() -> str:
    """What only processes have in common that see each other by their process ids.

    Containers of one machine see none of each other's processes, so they count as machines.
    """
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{started} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()
