"""The files of the mailing tool: a CSV and a Parquet file per perk, and a manifest of them all.

The manifest is written last, so a reader who compares its checksums never takes half a campaign
for a whole one. CSV is UTF-8 with a header and one line per customer.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from traveltide_assets.campaign.invitations import CHANGES, written_to
from traveltide_assets.campaign.suppression import Suppressed
from traveltide_assets.segmentation.perks import Perk

PATH, MANIFEST = "gold/campaign_files", "manifest.json"
COLUMNS = ("user_id", "perk", "headline", "segment")
_SCHEMA = pa.schema(
    [("user_id", pa.int64()), *((name, pa.string()) for name in COLUMNS if name != "user_id")]
)
# A spreadsheet takes a cell that starts so for a formula; a quote in front makes it text.
_FORMULA = ("=", "+", "-", "@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True)
class Facts:
    """What the manifest tells of a campaign besides its files."""

    month: str
    cohort_rule: str
    strategy: str
    model_version: str
    holdout_share: float
    experiment: Mapping[str, Any]
    compared_with: str | None


def files(campaign: pd.DataFrame) -> dict[str, bytes]:
    """The content of each file by name: `<perk>.csv` and `<perk>.parquet`, rows by `user_id`."""
    made = {}
    for perk, rows in written_to(campaign).groupby("perk", sort=True):
        shown = rows[list(COLUMNS)].sort_values("user_id")
        made[f"{perk}.csv"] = to_csv(shown)
        made[f"{perk}.parquet"] = _to_parquet(shown)
    return made


def to_csv(rows: pd.DataFrame) -> bytes:
    """Rows as CSV, a line each, that no spreadsheet takes for formulas."""
    texts = rows.select_dtypes(exclude="number").columns
    safe = rows.assign(**{name: rows[name].map(_as_text) for name in texts})
    return safe.to_csv(index=False, lineterminator="\n").encode()


def _as_text(cell: str) -> str:
    line = _CONTROL.sub(" ", cell).strip()
    return f"'{line}" if line.startswith(_FORMULA) else line


def _to_parquet(rows: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    table = pa.Table.from_pandas(rows, schema=_SCHEMA, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(None), buffer, compression="zstd")
    return buffer.getvalue()


def manifest(
    campaign: pd.DataFrame,
    changes: pd.DataFrame,
    made: Mapping[str, bytes],
    assigned: int,
    suppressed: Suppressed,
    perks: tuple[Perk, ...],
    facts: Facts,
) -> dict[str, Any]:
    """Counts, checksums, and what the campaign rests on; `assigned` customers have a perk."""
    rows = written_to(campaign)
    counted = changes["change"].value_counts()
    return {
        "month": facts.month,
        "cohort_rule": facts.cohort_rule,
        "strategy": facts.strategy,
        "model_version": facts.model_version,
        "perk_catalogue_version": catalogue_version(perks),
        "customers": {
            "assigned": assigned,
            "written_to": len(rows),
            "held_out": int(campaign["holdout"].sum()),
            "suppressed": assigned - len(campaign),
        },
        "holdout_share": facts.holdout_share,
        "suppression_list_sha256": suppressed.digest,
        "experiment": dict(facts.experiment),
        "perks": [
            {
                "perk": perk,
                "headline": group["headline"].iloc[0],
                "customers": len(group),
                "files": [_described(f"{perk}.{kind}", made) for kind in ("csv", "parquet")],
            }
            for perk, group in rows.groupby("perk", sort=True)
        ],
        "changes": {
            "compared_with": facts.compared_with,
            **{
                kind: int(counted.get(kind, 0)) if facts.compared_with else None for kind in CHANGES
            },
        },
    }


def _described(name: str, made: Mapping[str, bytes]) -> dict[str, Any]:
    content = made[name]
    return {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def catalogue_version(perks: tuple[Perk, ...]) -> str:
    """Hash of everything the perk catalogue says."""
    said = json.dumps([perk.model_dump(mode="json") for perk in perks], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:12]
