"""What a release of a month holds, whether its parts fit each other, and who must leave it again.

`lake/release.py` stores it, and the asset `gold/release` gathers it after the checks of the month.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from traveltide_assets.campaign import mailing, steady
from traveltide_assets.campaign.release_files import (
    ARMS,
    ASSIGNMENTS,
    BUDGET_CURVE,
    CAMPAIGN,
    CATALOGUE,
    CHANGES,
    DECISION,
    EFFECTS,
    EVIDENCE,
    FACTS,
    FEATURES,
    LOOKS,
    MOVES,
    OFFERS,
    OUTCOMES,
    PLAN,
    POLICIES,
    PREDICTOR,
    PROFILES,
    READOUT,
    SAMPLE,
    SEGMENTS,
)
from traveltide_assets.campaign.suppression import Suppressed
from traveltide_assets.experiment.assignment import HOLDOUT
from traveltide_assets.lake.parquet_bytes import read_table
from traveltide_assets.lake.release import MAILING, Release, Releases
from traveltide_assets.lake.storage.base import Storage
from traveltide_assets.schema.errors import TravelTideError

# Tables that say who is written to, from which a customer can be taken out.
_CONTACTED = (CAMPAIGN, CHANGES, ARMS, OFFERS)
# Tables that must fit each other. A release of an earlier version lacks the offers, and others.
_FITTED = (ASSIGNMENTS, SEGMENTS, CATALOGUE, *_CONTACTED)
# Facts of the campaign that count its customers. The others decide, and are part of the id.
_COUNTED = ("customers", "arms", "perks", "changes")


class DoesNotFit(TravelTideError):
    """Parts of a month are of different decisions. The message names them."""


class NotAMailing(TravelTideError):
    """The place to write mailing files to holds something else."""


@dataclass(frozen=True)
class Content:
    """What is released: the files by name, the facts that decided them, and the customers."""

    files: Mapping[str, bytes]
    decision: Mapping[str, Any]
    customers: Mapping[str, int]


def tables() -> dict[str, str]:
    """The tables in a release: their paths in the lake by the names of their files."""
    return {
        ASSIGNMENTS: "gold/perk_assignments",
        SEGMENTS: "gold/decided_segments",
        FEATURES: "gold/user_features",
        CATALOGUE: "gold/perk_catalogue",
        PREDICTOR: "gold/perk_predictor",
        CAMPAIGN: "gold/campaign",
        CHANGES: "gold/campaign_changes",
        OFFERS: "gold/offers",
        BUDGET_CURVE: "gold/budget_curve",
        ARMS: "gold/experiment_assignment",
        EVIDENCE: "gold/perk_evidence",
        DECISION: "gold/strategy_decision",
        PLAN: "gold/experiment_plan",
        READOUT: "gold/experiment_readout",
        LOOKS: "gold/experiment_looks",
        OUTCOMES: "gold/campaign_outcomes",
        EFFECTS: "gold/campaign_readout",
        POLICIES: "gold/policy_scorecard",
        PROFILES: "gold/segment_profiles",
        MOVES: "gold/perk_moves",
        SAMPLE: "gold/feature_sample",
    }


def compose(stored: Mapping[str, bytes], facts: Mapping[str, Any]) -> Content:
    """A release of stored files and of the facts of its campaign, with the mailing files."""
    made = mailing.folder(_frame(stored[CAMPAIGN]), facts)
    files = {
        **stored,
        FACTS: mailing.as_json(facts).encode(),
        **{f"{MAILING}{name}": content for name, content in made.items()},
    }
    decision = {name: value for name, value in facts.items() if name not in _COUNTED}
    return Content(files, decision, facts["customers"])


def check(content: Content, suppressed: Suppressed) -> None:
    """`DoesNotFit` if the parts do not belong to one decision, or somebody must not be in it."""
    frames = {name: _frame(content.files[name]) for name in _FITTED if name in content.files}
    running = content.decision["experiment"]["running"]
    if problems := misfits(frames, suppressed, running):
        raise DoesNotFit(
            f"the parts of {content.decision['month']} do not fit each other: "
            f"{'; '.join(problems)}. Decide the month again with "
            f"`traveltide run --month {content.decision['month']}`"
        )


def misfits(frames: Mapping[str, pd.DataFrame], suppressed: Suppressed, running: bool) -> list[str]:
    """Where the tables of a release contradict each other, with the numbers of customers.

    `running` says whether the campaign carries an experiment. Offers are missing in a release of an
    earlier version: then they were the perks and what the arms of the experiment say.
    """
    assigned, segments, campaign, arms = (
        frames[name].set_index("user_id") for name in (ASSIGNMENTS, SEGMENTS, CAMPAIGN, ARMS)
    )
    invited = campaign[~campaign["holdout"]]
    due, apart = _due(frames, invited.index, running), 0
    if OFFERS in frames:
        offers = frames[OFFERS].set_index("user_id")
        apart = len(offers.index.symmetric_difference(campaign.index))
        apart += ((offers["arm"] == HOLDOUT).reindex(campaign.index) != campaign["holdout"]).sum()
        apart += _differing(arms, offers, "arm") if running else 0
    listed = set(frames[CATALOGUE]["perk"])
    found = {
        "customers with a perk and no segment": (~assigned.index.isin(segments.index)).sum(),
        "customers with a segment and no perk": (~segments.index.isin(assigned.index)).sum(),
        "customers whose segment is another": _differing(
            assigned[_not_held(assigned)], segments, "segment"
        ),
        "customers in the campaign without a perk": (~campaign.index.isin(assigned.index)).sum(),
        "customers whose segment in the campaign is another": _differing(
            campaign, assigned, "segment"
        ),
        "customers who are offered another perk": (invited["perk"] != due).sum(),
        "customers whose arm or place in the campaign is not that of their offer": apart,
        "customers in the experiment who are held out or left out": (
            ~arms.index.isin(invited.index)
        ).sum(),
        "customers in the experiment with another perk": _differing(arms, assigned, "perk"),
        "perks that are not in the catalogue": (~assigned["perk"].isin(listed)).sum(),
        "suppressed customers": sum(
            int(frames[name]["user_id"].isin(suppressed.users).sum())
            for name in _CONTACTED
            if name in frames
        ),
    }
    return [f"{count} {what}" for what, count in found.items() if count]


def _due(frames: Mapping[str, pd.DataFrame], invited: pd.Index, running: bool) -> pd.Series:
    """The offer of each customer who is not held out, by the table that decides it."""
    if OFFERS in frames:
        return frames[OFFERS].set_index("user_id")["offer"].reindex(invited)
    due = frames[ASSIGNMENTS].set_index("user_id")["perk"].reindex(invited)
    if running:
        due = frames[ARMS].set_index("user_id")["offer"].reindex(invited).fillna(due)
    return due


def _not_held(assigned: pd.DataFrame) -> np.ndarray:
    """Who is in the segment of the month: an experiment holds the segments of its start."""
    if "steadiness" not in assigned:  # Of a release of an earlier version.
        return np.ones(len(assigned), dtype=bool)
    return (assigned["steadiness"] != steady.HELD).to_numpy()


def again(release: Release, suppressed: Suppressed) -> Content:
    """The content of a release as it may be used now: without customers suppressed since.

    If there are none, it is the same content, and so the same release. The report stays as it was.
    """
    stored = {
        file.name: release.read(file.name)
        for file in release.manifest.files
        if not file.name.startswith(MAILING)
    }
    contacted = [name for name in _CONTACTED if name in stored]
    left = {name: _without(stored[name], suppressed) for name in contacted}
    known = json.loads(stored[FACTS])
    if all(content is stored[name] for name, content in left.items()):
        return compose(stored, known)
    campaign, changes, arms = (_frame(left[name]) for name in (CAMPAIGN, CHANGES, ARMS))
    experiment = known["experiment"]
    if OFFERS in left:
        known["arms"] = mailing.described_by_arm(_frame(left[OFFERS]))
    facts = {
        **known,
        "customers": mailing.counted(campaign, _frame(stored[ASSIGNMENTS])["user_id"], suppressed),
        "suppression_list_sha256": suppressed.digest,
        "experiment": experiment | {"customers": mailing.by_arm(arms)}
        if experiment["running"]
        else experiment,
        "perks": mailing.described_by_perk(campaign),
        "changes": mailing.summary(changes, known["changes"]["compared_with"]),
    }
    return compose({**stored, **left}, facts)


def reissue(releases: Releases, release: Release, suppressed: Suppressed, keep: int) -> Release:
    """Make a release current, now or again, without customers suppressed since.

    Returns the release that is current then: the same one, or one made from it.
    """
    expected = releases.record(release.month).current
    content = again(release, suppressed)
    check(content, suppressed)
    rests_on = release.manifest.model_dump(
        include={"inputs", "code", "checks", "warnings", "notice"}
    )
    new = releases.add(
        release.month,
        content.files,
        content.decision,
        content.customers,
        made_from=release.id,
        **rests_on,
    )
    releases.point(new, expected)
    releases.sweep(release.month, keep)
    return new


def export(release: Release, target: Storage) -> None:
    """Write the mailing files of a release to a place of their own, the manifest last.

    A manifest of before is removed first, so the place is complete exactly while it has one. Files
    that no manifest names stay.
    """
    files = {
        file.name.removeprefix(MAILING): release.read(file.name)
        for file in release.manifest.files
        if file.name.startswith(MAILING)
    }
    before = _exported(target)
    if before == files:
        return
    target.remove(mailing.MANIFEST)
    for old in sorted(set(before) - set(files)):
        target.remove(old)
    for name in sorted(files, key=lambda name: name == mailing.MANIFEST):
        with target.replacing(name, target.versions(deep=False).get(name)) as path:
            path.write_bytes(files[name])


def _exported(target: Storage) -> dict[str, bytes]:
    """The files of an earlier export, as far as its manifest names them."""
    versions = target.versions(deep=False)
    if mailing.MANIFEST not in versions:
        return {}
    content = _content(target, mailing.MANIFEST, versions)
    try:
        named = [file["name"] for perk in json.loads(content)["perks"] for file in perk["files"]]
    except (ValueError, KeyError, TypeError):
        raise NotAMailing(
            f"{target.uri(mailing.MANIFEST)} is not a manifest of mailing files: choose a folder "
            "of its own"
        ) from None
    return {mailing.MANIFEST: content} | {
        name: _content(target, name, versions) for name in named if name in versions
    }


def _content(storage: Storage, key: str, versions: Mapping[str, str]) -> bytes:
    (file,) = storage.files({key: versions[key]})
    return file.read_bytes()


def _differing(one: pd.DataFrame, other: pd.DataFrame, column: str) -> int:
    """The customers of both tables whose value of a column differs."""
    both = one.index.intersection(other.index)
    return int((one.loc[both, column] != other.loc[both, column]).sum())


def _without(table: bytes, suppressed: Suppressed) -> bytes:
    """A stored table without the suppressed customers; the same object if none is in it."""
    rows = read_table(table)
    users = pa.array(sorted(suppressed.users), rows.schema.field("user_id").type)
    kept = pc.invert(pc.is_in(rows["user_id"], value_set=users))
    if pc.all(kept).as_py() is not False:
        return table
    buffer = BytesIO()
    pq.write_table(rows.filter(kept), buffer, compression="zstd")
    return buffer.getvalue()


def _frame(table: bytes) -> pd.DataFrame:
    return read_table(table).to_pandas()
