"""The output of `traveltide status`: stored assets that are out of date, their months, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console

from traveltide_assets.cli.console import write
from traveltide_assets.schema.months import next_month

if TYPE_CHECKING:
    from traveltide_assets.defs.staleness import Stale
    from traveltide_assets.lake.lease import Lease


_HELD = {
    True: "Its process is gone, so the next run takes the lake over.",
    False: "Its process is alive. Other runs wait for it.",
    None: "Its process cannot be seen from this machine. Other runs wait for it, unless it gives "
    "no sign of life any more.",
}
_DOWNSTREAM = "downstream of these"


def print_holder(console: Console, lease: Lease) -> None:
    """Name the run that is at work on the lake, if there is one."""
    holder = lease.holder
    if holder is not None:
        write(console, f"In use by {holder}. {_HELD[lease.is_gone(holder)]}")
        console.print()


def print_status(console: Console, stale: list[Stale], stored: int) -> None:
    """Print a paragraph per reason: the assets that are out of date because of it, by month."""
    assets = {entry.asset for entry in stale}
    if not stored:
        write(console, "Nothing is stored yet. Run `traveltide run` first.")
        return
    if not assets:
        write(console, f"All {stored} stored assets are up to date.")
        return
    write(console, f"{len(assets)} of {stored} stored assets are out of date:")
    reasons: dict[str, list[Stale]] = {}
    for entry in stale:
        for reason in entry.changes or (_DOWNSTREAM,):
            reasons.setdefault(reason, []).append(entry)
    for reason in sorted(reasons, key=lambda reason: reason == _DOWNSTREAM):
        console.print()
        write(console, reason, indent=2)
        for months, names in _by_months(reasons[reason]).items():
            write(console, f"{f'{months}: ' if months else ''}{', '.join(names)}", 4, 6)
    console.print()
    write(console, _advice(stale))


def _by_months(entries: Iterable[Stale]) -> dict[str, list[str]]:
    """The assets that are out of date in the same months, upstream first."""
    months: dict[str, list[str]] = {}
    for entry in entries:
        months.setdefault(entry.asset, []).extend([entry.month] if entry.month else [])
    found: dict[str, list[str]] = {}
    for asset, of_asset in months.items():
        found.setdefault(_months(of_asset), []).append(asset)
    return found


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
