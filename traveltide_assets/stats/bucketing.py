"""Who is drawn: a number per customer from a salted hash, the same in every month and order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

_BITS = 53  # What a float64 holds exactly, so that no number is rounded up to 1.


def draws(users: Iterable[int], salt: str) -> np.ndarray:
    """A number in [0, 1) per customer; it depends on the customer and the salt alone."""
    digests = b"".join(hashlib.sha256(f"{salt}:{user}".encode()).digest()[:8] for user in users)
    return (np.frombuffer(digests, ">u8") >> np.uint64(64 - _BITS)) / float(2**_BITS)
