"""What a release holds fits together, and nobody suppressed since stays in it."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from traveltide_assets.campaign import mailing, released, steady
from traveltide_assets.campaign.config import Config as Campaign
from traveltide_assets.campaign.invitations import invite
from traveltide_assets.campaign.release_files import (
    ARMS,
    ASSIGNMENTS,
    CAMPAIGN,
    CATALOGUE,
    CHANGES,
    FEATURES,
    OFFERS,
    PREDICTOR,
    REPORT,
    SEGMENTS,
)
from traveltide_assets.campaign.suppression import Suppressed
from traveltide_assets.experiment import assignment
from traveltide_assets.experiment.config import Config as Experiment
from traveltide_assets.lake.release import MAILING, Release, Releases
from traveltide_assets.lake.storage.folder import Folder

MONTH = "2023-07"
PERKS = ("bag", "meal", "night")
HEADLINES = {perk: f"A {perk}" for perk in PERKS} | {"control_offer": "Hello"}
NOBODY = Suppressed(frozenset(), None)
FEW = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def frames(customers: int = 40, running: bool = False) -> dict[str, pd.DataFrame]:
    """The tables of a small decision."""
    users = pd.Series(range(1, customers + 1), dtype="int64")
    perk = users.map(lambda user: PERKS[user % len(PERKS)])
    assigned = pd.DataFrame(
        {"user_id": users, "segment": "likes " + perk, "perk": perk, "steadiness": steady.FIRST}
    )
    config = Campaign(holdout_share=0.2)
    campaign = invite(assigned, NOBODY, config, HEADLINES, None)
    written = assigned[assigned["user_id"].isin(campaign.loc[~campaign["holdout"], "user_id"])]
    arms = assignment.assign(written, Experiment())
    if running:
        offers = arms.set_index("user_id")["offer"]
        campaign = invite(assigned, NOBODY, config, HEADLINES, offers)
    changes = pd.DataFrame(
        {"user_id": users[:9], "change": "moved", "perk_before": "bag", "perk": "meal"}
    )
    return {
        ASSIGNMENTS: assigned,
        SEGMENTS: assigned.assign(score=0.5),
        FEATURES: assigned[["user_id"]],
        CATALOGUE: pd.DataFrame({"perk": PERKS}),
        PREDICTOR: pd.DataFrame({"model_version": ["m"]}),
        CAMPAIGN: campaign,
        CHANGES: changes,
        ARMS: arms,
    }


def with_offers(tables: dict[str, pd.DataFrame], running: bool = False) -> dict[str, pd.DataFrame]:
    """The tables with the offers that the campaign makes."""
    campaign = tables[CAMPAIGN]
    held = campaign["holdout"].to_numpy()
    drawn = campaign["user_id"].map(tables[ARMS].set_index("user_id")["arm"])
    arm = drawn.fillna("personalised") if running else "personalised"
    offers = pd.DataFrame(
        {
            "user_id": campaign["user_id"],
            "arm": np.where(held, "holdout", arm),
            "offer": campaign["perk"].where(~held, "none"),
            "expected_cost_usd": np.where(held, 0.0, 2.5),
        }
    )
    return tables | {OFFERS: offers}


def stored(tables: dict[str, pd.DataFrame]) -> dict[str, bytes]:
    content = {}
    for name, frame in tables.items():
        buffer = BytesIO()
        frame.to_parquet(buffer, index=False)
        content[name] = buffer.getvalue()
    return content | {REPORT: b"<html>"}


def facts(tables: dict[str, pd.DataFrame], running: bool = False) -> dict[str, Any]:
    return {
        "month": MONTH,
        "cohort_rule": "anybody",
        "strategy": "toy",
        "customers": mailing.counted(tables[CAMPAIGN], tables[ASSIGNMENTS]["user_id"], NOBODY),
        "suppression_list_sha256": None,
        "experiment": {"running": running, "customers": mailing.by_arm(tables[ARMS])},
        "perks": mailing.described_by_perk(tables[CAMPAIGN]),
        "changes": mailing.summary(tables[CHANGES], "2023-06"),
    }


def put(
    folder: Path, tables: dict[str, pd.DataFrame], running: bool = False
) -> tuple[Releases, Release]:
    releases = Releases(Folder(folder))
    content = released.compose(stored(tables), facts(tables, running))
    released.check(content, NOBODY)
    made = releases.add(MONTH, content.files, content.decision, content.customers)
    releases.point(made, releases.record(MONTH).current)
    return releases, made


def suppressing(*users: int) -> Suppressed:
    return Suppressed(frozenset(users), f"list of {users}")


def test_a_segment_that_an_experiment_holds_may_differ_from_that_of_the_month() -> None:
    tables = frames(running=True)
    tables[SEGMENTS] = tables[SEGMENTS].assign(segment="another")
    held = tables[ASSIGNMENTS].assign(steadiness=steady.HELD)
    assert released.misfits(tables | {ASSIGNMENTS: held}, NOBODY, running=True) == []
    moved = held.assign(steadiness=steady.CLEARLY_BETTER)
    found = released.misfits(tables | {ASSIGNMENTS: moved}, NOBODY, running=True)
    assert found == ["40 customers whose segment is another"]


@pytest.mark.parametrize("running", [False, True])
def test_the_tables_of_one_decision_fit(running: bool) -> None:
    tables = frames(running=running)
    assert released.misfits(tables, NOBODY, running) == []
    assert released.misfits(with_offers(tables, running), NOBODY, running) == []


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("offer", "night", "customers who are offered another perk"),
        ("offer", "none", "customers who are offered another perk"),
        ("arm", "holdout", "customers whose arm or place in the campaign"),
        ("user_id", 999, "customers whose arm or place in the campaign"),
    ],
)
def test_offers_of_another_decision_do_not_fit(column: str, value: object, said: str) -> None:
    tables = with_offers(frames())
    offers = tables[OFFERS].copy()
    one = (offers["arm"] == "personalised") & (offers["offer"] == "bag")
    offers.loc[offers.index[one][0], column] = value
    found = released.misfits(tables | {OFFERS: offers}, NOBODY, running=False)
    assert any(said in each for each in found), found


def test_an_offer_of_nothing_is_not_written_to_and_leaves_with_who_is_suppressed(
    tmp_path: Path,
) -> None:
    tables = frames()
    some = tables[CAMPAIGN].index[~tables[CAMPAIGN]["holdout"]][:2]
    tables[CAMPAIGN].loc[some, ["perk", "headline"]] = ["none", ""]
    tables = with_offers(tables)
    releases, made = put(tmp_path, tables)
    assert "mailing/none.csv" not in made.names
    silent, held = tables[CAMPAIGN]["user_id"][some], tables[CAMPAIGN]["holdout"]
    gone = int(silent.iloc[0])
    new = released.reissue(releases, made, suppressing(gone), keep=12)
    assert gone not in set(new.frame(OFFERS)["user_id"])
    told = json.loads(new.read(f"{MAILING}{mailing.MANIFEST}"))
    assert told["customers"]["offered_nothing"] == 1
    assert told["customers"]["written_to"] == (~held).sum() - 2
    arms = {each["arm"]: each for each in told["arms"]}
    assert arms["personalised"]["customers"] == (~held).sum() - 1
    assert arms["holdout"] == {
        "arm": "holdout",
        "customers": int(held.sum()),
        "expected_cost_usd": 0.0,
    }


def test_a_customer_whose_perk_an_experiment_holds_keeps_the_segment_of_its_start() -> None:
    tables = frames()
    held = tables[ASSIGNMENTS].assign(steadiness=steady.HELD)
    moved = tables[SEGMENTS].assign(segment="likes something else by now")
    assert released.misfits(tables | {ASSIGNMENTS: held, SEGMENTS: moved}, NOBODY, False) == []


@pytest.mark.parametrize(
    ("name", "column", "value", "said"),
    [
        (ASSIGNMENTS, "segment", "likes nothing", "customers whose segment is another"),
        (ASSIGNMENTS, "perk", "night", "customers who are offered another perk"),
        (ASSIGNMENTS, "perk", "pony", "perks that are not in the catalogue"),
        (ASSIGNMENTS, "user_id", 999, "customers with a perk and no segment"),
        (SEGMENTS, "user_id", 999, "customers with a segment and no perk"),
        (CAMPAIGN, "user_id", 999, "customers in the campaign without a perk"),
        (CAMPAIGN, "segment", "else", "customers whose segment in the campaign is another"),
        (CAMPAIGN, "perk", "pony", "customers who are offered another perk"),
        (CAMPAIGN, "holdout", True, "customers in the experiment who are held out or left out"),
        (ARMS, "perk", "pony", "customers in the experiment with another perk"),
    ],
)
def test_a_table_of_another_decision_does_not_fit(
    name: str, column: str, value: object, said: str
) -> None:
    tables = frames()
    written = tables[CAMPAIGN].loc[~tables[CAMPAIGN]["holdout"], "user_id"]
    one = tables[ARMS]["user_id"].isin(written) & (tables[ARMS]["perk"] != "night")
    user = tables[ARMS].loc[one, "user_id"].iloc[0]
    changed = tables[name].copy()
    changed.loc[changed["user_id"] == user, column] = value
    found = released.misfits(tables | {name: changed}, NOBODY, running=False)
    assert any(f"1 {said}" in each for each in found), found
    with pytest.raises(released.DoesNotFit, match=f"`traveltide run --month {MONTH}`"):
        released.check(released.compose(stored(tables | {name: changed}), facts(tables)), NOBODY)


@FEW
@given(users=st.sets(st.integers(1, 45), max_size=45), running=st.booleans())
def test_whoever_is_suppressed_since_is_in_no_file_and_nobody_else_is_lost(
    tmp_path_factory: pytest.TempPathFactory, users: set[int], running: bool
) -> None:
    tables = frames(running=running)
    releases, made = put(tmp_path_factory.mktemp("lake"), tables, running)
    new = released.reissue(releases, made, suppressing(*users), keep=12)
    assert releases.current(MONTH).id == new.id
    campaign = tables[CAMPAIGN]
    contacted = {*campaign["user_id"], *tables[CHANGES]["user_id"]}
    assert (new.id == made.id) == (not users & contacted)
    left = set(campaign["user_id"]) - users
    assert set(new.frame(CAMPAIGN)["user_id"]) == left
    assert set(new.frame(ARMS)["user_id"]) == set(tables[ARMS]["user_id"]) - users
    assert set(new.frame(ASSIGNMENTS)["user_id"]) == set(tables[ASSIGNMENTS]["user_id"])
    mailed = [
        user
        for file in new.manifest.files
        if file.name.startswith(MAILING) and file.name.endswith(".csv")
        for user in pd.read_csv(BytesIO(new.read(file.name)))["user_id"]
    ]
    assert sorted(mailed) == sorted(set(campaign.loc[~campaign["holdout"], "user_id"]) - users)
    told = json.loads(new.read(f"{MAILING}{mailing.MANIFEST}"))
    assert told["customers"]["written_to"] == len(mailed)
    assert told["customers"]["suppressed"] == len(tables[ASSIGNMENTS]) - len(left)
    assert new.manifest.made_from == (None if new.id == made.id else made.id)


def test_going_back_gives_the_files_that_were_sent(tmp_path: Path) -> None:
    releases, first = put(tmp_path, frames(40))
    sent = {
        file.name: first.read(file.name)
        for file in first.manifest.files
        if file.name.startswith(MAILING)
    }
    put(tmp_path, frames(30))
    releases.sweep(MONTH, keep=12)
    assert not list((tmp_path / "releases").rglob(f"{first.id}/{MAILING}*"))
    back = released.reissue(releases, releases.find(first.id), NOBODY, keep=12)
    assert back.id == releases.current().id == first.id
    assert {name: releases.current().read(name) for name in sent} == sent


def test_an_export_is_complete_while_it_has_a_manifest(tmp_path: Path) -> None:
    _, made = put(tmp_path / "lake", frames(40))
    folder = tmp_path / "mails"
    target = Folder(folder)
    released.export(made, target)
    names = {path.name for path in folder.glob("[!.]*")}
    assert names == {f"{perk}.{kind}" for perk in PERKS for kind in ("csv", "parquet")} | {
        mailing.MANIFEST
    }
    (folder / "notes.txt").write_text("mine", "utf-8")
    tables = frames(40)
    tables[CAMPAIGN] = tables[CAMPAIGN][tables[CAMPAIGN]["perk"] == "bag"]
    tables[ARMS] = tables[ARMS][tables[ARMS]["perk"] == "bag"]
    _, other = put(tmp_path / "lake", tables)
    released.export(other, target)
    assert {path.name for path in folder.glob("[!.]*")} == {
        *("bag.csv", "bag.parquet", "notes.txt"),
        mailing.MANIFEST,
    }
    assert (folder / "bag.csv").read_bytes() == other.read(f"{MAILING}bag.csv")


def test_an_export_does_not_take_over_a_folder_of_something_else(tmp_path: Path) -> None:
    _, made = put(tmp_path / "lake", frames())
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / mailing.MANIFEST).write_text('{"name": "a web page"}', "utf-8")
    with pytest.raises(released.NotAMailing, match=r"manifest\.json"):
        released.export(made, Folder(folder))
    assert [path.name for path in folder.glob("[!.]*")] == [mailing.MANIFEST]
