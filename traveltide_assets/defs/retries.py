"""What is tried again, and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from traveltide_assets.defs import tags
from traveltide_assets.schema.errors import TravelTideError

# For reads of a source, or of a lake in S3, that is away for a moment.
READ_RETRIES = dg.RetryPolicy(
    max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
# A run that crashed is started again from its beginning: a source that goes on changing is not what
# its first steps have copied, and reconciliation would say so.
WHOLE = {tags.RETRY_STRATEGY: "ALL_STEPS"}


@contextmanager
def permanent_errors_end_the_step() -> Iterator[None]:
    """Tells Dagster not to retry what trying again cannot mend: wrong data stays wrong."""
    try:
        yield
    except TravelTideError as error:
        if not error.permanent:
            raise
        raise dg.Failure(str(error), allow_retries=False) from error
