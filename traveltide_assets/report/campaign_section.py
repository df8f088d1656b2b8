"""The report's section on the campaign: who is invited, and what changed since last month."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traveltide_assets.experiment.assignment import CONTROL_OFFER
from traveltide_assets.report import words


def context(manifest: Mapping[str, Any], titles: Mapping[str, str]) -> dict[str, Any]:
    """What the template shows of a campaign's manifest; `titles` maps perk ids to titles."""
    customers = manifest["customers"]
    return {
        "written_to": f"{customers['written_to']:,}",
        "held_out": words.counted(customers["held_out"], "customer"),
        "holdout_share": words.percent(manifest["holdout_share"]),
        "suppressed": words.counted(customers["suppressed"], "customer"),
        "below_minimum_age": words.counted(customers.get("below_minimum_age", 0), "customer"),
        "rows": [
            {
                "offer": _title(entry["perk"], titles),
                "headline": entry["headline"],
                "customers": f"{entry['customers']:,}",
                "files": [file["name"] for file in entry["files"]],
            }
            for entry in manifest["perks"]
        ],
        "running": manifest["experiment"]["running"],
    }


def _title(offer: str, titles: Mapping[str, str]) -> str:
    return "Control offer" if offer == CONTROL_OFFER else titles[offer]
