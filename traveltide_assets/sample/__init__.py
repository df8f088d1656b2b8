"""A generator of raw tables that look like the real ones, at any size.

It knows nothing of the lake or of the assets: it writes files that a source can read.
"""

from traveltide_assets.sample.spec import PERKS, SampleSpec
from traveltide_assets.sample.write import write_sample

__all__ = ["PERKS", "SampleSpec", "write_sample"]
