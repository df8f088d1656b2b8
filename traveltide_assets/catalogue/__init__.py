"""What a marketer edits, as TOML files, and what reads them. How perks are assigned is elsewhere."""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Where the catalogue files lie."""
