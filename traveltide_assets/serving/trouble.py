"""What is said about an unexpected error."""

from __future__ import annotations

import traceback


class WorkFailed(Exception):
    """An unexpected error in another process. The message is its `place_of`."""


def place_of(error: BaseException) -> str:
    """Type and location of an error, without its message, which might quote the request."""
    if isinstance(error, WorkFailed):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name}, {frame.filename}:{frame.lineno}"
