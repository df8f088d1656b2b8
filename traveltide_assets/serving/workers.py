"""The processes that answer batches and raw rows, from the side of the service.

A question is answered by one process. If that takes too long, or nobody waits for the answer any
more, the process is ended and another started: a thread could not be ended, and would hold up the
questions behind it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from traveltide_assets.serving.config import Config
from traveltide_assets.serving.prometheus import Metrics
from traveltide_assets.serving.scorer import Scorer
from traveltide_assets.serving.worker import ANSWER, MODEL, QUESTION, head

_log = logging.getLogger("traveltide.serving")
_PIECE = 65_536
_PAUSE = 2.0
# One thread each: the processes share the machine with the service.
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# Memory of large questions goes back to the system.
_MEMORY = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}


class Busy(Exception):
    """So many questions wait that another would not be answered in time."""


class Ended(Exception):
    """The process ended while it worked on the question."""


@dataclass(frozen=True)
class Answer:
    """The answer to a question: HTTP status, number of customers scored, and JSON.

    For status 500 the text is the place of the error, for the log. `last`: the process ends.
    """

    status: int
    customers: int
    last: bool
    text: bytes


class Worker:
    """One process. It holds the model of its last question."""

    def __init__(self, process: Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("the process has no pipes")
        self._process, self._input, self._output = process, process.stdin, process.stdout
        self._model: Scorer | None = None

    @classmethod
    async def start(cls, settings: Config) -> Worker:
        """A process that is ready for questions."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "traveltide_assets.serving.worker"),
            *("--max-batch", str(settings.max_batch)),
            *("--memory-mb", str(settings.worker_memory_mb)),
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, **_THREADS, **_MEMORY},
            # Ctrl-C reaches whatever the terminal runs, and one that starts would print a trace.
            start_new_session=True,
        )
        worker = cls(process)
        try:
            await worker._receive()
        except BaseException:
            await worker.stop()
            raise
        return worker

    async def take(self, scorer: Scorer) -> None:
        """Make the process hold a model. `Ended` if the process is gone."""
        if self._model is not scorer:
            await self._exchange([MODEL, *scorer.to_parts()])
            self._model = scorer

    async def ask(self, body: bytes | bytearray) -> Answer:
        """The answer to the question in a body. `Ended` if the process is gone."""
        facts, text = await self._exchange([QUESTION, body])
        status, customers, last = ANSWER.unpack(facts)
        return Answer(status, customers, last, text)

    async def _exchange(self, parts: Sequence[bytes | bytearray]) -> list[bytes]:
        try:
            await self._send(parts)
            return await self._receive()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise Ended from error

    async def stop(self) -> None:
        """End the process, whatever it does, and wait until it and its pipes are closed."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate(b"")
        with suppress(ConnectionError):
            await self._input.wait_closed()

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def _send(self, parts: Sequence[bytes | bytearray]) -> None:
        self._input.write(head(parts))
        for part in parts:
            # In pieces, because what cannot be written at once is copied.
            view = memoryview(part)
            for start in range(0, len(part), _PIECE):
                self._input.write(view[start : start + _PIECE])
                await self._input.drain()

    async def _receive(self) -> list[bytes]:
        read = self._output.readexactly
        (number,) = struct.unpack("<I", await read(4))
        lengths = struct.unpack(f"<{number}Q", await read(8 * number))
        return [await read(length) for length in lengths]


class Workers:
    """The processes of a service, and the questions that wait for one."""

    def __init__(self, settings: Config, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._free: asyncio.Queue[Worker] = asyncio.Queue()
        self._all: set[Worker] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        self._waiting = 0

    def start(self) -> None:
        """Start all processes, without waiting for them."""
        for _ in range(self._settings.workers):
            self._add()

    async def stop(self) -> None:
        """End all processes."""
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._all), *self._stopping)

    async def ask(self, scorer: Scorer, body: bytes | bytearray) -> Answer:
        """The answer to the question in a body.

        `Busy` if too many questions wait, `TimeoutError` if the work takes too long, `Ended` if the
        process ends over it.
        """
        if self._waiting >= self._settings.max_waiting:
            raise Busy
        self._waiting += 1
        try:
            worker = await self._next()
        finally:
            self._waiting -= 1
        try:
            await worker.take(scorer)
            async with asyncio.timeout(self._settings.work_seconds):
                answer = await worker.ask(body)
        except BaseException as error:
            self._replace(worker, type(error).__name__)
            raise
        if answer.last:
            self._replace(worker, "MemoryError")
        else:
            self._free.put_nowait(worker)
        return answer

    async def _next(self) -> Worker:
        while not (worker := await self._free.get()).alive:
            self._replace(worker, "Ended")
        return worker

    def _replace(self, worker: Worker, why: str) -> None:
        task = asyncio.create_task(worker.stop())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
        self._all.discard(worker)
        self._metrics.ended.labels(why).inc()
        _log.warning("a process was ended over a question and another is started: %s", why)
        self._add()

    def _add(self) -> None:
        task = asyncio.create_task(self._start())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start(self) -> None:
        while True:
            try:
                worker = await Worker.start(self._settings)
            except (OSError, asyncio.IncompleteReadError) as error:
                _log.error("a process for batches cannot be started, trying again: %s", error)
                await asyncio.sleep(_PAUSE)
                continue
            self._all.add(worker)
            self._free.put_nowait(worker)
            return
