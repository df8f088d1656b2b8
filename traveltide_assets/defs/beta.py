"""Features of Dagster that are in beta and relied on all the same: tests pin what they do."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg


@contextmanager
def relied_on() -> Iterator[None]:
    """A block in which Dagster does not warn of features in beta or in preview."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        yield
