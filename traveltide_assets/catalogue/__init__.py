"""The TOML files that a marketer edits, and their loader. Perks are assigned in `segmentation/`."""

from pathlib import Path

FOLDER = Path(__file__).parent
"""The folder of the catalogue files."""
