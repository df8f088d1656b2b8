"""Makes `python -m traveltide_assets` the same as `traveltide`."""

from traveltide_assets.cli import main

main(prog_name="traveltide")
