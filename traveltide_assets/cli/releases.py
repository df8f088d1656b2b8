"""The output of `traveltide release`, `releases` and `mailing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traveltide_assets.campaign.suppression import read_suppressed
from traveltide_assets.cli.console import find_release, grid, print_notice, write
from traveltide_assets.connections.locations import PostgresLocation, parse_location
from traveltide_assets.resources import open_releases, open_storage
from traveltide_assets.schema.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from traveltide_assets.lake.release import Listed, Release, Releases
    from traveltide_assets.settings import Settings


def go_back(settings: Settings, releases: Releases, release_id: str) -> Release:
    """Make a release current again, without customers suppressed since."""
    return _up_to_date(settings, releases, releases.find(release_id))


def export(console: Console, settings: Settings, month: str | None, to: str) -> None:
    """Write the mailing files of the current release of a month, and print where they are."""
    from traveltide_assets.campaign import released

    location = parse_location(to)
    if isinstance(location, PostgresLocation):
        raise SettingsError("--to must be a folder or s3://bucket/prefix")
    made = _up_to_date(settings, open_releases(settings), find_release(settings, month))
    target = open_storage(location, settings.home / "cache", "--to")
    released.export(made, target)
    customers = made.manifest.customers["written_to"]
    write(console, f"Release {made.id} of {made.month}: files for {customers:,} customers")
    console.print(target.uri(), soft_wrap=True)
    write(console, f"When they are sent: `traveltide release --mailed {made.id}`")


def _up_to_date(settings: Settings, releases: Releases, release: Release) -> Release:
    from traveltide_assets.campaign import released

    suppressed = read_suppressed(settings.campaign.suppression_file)
    return released.reissue(releases, release, suppressed, settings.release.keep)


def print_current(console: Console, releases: Releases, made: Release) -> None:
    """Print which release is current, and the one that it replaced."""
    customers = made.manifest.customers
    print_notice(console, made)
    write(
        console,
        f"Release {made.id} of {made.month} is current: {customers['assigned']:,} customers, "
        f"{customers['written_to']:,} to write to",
    )
    if made.manifest.made_from:
        write(console, f"It is {made.manifest.made_from} without customers suppressed since.")
    console.print(made.uri(), soft_wrap=True)
    record = releases.record(made.month)
    others = [entry for entry in record.releases if entry.released and entry.id != made.id]
    if others:
        before = max(others, key=lambda entry: str(entry.released)).id
        write(console, f"To go back: `traveltide release --to {before}`")


def print_releases(console: Console, releases: Releases) -> None:
    """Print every release, latest month first."""
    found = sorted(releases.all(), key=lambda line: line.month, reverse=True)
    if not found:
        write(console, "Nothing is released yet. Run `traveltide run`, or `traveltide release`.")
        return
    table = grid(
        "month", "release", "state", "released", "mailed", "strategy", numbers=("customers",)
    )
    for line in found:
        manifest = line.release.manifest if line.release else None
        table.add_row(
            line.month,
            line.entry.id,
            _state(line),
            _day(line.entry.released),
            _day(line.mailed),
            str(manifest.decision["strategy"]) if manifest else "-",
            f"{manifest.customers['assigned']:,}" if manifest else "-",
        )
    console.print(table)


def _state(line: Listed) -> str:
    if line.release is None:
        return "damaged" if line.current else "incomplete"
    if line.current:
        return "current"
    return "earlier" if line.entry.released else "prepared"


def _day(moment: str | None) -> str:
    """A moment as `2026-11-28 22:30`, in UTC."""
    return "-" if moment is None else moment[:16].replace("T", " ")
