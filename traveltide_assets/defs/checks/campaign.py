"""Gold: is the campaign what may be sent, to whom it may be sent, and all of it?"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import dagster as dg
import pandas as pd

from traveltide_assets.campaign import mailing
from traveltide_assets.campaign.suppression import Suppressed, read_suppressed
from traveltide_assets.contracts import Table
from traveltide_assets.defs.checks import contracts
from traveltide_assets.defs.checks.results import declare, report
from traveltide_assets.lake import Lake
from traveltide_assets.settings import Settings


def build(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> list[dg.AssetChecksDefinition]:
    """One step of checks for the campaign, its changes and its files."""
    return [_campaign(tables, months)]


def _campaign(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    campaign, changes = tables["gold/campaign"], tables["gold/campaign_changes"]
    assigned = tables["gold/perk_assignments"]

    @dg.multi_asset_check(
        name="campaign_checks",
        specs=[
            *contracts.declarations([campaign, changes], months),
            declare(
                campaign,
                "allowed_columns",
                f"The files hold {', '.join(mailing.COLUMNS)} and nothing else.",
                months,
                blocking=True,
            ),
            declare(
                campaign,
                "nobody_suppressed",
                "Nobody on the suppression list is in the campaign, its files or its changes.",
                months,
                blocking=True,
                after=(changes,),
            ),
            declare(
                campaign,
                "nothing_lost",
                "Every customer with a perk is written to once, held out or suppressed.",
                months,
                blocking=True,
                after=(assigned,),
            ),
            declare(
                campaign,
                "checksums",
                "The files are those of the manifest.",
                months,
                blocking=True,
            ),
        ],
    )
    def checks(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[dg.AssetCheckResult]:
        month = context.op_execution_context.partition_key
        yield from contracts.evaluate([campaign, changes], lake, [month])
        suppressed = read_suppressed(settings.campaign.suppression_file)
        manifest = json.loads(lake.read_bytes(mailing.PATH, month, mailing.MANIFEST))
        files = {
            name: lake.read_bytes(mailing.PATH, month, name)
            for name in lake.file_names(mailing.PATH, month)
            if name != mailing.MANIFEST
        }
        read = {name: _read(name, content) for name, content in files.items()}
        wrong = {n: list(f.columns) for n, f in read.items() if tuple(f) != mailing.COLUMNS}
        yield report(campaign, "allowed_columns", not wrong, {"files": wrong})
        tables_read = {
            "campaign": lake.frame(campaign.path, month),
            "changes": lake.frame(changes.path, month),
            **read,
        }
        yield report(
            campaign, "nobody_suppressed", *_suppressed_in(tables_read, suppressed, manifest)
        )
        held_out = tables_read["campaign"].query("holdout")["user_id"]
        problems = lost(read, held_out, suppressed, lake.frame(assigned.path, month)["user_id"])
        yield report(campaign, "nothing_lost", not any(problems.values()), problems)
        differing = _differing(files, manifest)
        yield report(campaign, "checksums", not differing, {"files": differing})

    return checks


def _read(name: str, content: bytes) -> pd.DataFrame:
    if name.endswith(".csv"):
        return pd.read_csv(BytesIO(content), encoding="utf-8")
    return pd.read_parquet(BytesIO(content))


def _suppressed_in(
    frames: Mapping[str, pd.DataFrame], suppressed: Suppressed, manifest: Mapping[str, Any]
) -> tuple[bool, dict[str, object]]:
    """Whether nobody on the list is anywhere, by the list that the campaign was made with."""
    found = {
        name: rows
        for name, frame in frames.items()
        if "user_id" in frame and (rows := int(frame["user_id"].isin(suppressed.users).sum()))
    }
    same_list = suppressed.digest == manifest["suppression_list_sha256"]
    return not found and same_list, {"rows": found, "list_unchanged_since": same_list}


def lost(
    files: Mapping[str, pd.DataFrame],
    held_out: pd.Series,
    suppressed: Suppressed,
    assigned: pd.Series,
) -> dict[str, int]:
    """Customers missing, doubled or unknown, per kind of file: each holds the whole campaign."""
    problems: dict[str, int] = {}
    for kind in ("csv", "parquet"):
        users = [f["user_id"] for name, f in files.items() if name.endswith(f".{kind}")]
        written = pd.concat(users) if users else pd.Series(dtype="int64")
        told = pd.concat([written, held_out, assigned[assigned.isin(suppressed.users)]])
        problems |= {
            f"{kind}_missing": int((~assigned.isin(told)).sum()),
            f"{kind}_more_than_once": int(told.duplicated().sum()),
            f"{kind}_without_perk": int((~told.isin(assigned)).sum()),
        }
    return problems


def _differing(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> list[str]:
    told = {f["name"]: f["sha256"] for perk in manifest["perks"] for f in perk["files"]}
    found = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return sorted(n for n in {*told, *found} if told.get(n) != found.get(n))
