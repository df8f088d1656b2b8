"""Makes `python -m traveltide_assets` the same as `traveltide`."""

from traveltide_assets.cli.process import start

start()
