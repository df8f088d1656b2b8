"""A generator of raw tables that resemble the real ones, at any size.

It does not depend on the lake or the assets: it only writes files that a source can read.
"""

from traveltide_assets.sample.spec import PERKS, SampleSpec
from traveltide_assets.sample.write import TRUTH, is_truth, write_sample

__all__ = ["PERKS", "TRUTH", "SampleSpec", "is_truth", "write_sample"]
