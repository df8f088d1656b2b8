"""The memory that request bodies may take together."""

from __future__ import annotations


class NoRoom(Exception):
    """Other bodies hold all the memory there is for bodies."""


class Share:
    """What one body holds of the budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held = 0

    def take(self, size: int) -> None:
        """Hold so many bytes more. `NoRoom` if they are not there: to wait could be for ever."""
        if self._budget.held + size > self._budget.limit:
            raise NoRoom
        self._budget.held += size
        self.held += size

    def give_back(self) -> None:
        """Hold nothing any more."""
        self._budget.held -= self.held
        self.held = 0


class Budget:
    """Bytes of request bodies held at once. What a client has not sent yet takes none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def share(self) -> Share:
        """A share, which is to be given back."""
        return Share(self)
