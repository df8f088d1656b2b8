"""The command as a process: how it begins and ends."""

from __future__ import annotations

import atexit
import os
import sys

from traveltide_assets.cli import main


def start() -> None:
    """Run the command, and end the process.

    Its modules are not taken apart first: those of a run took two seconds.
    """
    status: list[int] = []
    # Functions that are registered later are called earlier.
    atexit.register(_end, status)
    try:
        main(prog_name="traveltide")
    except SystemExit as ended:
        if isinstance(ended.code, int):
            status.append(ended.code)
        raise


def _end(status: list[int]) -> None:
    """End with the status, if there is one: after another error, Python ends as always."""
    if status:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # as where the shell has closed it
                stream.flush()
        os._exit(status[0])
