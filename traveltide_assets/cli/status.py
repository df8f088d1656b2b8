"""The output of `traveltide status`: stored assets that are out of date, their months, and why."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console

from traveltide_assets.cli.console import write
from traveltide_assets.schema.months import next_month

if TYPE_CHECKING:
    from traveltide_assets.defs.staleness import Stale


def print_status(console: Console, stale: list[Stale], stored: int) -> None:
    """Print a paragraph per out-of-date asset, upstream first: its months and the reasons."""
    assets = list(dict.fromkeys(entry.asset for entry in stale))
    if not stored:
        write(console, "Nothing is stored yet. Run `traveltide run` first.")
        return
    if not assets:
        write(console, f"All {stored} stored assets are up to date.")
        return
    write(console, f"{len(assets)} of {stored} stored assets are out of date:")
    for asset in assets:
        own = [entry for entry in stale if entry.asset == asset]
        for (changes, rests_on), entries in groupby(own, lambda e: (e.changes, e.rests_on)):
            months = _months([entry.month for entry in entries if entry.month])
            console.print()
            write(console, f"{asset}{f', {months}' if months else ''}", indent=2)
            for change in changes:
                write(console, change, indent=4, hanging=6)
            if rests_on:
                write(console, f"depends on {', '.join(rests_on)}", indent=4, hanging=6)
    console.print()
    write(console, _advice(stale))


def _months(months: Iterable[str]) -> str:
    """Months as ranges: `2023-01 to 2023-03, 2023-06`."""
    blocks: list[list[str]] = []
    for month in sorted(months):
        if blocks and next_month(blocks[-1][-1]) == month:
            blocks[-1].append(month)
        else:
            blocks.append([month])
    return ", ".join(b[0] if len(b) == 1 else f"{b[0]} to {b[-1]}" for b in blocks)


def _advice(stale: Iterable[Stale]) -> str:
    decided = sorted({e.month for e in stale if e.month and e.asset.startswith("gold/")})
    commands = [f"`traveltide run --month {month}`" for month in decided] or ["`traveltide run`"]
    return f"To bring them up to date: {_listed(commands)}."


def _listed(commands: list[str]) -> str:
    return commands[0] if len(commands) == 1 else f"{', '.join(commands[:-1])} and {commands[-1]}"
