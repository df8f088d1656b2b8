"""Deterministic bucketing: one number in [0, 1) per customer from a salted hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

_BITS = 53  # A float64 holds 53 bits exactly, so no number is rounded up to 1.


def draws(users: Iterable[int], salt: str) -> np.ndarray:
    """One number in [0, 1) per customer, in the order of `users`.

    It depends only on the customer and the salt, so it is the same in every month.
    """
    digests = b"".join(hashlib.sha256(f"{salt}:{user}".encode()).digest()[:8] for user in users)
    return (np.frombuffer(digests, ">u8") >> np.uint64(64 - _BITS)) / float(2**_BITS)
