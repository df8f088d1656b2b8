"""The learned policy that decides a month."""

from __future__ import annotations

from traveltide_assets.experiment.learned_policy import PATH, LearnedPolicy
from traveltide_assets.lake.lake import Lake


def in_service(lake: Lake, month: str) -> LearnedPolicy | None:
    """The policy that the latest month before this one put in service; None if it put none.

    It is read from the lake and is no input of the assets that use it: it is learned from what came
    of earlier months' decisions, so the graph of assets would have a cycle.
    """
    before = [each for each in lake.months(PATH) if each < month]
    return LearnedPolicy.from_frame(lake.frame(PATH, max(before))) if before else None
