"""Use of Dagster features that are still in beta. Tests pin the behaviour that we rely on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg


@contextmanager
def relied_on() -> Iterator[None]:
    """A block in which Dagster does not warn about beta and preview features."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        yield
