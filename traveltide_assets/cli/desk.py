"""The commands of the marketing team: the desk in the browser, and lists of customers.

As in `commands.py`, each command imports what it needs.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import click

from traveltide_assets.cli.commands import RELEASED, main

_HOST = "127.0.0.1"
_PATIENCE_SECONDS, _PAUSE_SECONDS = 60.0, 0.25


@main.command(short_help="Open the pages of the marketing team in the browser.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on, at this machine only.",
)
@click.option("--open/--no-open", "opened", default=True, help="Whether to open the browser.")
def desk(port: int, opened: bool) -> None:
    """Open the desk: what was decided, for whom and why, as pages that read releases only.

    It is served until Ctrl-C, to this machine alone. `traveltide serve` has the same pages.
    """
    from traveltide_assets.resources import asking_again, load, open_lake
    from traveltide_assets.serving import server

    settings = load()
    if opened:
        address = f"http://{_HOST}:{port}/"
        threading.Thread(target=_open_when_served, args=(address,), daemon=True).start()
    server.serve(open_lake(asking_again(settings)), settings, _HOST, port)


@main.command(short_help="Write a list of customers as CSV or Excel.")
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="NAME=GROUP",
    help="A condition, such as age=35..44. Given again with the same name: either group.",
)
@RELEASED
@click.option(
    "--to",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; it ends with .csv or .xlsx.",
)
def export(conditions: tuple[str, ...], month: str | None, to: Path) -> None:
    """Write a list of the customers who meet every condition, from the current release of a month.

    \b
    traveltide export --to families.xlsx \\
        --where 'family=single with children' --where 'family=married with children'

    Names: segment, perk, age, family, spend, trips, nights, bags, lead, country, change, arm and
    contact. Customers who are held out are in it only with --where 'contact=held out'; those on
    today's suppression list never are.
    """
    from traveltide_assets.campaign.suppression import read_suppressed
    from traveltide_assets.resources import load, open_lake
    from traveltide_assets.schema.places import explained
    from traveltide_assets.serving.desk import lists
    from traveltide_assets.serving.desk.decision import Decisions
    from traveltide_assets.serving.desk.selection import Selection

    ending = to.suffix.removeprefix(".").lower()
    if ending not in lists.FORMATS:
        endings = " or .".join(lists.FORMATS)
        raise click.UsageError(f"--to {to}: the name must end with .{endings}")
    settings = load()
    decision = Decisions(open_lake(settings).releases).current(month)
    suppressed = read_suppressed(settings.campaign.suppression_file)
    listing = lists.listed(decision, Selection.parse(conditions), suppressed)
    write, _ = lists.FORMATS[ending]
    content = write(listing.rows)
    with explained(to, "--to"):
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(content)
    click.echo(
        f"{len(listing.rows):,} of the {listing.selected:,} customers selected in {decision.month} "
        f"are in {to}"
    )


def _open_when_served(address: str) -> None:
    """Open the browser as soon as the pages answer."""
    import urllib.request
    import webbrowser

    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{address}health", timeout=2):  # noqa: S310 - this machine
                webbrowser.open(address)
                return
        except OSError:
            time.sleep(_PAUSE_SECONDS)
