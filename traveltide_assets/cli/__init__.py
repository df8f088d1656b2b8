"""The command `traveltide`: its commands, and the text that they print.

`commands.py`, `desk.py` and `report.py` hold the commands, `console.py` the output. No computation
belongs here.
"""

from traveltide_assets.cli import desk, report  # noqa: F401 - they add their commands
from traveltide_assets.cli.commands import main

__all__ = ["main"]
