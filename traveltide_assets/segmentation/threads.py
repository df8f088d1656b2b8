"""Numerical work on one thread: several add up in an order of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def one_thread() -> AbstractContextManager[Any]:
    """A block in which BLAS and OpenMP use one thread."""
    return _pools().limit(limits=1)


def side_by_side(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """The function of every item, in order; the calls share the cores, each on one thread."""
    # The limit is the whole process's: it must hold until the last call has ended.
    with one_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


@cache
def _pools() -> ThreadpoolController:
    # Looking for the pools takes longer than many a fit, so they are looked for once.
    return ThreadpoolController()
