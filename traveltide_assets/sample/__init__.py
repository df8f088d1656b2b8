"""A generator of raw tables that resemble the real ones, at any size.

It does not depend on the lake or the assets: it only writes files that a source can read.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from traveltide_assets.sample.spec import PERKS, SampleSpec

if TYPE_CHECKING:
    from traveltide_assets.sample.write import TRUTH, is_truth, write_sample

__all__ = ["PERKS", "TRUTH", "SampleSpec", "is_truth", "write_sample"]


def __getattr__(name: str) -> Any:
    """What writes a sample. It is imported on first use, as settings need only what one is."""
    if name in __all__:
        return getattr(import_module(f"{__name__}.write"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
