"""The table of an attack: how often each kind was tried, and how often it was survived."""

from __future__ import annotations

import sys


class Tally:
    """Counts what was tried and survived, by kind."""

    def __init__(self, attack: str) -> None:
        self._attack = attack
        self._results: dict[str, list[bool]] = {}
        self._problems: list[str] = []

    def add(self, kind: str, survived: bool, problem: str = "") -> None:
        """Count one attempt. `problem` says what happened if it was not survived."""
        self._results.setdefault(kind, []).append(survived)
        mark = "survived" if survived else f"NOT SURVIVED {problem}"
        print(f"  {self._attack}: {kind}: {mark}", file=sys.stderr, flush=True)
        if not survived:
            self._problems.append(f"{kind}: {problem}")

    def show(self) -> None:
        """Print the table and every problem. Exits with 1 if something was not survived."""
        width = max(map(len, [self._attack, *self._results]))
        print(f"{self._attack:<{width}}  tried  survived")
        for kind, results in self._results.items():
            print(f"{kind:<{width}}  {len(results):>5}  {sum(results):>8}")
        for problem in self._problems:
            print(f"- {problem}")
        print(flush=True)
        if self._problems:
            sys.exit(1)
