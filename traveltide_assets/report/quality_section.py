"""The report's section on data quality: rows read, kept and set aside, and the checks' limits."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from pydantic import BaseModel

from traveltide_assets.report import words
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.sources.tables import SESSIONS_UNDATED
from traveltide_assets.transforms.features.config import Policy


def row_counts(rows: Callable[[str], int]) -> pd.DataFrame:
    """A row per source table: rows read, processed, quarantined, and undated (without a month).

    `rows` gives the number of rows of a table by its path in the lake.
    """
    undated = {"sessions": rows(SESSIONS_UNDATED.path)}
    return pd.DataFrame(
        [
            {
                "table": name,
                "read": rows(f"bronze/{name}_raw") + undated.get(name, 0),
                "processed": rows(f"silver/{name}_processed"),
                "quarantined": rows(f"silver/{name}_quarantine"),
                "undated": undated.get(name, 0),
            }
            for name in SOURCES
        ]
    )


def quality(counts: pd.DataFrame) -> list[dict[str, str]]:
    """The counts as text, with the share that was quarantined."""
    return [
        {
            "table": row["table"],
            "read": f"{row['read']:,}",
            "processed": f"{row['processed']:,}",
            "quarantined": f"{row['quarantined']:,}",
            "share": words.percent(row["quarantined"] / max(row["read"], 1), 2),
            "undated": f"{row['undated']:,}" if row["table"] == "sessions" else words.NONE,
        }
        for _, row in counts.iterrows()
    ]


def limits(checks: BaseModel) -> list[tuple[str, str]]:
    """The limits of the checks that warn, with their meaning."""
    return [
        (field.description or name, f"{getattr(checks, name):g}")
        for name, field in type(checks).model_fields.items()
    ]


def forbidden(policy: Policy) -> str:
    """The features that may not be used, in words; empty if there are none."""
    names = [
        words.FEATURES[name].label if name in words.FEATURES else name.replace("_", " ")
        for name in policy.forbidden_features
    ]
    return words.listed(names) if names else ""
