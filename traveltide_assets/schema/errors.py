"""Base classes for errors with a message for users. Modules derive their own errors from these."""

from __future__ import annotations


class TravelTideError(Exception):
    """An error that a user can fix. The message says what is wrong, where, and what to do.

    `permanent` is True if a retry cannot help: the input, a setting or a permission is wrong.
    """

    permanent = True


class SettingsError(TravelTideError, ValueError):
    """A setting is wrong; the message names it, its value and what is accepted."""


class NotStored(TravelTideError):
    """The requested data is not in the lake; the message says what to materialize first."""


class ContractError(TravelTideError):
    """A table lacks columns that its contract requires."""
