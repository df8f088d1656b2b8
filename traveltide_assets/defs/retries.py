"""Retry policies of steps and runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from traveltide_assets.defs import tags
from traveltide_assets.schema.errors import TravelTideError

# For reads of a source, or of a lake in S3, that is briefly unavailable.
READ_RETRIES = dg.RetryPolicy(
    max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
# A crashed run restarts from the beginning. The source may have changed since its first steps
# copied it, and reconciliation would then fail.
WHOLE = {tags.RETRY_STRATEGY: "ALL_STEPS"}


@contextmanager
def permanent_errors_end_the_step() -> Iterator[None]:
    """Tells Dagster not to retry an error that a retry cannot fix: wrong data stays wrong.

    Only our own errors know that they may pass, and those of a network.
    """
    try:
        yield
    except (ConnectionError, TimeoutError):
        raise
    except TravelTideError as error:
        if not error.permanent:
            raise
        raise dg.Failure(str(error), allow_retries=False) from error
    except Exception as error:
        name = type(error).__name__
        raise dg.Failure(f"{name}: {error}", allow_retries=False) from error
