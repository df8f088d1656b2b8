"""Errors whose message is written for people. Each module derives its own from these."""

from __future__ import annotations


class TravelTideError(Exception):
    """Something a user can mend; the message says what is wrong, where, and what to do.

    `permanent` says whether trying again is pointless: the input, a setting or a right is wrong.
    """

    permanent = True


class SettingsError(TravelTideError, ValueError):
    """A setting is wrong; the message names it, its value and what is accepted."""


class NotStored(TravelTideError):
    """The lake lacks what was asked for; the message says what to materialise first."""


class ContractError(TravelTideError):
    """A table does not have the columns its contract promises."""
