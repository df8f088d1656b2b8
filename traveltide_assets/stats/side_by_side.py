"""Independent calls side by side: each core computes some, in a process of its own.

Fits on some thousand rows hold Python's lock most of the time, so threads would wait for each
other. The processes start with nothing of this one, so that its threads and connections do not
matter. They are kept for the next calls, and end with this process or after minutes without a call.
"""

from __future__ import annotations

import atexit
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from multiprocessing import resource_tracker
from threading import Thread
from typing import Any, TypeVar

from joblib import Parallel, cpu_count, delayed

from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.stats.cycles import look_rarely

_Result = TypeVar("_Result")

# Each has a copy of what it works on, and the modules take some 200 MB.
_MOST_PROCESSES = 4
_MOST_ROWS = 50_000
_SECONDS = 2


class ProcessLost(TravelTideError):
    """A process ended amid a call; the message says what to do. The next calls get new ones."""

    permanent = False


def every_core() -> int:
    """The number of processes for the cores that this process may use."""
    return min(cpu_count(), _MOST_PROCESSES)


class Processes:
    """So many processes for calls. With one, calls are made in this one, one after the other."""

    def __init__(self, number: int, modules: Sequence[str] = ()) -> None:
        """Processes that start and import `modules` while this one does something else."""
        self._number = number
        self._modules = tuple(modules)
        self._start: Thread | None = None
        if number > 1:
            self._start = Thread(target=self._started, daemon=True)
            self._start.start()

    def each(
        self, function: Callable[..., _Result], calls: Iterable[Sequence[Any]], rows: int = 0
    ) -> list[_Result]:
        """The result of each call, in order. If calls fail, the error of one of them is raised.

        Raises `ProcessLost` if one of the processes was ended.
        `calls` are arguments. Frames of very many `rows` are not copied to other processes, since
        they would take too much memory: the calls are then made in this one.
        """
        if self._start is not None:
            self._start.join()
        return self._made(self._number if rows <= _MOST_ROWS else 1, function, calls)

    def _started(self) -> None:
        # They inherit the mask: Ctrl-C reaches all that a terminal runs, and they end with this.
        # Python's tracker of resources lifts it when it starts, so it must have.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self._made(self._number, os.getpid, [()] * self._number)

    def _made(
        self, number: int, function: Callable[..., _Result], calls: Iterable[Sequence[Any]]
    ) -> list[_Result]:
        # One thread each: results do not depend on the number of cores, and no core has two at
        # work. As copies, since arrays in shared memory could not be written to.
        parallel = Parallel(
            number,
            backend="loky",
            batch_size=1,
            max_nbytes=None,
            inner_max_num_threads=1,
            initializer=_begin,
            initargs=(os.getpid(), self._modules),
        )
        try:
            return list(parallel(delayed(function)(*arguments) for arguments in calls))
        except BrokenProcessPool as error:
            raise ProcessLost(
                "a process that fitted models was ended from outside. Likely memory ran out: give "
                f"the run more, or fit in fewer processes, such as LOKY_MAX_CPU_COUNT=1 ({error})"
            ) from error


ALONE = Processes(1)


def _begin(parent: int, modules: Sequence[str]) -> None:
    Thread(target=_end_with, args=(parent,), daemon=True).start()
    # To take its modules apart first would take half a second.
    atexit.register(os._exit, 0)
    look_rarely()
    for module in modules:
        import_module(module)


def _end_with(parent: int) -> None:
    """End this process once its parent has: one that was killed can no longer end it."""
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)
