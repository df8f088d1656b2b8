"""The command `traveltide`: its commands, and the text that they print.

`commands.py` and `desk.py` hold the commands, `console.py` the output. No computation belongs here.
"""

from traveltide_assets.cli import desk  # noqa: F401 - it adds its commands
from traveltide_assets.cli.commands import main

__all__ = ["main"]
