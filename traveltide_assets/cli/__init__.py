"""`traveltide`: what a person types in a terminal, and what they read there.

`commands.py` holds the commands, `console.py` what they print. Nothing is computed here.
"""

from traveltide_assets.cli.commands import main

__all__ = ["main"]
