"""`traveltide desk` opens the browser once the pages answer; `traveltide export` writes a list."""

from __future__ import annotations

import threading
import time
import urllib.request
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from traveltide_assets.campaign.suppression import read_suppressed
from traveltide_assets.desk import lists
from traveltide_assets.desk.decision import Decisions
from traveltide_assets.desk.selection import Selection
from traveltide_assets.resources import open_lake
from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.schema.places import explained

if TYPE_CHECKING:
    from traveltide_assets.settings import Settings

HOST = "127.0.0.1"
_PATIENCE_SECONDS, _PAUSE_SECONDS = 60.0, 0.25


def open_when_served(port: int) -> None:
    """Open the browser as soon as the pages answer, while the service starts in this process."""
    threading.Thread(target=_open, args=(f"http://{HOST}:{port}/",), daemon=True).start()


def _open(address: str) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{address}health", timeout=2):  # noqa: S310 - this machine
                webbrowser.open(address)
                return
        except OSError:
            time.sleep(_PAUSE_SECONDS)


def export(settings: Settings, month: str | None, conditions: Sequence[str], to: Path) -> str:
    """Write the list of a selection to a file. Returns a sentence on who is in it."""
    ending = to.suffix.removeprefix(".").lower()
    if ending not in lists.FORMATS:
        raise SettingsError(f"--to {to}: the name must end with .{' or .'.join(lists.FORMATS)}")
    decision = Decisions(open_lake(settings).releases).current(month)
    suppressed = read_suppressed(settings.campaign.suppression_file)
    listing = lists.listed(decision, Selection.parse(conditions), suppressed)
    write, _ = lists.FORMATS[ending]
    content = write(listing.rows)
    with explained(to, "--to"):
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(content)
    return (
        f"{len(listing.rows):,} of the {listing.selected:,} customers selected in {decision.month} "
        f"are in {to}"
    )
