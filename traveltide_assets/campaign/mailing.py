"""The files of the mailing tool: a CSV and a Parquet file per perk, and a manifest of them all.

The files are made of the campaign's table whenever they are needed, always with the same bytes. CSV
files are UTF-8 with a header and one line per customer. In the lake they are part of a release, so
none of them can be read before the campaign has passed its checks.
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

from traveltide_assets.campaign.config import Config, Exploration
from traveltide_assets.campaign.invitations import CHANGES, changed, invite, written_to
from traveltide_assets.campaign.offers import ARMS as OFFER_ARMS
from traveltide_assets.campaign.offers import CONTROL_ARM, DECIDED, HELD_OUT
from traveltide_assets.campaign.suppression import Suppressed, read_suppressed
from traveltide_assets.catalogue.perks import NO_OFFER, Perk, catalogue_version
from traveltide_assets.experiment import periods
from traveltide_assets.experiment.assignment import ARMS, headlines
from traveltide_assets.experiment.config import Config as ExperimentConfig
from traveltide_assets.lake.lake import Lake
from traveltide_assets.schema.months import previous_month

MANIFEST = "manifest.json"
# The facts lie beside the table `gold/campaign`. They hold no customer.
PATH, FACTS = "gold/campaign", "facts.json"
COLUMNS = ("user_id", "perk", "headline", "segment")
_SCHEMA = pa.schema(
    [("user_id", pa.int64()), *((name, pa.string()) for name in COLUMNS if name != "user_id")]
)
# A spreadsheet treats a cell that starts like this as a formula. A quote in front makes it text.
_FORMULA = ("=", "+", "-", "@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True)
class Mailing:
    """A month's campaign: its tables, and the facts about it, which become the manifest."""

    campaign: pd.DataFrame
    changes: pd.DataFrame
    facts: Mapping[str, Any]


def prepare(
    month: str,
    config: Config,
    experiment: ExperimentConfig,
    exploration: Exploration,
    cohort_rule: str,
    perks: tuple[Perk, ...],
    assigned: pd.DataFrame,
    offers: pd.DataFrame,
    arms: pd.DataFrame,
    before: pd.DataFrame | None,
    young: frozenset[int],
) -> Mailing:
    """The campaign of a month.

    `assigned` are the perks of the month, `offers` what is offered, `arms` the random assignment of
    the experiment, `before` is last month's campaign, `young` are the customers below the minimum
    age.
    """
    listed = read_suppressed(config.suppression_file)
    suppressed = listed.with_others(young)
    running = periods.runs_in_campaign(experiment, month)
    known = offers.set_index("user_id")
    said = headlines(perks, experiment)
    campaign = invite(assigned, suppressed, config, said, known["offer"])
    otherwise = known.loc[~known["because"].isin([DECIDED, CONTROL_ARM, HELD_OUT]), "because"]
    changes = changed(campaign, before, suppressed, assigned, otherwise)
    rests_on = {
        "month": month,
        "cohort_rule": cohort_rule,
        "strategy": ", ".join(assigned["strategy"].unique()),
        "model_version": ", ".join(sorted(assigned["model_version"].unique())),
        "perk_catalogue_version": catalogue_version(perks),
        "policy_version": ", ".join(sorted(offers["policy_version"].unique())),
    }
    facts = {
        **rests_on,
        "customers": counted(campaign, assigned["user_id"], listed),
        "holdout_share": config.holdout_share,
        "exploration_share": exploration.share,
        "suppression_list_sha256": listed.digest,
        "experiment": _experiment(experiment, running, arms),
        "arms": described_by_arm(offers[offers["user_id"].isin(campaign["user_id"])]),
        "perks": described_by_perk(campaign),
        "changes": summary(changes, None if before is None else previous_month(month)),
    }
    return Mailing(campaign, changes, facts)


def read_facts(lake: Lake, month: str) -> dict[str, Any]:
    """The facts of a month's campaign in the lake."""
    return json.loads(lake.read_bytes(PATH, month, FACTS))


