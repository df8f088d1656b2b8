"""The command `traveltide`: its commands, and the text that they print.

`commands.py`, `desk.py`, `report.py` and `simulate.py` hold the commands, `console.py` the output;
`process.py` begins and ends the process. No computation belongs here.
"""

from traveltide_assets.cli import desk, report, simulate  # noqa: F401 - they add their commands
from traveltide_assets.cli.commands import main

__all__ = ["main"]
