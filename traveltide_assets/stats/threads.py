"""Single-threaded numerical work, so that results do not depend on the order of summation."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


def use_one_thread() -> None:
    """Limit BLAS and OpenMP to one thread for the rest of the process.

    Results then do not depend on the number of cores. It is faster as well: on a few thousand rows,
    threads spend most of their time waiting for each other, at full load. DuckDB has its own.
    """
    _pools().limit(limits=1)


def one_thread() -> AbstractContextManager[Any]:
    """A context manager that limits BLAS and OpenMP to one thread.

    Several threads add floats in varying order, so their results differ in the last bits.
    """
    return _pools().limit(limits=1)


@cache
def _pools() -> ThreadpoolController:
    # Finding the thread pools takes longer than many fits, so it is done once.
    return ThreadpoolController()
