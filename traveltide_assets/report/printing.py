"""Prints a page to a PDF with a Chromium that is on the machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from traveltide_assets.schema.errors import TravelTideError

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_SECONDS = 300
# The same page and the same Chromium give the same bytes, so the time of printing is taken out.
_TIMES = re.compile(rb"/(?:CreationDate|ModDate) \(D:(?P<time>[^)]*)\)")
_NO_TIME = b"20000101000000+00'00'"


class NotPrinted(TravelTideError):
    """Chromium did not print. The message says what it said."""


def browser() -> str | None:
    """The Chromium that `CHROMIUM` names, or the first on the path; None if there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


def print_page(chromium: str, page: Path, to: Path) -> None:
    """Print a page to a PDF, on the paper that its style sheet names. Raises `NotPrinted`."""
    with tempfile.TemporaryDirectory(prefix="traveltide-print-") as folder:
        made = Path(folder) / "page.pdf"
        command = [
            chromium,
            "--headless",
            "--disable-gpu",
            "--no-pdf-header-footer",
            # The page loads nothing, and Chromium must not either.
            "--disable-background-networking",
            f"--user-data-dir={folder}/profile",
            f"--print-to-pdf={made}",
            # Chromium refuses its sandbox to the super-user, as in a container.
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            page.resolve().as_uri(),
        ]
        try:
            done = subprocess.run(  # noqa: S603 - the command is ours, but for where Chromium is
                command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotPrinted(f"{chromium} did not print {page}: {error}") from error
        if not made.is_file():
            said = done.stderr.strip().splitlines()
            raise NotPrinted(f"{chromium} did not print {page}: {said[-1] if said else 'no word'}")
        to.write_bytes(_TIMES.sub(_untimed, made.read_bytes()))


def _untimed(found: re.Match[bytes]) -> bytes:
    """The same entry with a fixed time of the same length, so that no offset moves."""
    length = len(found["time"])
    return found[0].replace(found["time"], _NO_TIME[:length].ljust(length, b"0"))