def folder(campaign: pd.DataFrame, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """Every file that the mailing tool gets, by name. The manifest comes last."""
    return {**files(campaign), MANIFEST: as_json(facts).encode()}


def files(campaign: pd.DataFrame) -> dict[str, bytes]:
    """The content of each file by name: `<perk>.csv` and `<perk>.parquet`, rows by `user_id`."""
    made = {}
    for perk, rows in written_to(campaign).groupby("perk", sort=True):
        shown = rows[list(COLUMNS)].sort_values("user_id")
        made[f"{perk}.csv"] = to_csv(shown)
        made[f"{perk}.parquet"] = _to_parquet(shown)
    return made


def to_csv(rows: pd.DataFrame) -> bytes:
    """Rows as CSV, one line each. Cells that a spreadsheet would run as formulas are quoted."""
    texts = rows.select_dtypes(exclude="number").columns
    # A text column has few values, and each is in many rows.
    quoted = {name: {cell: _as_text(cell) for cell in rows[name].unique()} for name in texts}
    safe = rows.assign(**{name: rows[name].map(cells) for name, cells in quoted.items()})
    return safe.to_csv(index=False, lineterminator="\n").encode()


def _as_text(cell: str) -> str:
    line = _CONTROL.sub(" ", cell).strip()
    return f"'{line}" if line.startswith(_FORMULA) else line


def _to_parquet(rows: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    table = pa.Table.from_pandas(rows, schema=_SCHEMA, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(None), buffer, compression="zstd")
    return buffer.getvalue()


def counted(campaign: pd.DataFrame, assigned: pd.Series, listed: Suppressed) -> dict[str, int]:
    """The customers mailed, held out, offered nothing and left out, of the `assigned`."""
    suppressed = int(assigned.isin(listed.users).sum())
    return {
        "assigned": len(assigned),
        "written_to": len(written_to(campaign)),
        "held_out": int(campaign["holdout"].sum()),
        "offered_nothing": int((campaign["perk"] == NO_OFFER).sum()),
        "suppressed": suppressed,
        "below_minimum_age": len(assigned) - len(campaign) - suppressed,
    }


def _experiment(config: ExperimentConfig, running: bool, arms: pd.DataFrame) -> dict[str, Any]:
    if not running:
        return {"running": False}
    return {
        "running": True,
        "start": str(config.start),
        "control_offer": config.control_offer,
        "customers": by_arm(arms),
    }


def by_arm(arms: pd.DataFrame) -> dict[str, int]:
    """The number of customers in each arm."""
    sizes = arms["arm"].value_counts()
    return {arm: int(sizes.get(arm, 0)) for arm in ARMS}


def described_by_arm(offers: pd.DataFrame) -> list[dict[str, Any]]:
    """Each arm with its customers, and what their offers are expected to cost, if that is known."""
    cost = offers["expected_cost_usd"]
    priced = bool(cost.notna().any())
    members = {arm: offers["arm"] == arm for arm in OFFER_ARMS}
    return [
        {
            "arm": arm,
            "customers": int(rows.sum()),
            "expected_cost_usd": round(float(cost[rows].sum()), 2) if priced else None,
        }
        for arm, rows in members.items()
    ]


def described_by_perk(campaign: pd.DataFrame) -> list[dict[str, Any]]:
    """Each offer with its headline, its number of customers, and its files with their SHA-256."""
    made = files(campaign)
    return [
        {
            "perk": perk,
            "headline": group["headline"].iloc[0],
            "customers": len(group),
            "files": [_described(f"{perk}.{kind}", made) for kind in ("csv", "parquet")],
        }
        for perk, group in written_to(campaign).groupby("perk", sort=True)
    ]


def summary(changes: pd.DataFrame, compared_with: str | None) -> dict[str, Any]:
    """The number of customers of each kind of change; None without a month to compare with."""
    counted = changes["change"].value_counts()
    numbers = {kind: int(counted.get(kind, 0)) if compared_with else None for kind in CHANGES}
    return {"compared_with": compared_with, **numbers}


def _described(name: str, made: Mapping[str, bytes]) -> dict[str, Any]:
    content = made[name]
    return {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
