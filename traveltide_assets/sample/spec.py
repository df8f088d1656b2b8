"""What to generate: the size and character of a sample."""

from __future__ import annotations

from dataclasses import dataclass

PERKS = (
    "free_hotel_meal",
    "free_checked_bag",
    "no_cancellation_fees",
    "exclusive_discounts",
    "free_hotel_night_with_flight",
)
"""Identifiers of the perks a user may have as favourite."""

MOST_USERS = 100_000_000
"""Sign-ups stay far below the identifiers that damaged rows use for users who do not exist."""


@dataclass(frozen=True)
class SampleSpec:
    """The parameters of a sample; the same values always give the same bytes.

    `active_share` is the share of users who visit eight times or more from 2023-01-04 on (5,998
    of the 1,020,926 real users). `affinity` goes from 0, where favourite perks do not show, to 1,
    where they shape everything their owner does. `dirt` is the share of rows damaged on purpose.
    `alike` users behave the same whatever their age and family, which real ones do not, and
    whatever they did before: their cancellations come on top of their visits, not in their place.
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
            raise ValueError(f"seed must not be negative, it is {self.seed}")
        for name in ("active_share", "affinity", "dirt"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must be between 0 and 1, not {value}")
