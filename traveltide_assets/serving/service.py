"""The snapshot in service, and the loop that replaces it when the lake has changed.

Nothing about HTTP belongs here.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from traveltide_assets.lake.lake import Lake
from traveltide_assets.serving import scorer
from traveltide_assets.serving.budget import Budget
from traveltide_assets.serving.config import Config
from traveltide_assets.serving.events import EventLog
from traveltide_assets.serving.histories import Plans
from traveltide_assets.serving.messages import Questions
from traveltide_assets.serving.prometheus import Metrics
from traveltide_assets.serving.scorer import NotUsable, Snapshot
from traveltide_assets.serving.workers import Workers

_log = logging.getLogger("traveltide.serving")
_FIRST_LOAD_SECONDS = 30.0
_LONGEST_PAUSE = 60.0

AWAY = "the lake cannot be read"
EMPTY = "the lake holds no decided month any more"
UNUSABLE = "what the lake holds now cannot be used"
PROBLEMS = (AWAY, EMPTY, UNUSABLE)
# Compiling takes a second, and models of the same month share the result.
_plans = functools.lru_cache(maxsize=1)(Plans.of)


class Service:
    """Holds the snapshot that requests are answered from. It is None until a month is decided.

    A snapshot stays until a newer one is loaded whole. `problem` says why it may be old, and
    `confirmed` when it was last known to be what the lake holds (seconds since 1970).
    """

    def __init__(self, lake: Lake, settings: Config) -> None:
        self.settings = settings
        self.metrics = Metrics(self.age, PROBLEMS)
        self.workers = Workers(settings, self.metrics)
        self.questions = Questions(settings.max_batch)
        self.budget = Budget(settings.max_bytes_in_flight)
        self.events = EventLog(settings)
        self.snapshot: Snapshot | None = None
        self.problem: str | None = None
        self.since: float | None = None
        self.confirmed: float | None = None
        self._lake = lake
        self._unusable: scorer.State | None = None
        self._failures = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the lake's data, then check for changes until the service is stopped.

        A first load that takes long is not waited for, so that `/health` answers meanwhile.
        """
        self.workers.start()
        looked = asyncio.Event()
        watching = asyncio.create_task(self._watch(looked))
        try:
            await asyncio.wait([asyncio.create_task(looked.wait())], timeout=_FIRST_LOAD_SECONDS)
            yield
        finally:
            watching.cancel()
            await self.workers.stop()

    async def _watch(self, looked: asyncio.Event) -> None:
        while True:
            await asyncio.to_thread(self.refresh)
            looked.set()
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        """Seconds until the next look: longer after each failure in a row, a minute at most."""
        usual = self.settings.poll_seconds
        return min(usual * 2 ** min(self._failures, 16), max(usual, _LONGEST_PAUSE))

    def age(self) -> float | None:
        """Seconds since the snapshot was last known to be what the lake holds."""
        return None if self.confirmed is None else max(time.time() - self.confirmed, 0.0)

    @property
    def notice(self) -> str | None:
        """The first line of whatever shows what is in service; None if its data is real."""
        return None if self.snapshot is None else self.snapshot.notice

    @property
    def stale(self) -> bool:
        """Whether the snapshot is older than the settings allow."""
        age, limit = self.age(), self.settings.max_age_seconds
        return age is not None and limit is not None and age > limit

    def refresh(self) -> None:
        """Load the lake's data if it has changed. If that fails, the current snapshot stays.

        What cannot be used is not tried again until the lake changes. Anything else may pass, so
        it is.
        """
        current = None
        try:
            current = scorer.look(self._lake)
            if current == self._unusable:
                self._fail(UNUSABLE, "as before")
            elif self.snapshot is None or current != self.snapshot.state:
                self._take(scorer.load(self._lake, _plans))
            else:
                self._confirm()
        except NotUsable as error:
            self._unusable, self._failures = current, 0
            self._fail(UNUSABLE, str(error))
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the current model stays
            self._failures += 1
            self._fail(AWAY, f"{type(error).__name__}: {error}")

    def _take(self, loaded: Snapshot | None) -> None:
        if loaded is None:
            self._failures = 0
            if self.snapshot is not None:
                self._fail(EMPTY, "an unmounted folder, an emptied prefix or another lake?")
            else:
                self.problem = None
            return
        self.snapshot, self.since = loaded, time.time()
        self.metrics.reloads.labels("loaded").inc()
        self.metrics.since.set(self.since)
        self.metrics.model.clear()
        if loaded.scorer is not None:
            model = loaded.scorer.predictor
            self.metrics.model.labels(model.version, model.month).set(1)
            _log.info("model %s of %s is in service", model.version, model.month)
        self._confirm()

    def _confirm(self) -> None:
        """Note that the snapshot is what the lake holds."""
        if self.problem is not None:
            _log.info("the lake can be read again, what is in service is what it holds")
        self.problem, self._unusable, self._failures = None, None, 0
        self.confirmed = time.time()
        self.metrics.problem(None)

    def _fail(self, problem: str, details: str) -> None:
        if problem == self.problem and problem != AWAY:
            return
        self.problem = problem
        self.metrics.problem(problem)
        self.metrics.reloads.labels("failed").inc()
        kept = "the current model stays" if self.snapshot else "nothing is in service"
        _log.error("%s, %s: %s", problem, kept, details)
