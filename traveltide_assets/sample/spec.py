"""The parameters of a sample."""

from __future__ import annotations

from dataclasses import dataclass

PERKS = (
    "free_hotel_meal",
    "free_checked_bag",
    "no_cancellation_fees",
    "exclusive_discounts",
    "free_hotel_night_with_flight",
)
"""Identifiers of the perks that a user may favour."""

MOST_USERS = 100_000_000
"""Keeps identifiers of users far below those that damaged rows use for users who do not exist."""


@dataclass(frozen=True)
class SampleSpec:
    """The parameters of a sample. The same values always give the same bytes.

    `active_share` is the share of users with eight or more visits since 2023-01-04 (5,998 of the
    1,020,926 real users). `affinity` goes from 0, where favourite perks have no effect, to 1, where
    they affect everything that a user does. `dirt` is the share of rows damaged on purpose. With
    `alike`, behaviour does not depend on age and family, as it does for real users, nor on what
    users did before: cancellations are added to their visits and do not replace any.
    """

    users: int = 20_000
    seed: int = 7
    active_share: float = 0.00588
    affinity: float = 0.0
    dirt: float = 0.0
    alike: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.users <= MOST_USERS:
            raise ValueError(f"users must be between 1 and {MOST_USERS:,}, not {self.users}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, not {self.seed}")
        for name in ("active_share", "affinity", "dirt"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must be between 0 and 1, not {value}")
