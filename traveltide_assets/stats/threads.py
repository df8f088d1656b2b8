"""Numerical work on one thread: several add up in an order of their own."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[Any]:
    """A block in which BLAS and OpenMP use one thread."""
    return _pools().limit(limits=1)


@cache
def _pools() -> ThreadpoolController:
    # Looking for the pools takes longer than many a fit, so they are looked for once.
    return ThreadpoolController()
