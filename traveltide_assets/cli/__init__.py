"""The command `traveltide`: its commands, and the text that they print.

`commands.py` holds the commands, `console.py` the output. No computation belongs here.
"""

from traveltide_assets.cli.commands import main

__all__ = ["main"]
