"""The snapshot in service, and the loop that replaces it when the lake has changed.

Nothing about HTTP belongs here.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from traveltide_assets.lake.lake import Lake
from traveltide_assets.serving import scorer
from traveltide_assets.serving.config import Config
from traveltide_assets.serving.histories import HistoryFeatures
from traveltide_assets.serving.prometheus import Metrics
from traveltide_assets.serving.scorer import Snapshot

_P = ParamSpec("_P")
_T = TypeVar("_T")
_log = logging.getLogger("traveltide.serving")


class Service:
    """Holds the snapshot that requests are answered from. It is None until a month is decided.

    One thread does all slow work (batches and raw rows): other requests need not wait for it, and
    the DuckDB connection is used by one thread only.
    """

    def __init__(self, lake: Lake, settings: Config) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.snapshot: Snapshot | None = None
        self._lake = lake
        self._failed: scorer.State | None = None
        self._slow = ThreadPoolExecutor(1, "slow")
        # Compiling takes seconds, and models of the same month share the result.
        self._histories = functools.lru_cache(maxsize=1)(HistoryFeatures)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the lake's data, then check for changes until the service is stopped."""
        await asyncio.to_thread(self.refresh)
        watching = asyncio.create_task(self._watch())
        yield
        watching.cancel()
        self._slow.shutdown(cancel_futures=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.settings.poll_seconds)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Load the lake's data if it has changed. If that fails, the current snapshot stays."""
        current = None
        try:
            current = scorer.look(self._lake)
            known = self.snapshot.state if self.snapshot else None
            if current in (known, self._failed):
                return
            loaded = scorer.load(self._lake, self._histories)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the current model stays
            self._failed = current
            self.metrics.reloads.labels("failed").inc()
            kept = "the current model stays" if self.snapshot else "nothing is in service"
            _log.error("cannot load from the lake, %s: %s: %s", kept, type(error).__name__, error)
            return
        self._failed = None
        self.snapshot = loaded
        self.metrics.reloads.labels("loaded").inc()
        self.metrics.model.clear()
        if loaded is not None and loaded.scorer is not None:
            model = loaded.scorer.predictor
            self.metrics.model.labels(model.version, model.month).set(1)
            _log.info("model %s of %s is in service", model.version, model.month)

    async def in_background(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """The result of a slow function, run off the event loop and one at a time."""
        call = functools.partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._slow, call)
