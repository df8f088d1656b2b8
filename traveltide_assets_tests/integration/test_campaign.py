"""Who is written to, with what, and what the mailing tool finds in its folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from traveltide_assets.campaign import invitations, mailing
from traveltide_assets.catalogue import FOLDER
from traveltide_assets.lake.release import MAILING
from traveltide_assets_tests.conftest import BOUNDS, LAST, QUICK
from traveltide_assets_tests.integration.test_decision_checks import check
from traveltide_assets_tests.support.project import Project, failed_checks, failure, owned
from traveltide_assets_tests.support.releases import current

PERKS = ("bag", "meal", "night")
ASSETS = ("gold/campaign", "gold/campaign_changes")


def mails(project: Project) -> dict[str, bytes]:
    """The files of the mailing tool, by name, as they lie in the current release."""
    found = current(project.lake, LAST)
    return {
        file.name.removeprefix(MAILING): found.read(file.name)
        for file in found.manifest.files
        if file.name.startswith(MAILING)
    }


def manifest(project: Project, month: str = LAST) -> dict[str, Any]:
    """What the manifest of a month's mailing files says."""
    file = project.lake / mailing.PATH / f"month={month}" / mailing.FACTS
    return json.loads(file.read_text("utf-8"))


def copy_of(project: Project, place: Path, **changes: Any) -> Project:
    """A project with the lake of another, to change."""
    for part in ("gold", "silver/users_processed"):
        shutil.copytree(project.lake / part, place / "lake" / part)
    return owned(Project(place, place / "source", partitions=BOUNDS, evidence=QUICK, **changes))


def send(project: Project) -> set[str]:
    """Make the campaign of the last month alone; the checks that failed."""
    result = project.materialize_all(ASSETS, LAST)
    assert result.success, failure(result)
    return failed_checks(result)


def test_the_files_hold_four_columns_and_the_manifest_vouches_for_them(
    sample_project: Project,
) -> None:
    files = mails(sample_project)
    told = json.loads(files[mailing.MANIFEST])
    assert told == manifest(sample_project)
    described = [file for perk in told["perks"] for file in perk["files"]]
    assert {file["name"] for file in described} | {mailing.MANIFEST} == set(files)
    for file in described:
        content = files[file["name"]]
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        read = pd.read_csv if file["name"].endswith(".csv") else pd.read_parquet
        frame = read(BytesIO(content))
        assert tuple(frame.columns) == mailing.COLUMNS
        assert frame["perk"].unique().tolist() == [Path(file["name"]).stem]


def test_the_manifest_says_what_the_campaign_rests_on(sample_project: Project) -> None:
    told = manifest(sample_project)
    campaign = sample_project.frame("gold/campaign", LAST)
    assigned_now = sample_project.frame("gold/perk_assignments", LAST)
    assert told["customers"] == {
        "assigned": len(assigned_now),
        "written_to": int((~campaign["holdout"]).sum()),
        "held_out": int(campaign["holdout"].sum()),
        "offered_nothing": 0,
        "suppressed": 0,
        "below_minimum_age": len(assigned_now) - len(campaign),
    }
    assert told["model_version"] == assigned_now["model_version"].iloc[0]
    assert told["strategy"] == assigned_now["strategy"].iloc[0]
    assert "at least 8 sessions" in str(told["cohort_rule"])
    changes = sample_project.frame("gold/campaign_changes", LAST)["change"].value_counts()
    assert told["changes"] == {
        "compared_with": "2023-06",
        **{kind: int(changes.get(kind, 0)) for kind in invitations.CHANGES},
    }
    assert changes["new"] > 0
    first = manifest(sample_project, "2023-06")["changes"]
    assert first == {"compared_with": None, "new": None, "moved": None, "dropped": None}


def test_a_campaign_made_again_leaves_the_same_bytes_and_no_file_to_send(
    sample_project: Project, tmp_path: Path
) -> None:
    project = copy_of(sample_project, tmp_path)
    folder = project.lake / mailing.PATH / f"month={LAST}"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    # Earlier versions wrote the files to be sent before they were checked.
    former = project.lake / "gold/campaign_files" / f"month={LAST}" / "free_checked_bag.csv"
    former.parent.mkdir(parents=True)
    former.write_text("user_id,perk,headline,segment\n", "utf-8")
    assert send(project) == set()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [file for file in project.lake.rglob("*.csv") if file.is_file()] == []


def test_offers_within_a_budget_and_at_random_are_mailed_and_change_no_perk_decided(
    sample_project: Project, tmp_path: Path
) -> None:
    catalogue = tmp_path / "perks.toml"
    text = (FOLDER / "perks.toml").read_text("utf-8")
    priced = "cost_usd = 20\nexpected_redemption = 0.3\nmax_customers = 60\n[perk.features]"
    open_trip = '[[perk.eligible]]\nfeature = "open_trips"\ncomparison = ">="\nvalue = 1\n'
    before, fees, after = text.partition('id = "no_cancellation_fees"')
    own, rest = after.split("[[perk]]", 1)
    before, rest = (part.replace("[perk.features]", priced) for part in (before, rest))
    own = own.replace("[perk.features]", f"{open_trip}[perk.features]")
    catalogue.write_text(f"{before}{fees}{own}[[perk]]{rest}", "utf-8")
    project = copy_of(
        sample_project,
        tmp_path,
        perks_file=catalogue,
        exploration={"share": 0.1},
        economics={"margin_rate": 0.2, "budget_usd": 600},
    )
    decided = project.file("gold/perk_assignments", LAST)
    content = decided.read_bytes()
    made = ("perk_assignments", "experiment_assignment", "offers", "budget_curve")
    result = project.materialize_all([*(f"gold/{name}" for name in made), *ASSETS], LAST)
    assert result.success, failure(result)
    assert "gold/offers:costs_known" in failed_checks(result)
    assert decided.read_bytes() == content
    offers = project.frame("gold/offers", LAST).set_index("user_id")
    assert offers["expected_cost_usd"].sum() <= 600
    assert set(offers["arm"]) == {"personalised", "exploration", "holdout"}
    arms = project.frame("gold/experiment_assignment", LAST)["user_id"]
    assert not arms.isin(offers.index[offers["arm"] == "exploration"]).any()
    campaign = project.frame("gold/campaign", LAST).set_index("user_id")
    written = invitations.written_to(campaign)
    assert (written["perk"] == offers["offer"][written.index]).all()
    told = manifest(project)
    assert told["customers"]["written_to"] == len(written)
    assert told["customers"]["offered_nothing"] > 0
    assert {each["arm"]: each["customers"] for each in told["arms"]} == {
        "control": 0,
        **offers["arm"].value_counts(),
    }
    curve = project.frame("gold/budget_curve", LAST)
    assert curve.loc[curve["configured"], "budget_usd"].tolist() == [600]


def test_a_list_in_the_settings_is_kept(sample_project: Project, tmp_path: Path) -> None:
    users = sample_project.frame("gold/campaign", LAST)["user_id"].head(25)
    file = tmp_path / "never.csv"
    file.write_text("\n".join(map(str, [*users, 999_999_999])), "utf-8")
    project = copy_of(sample_project, tmp_path, campaign={"suppression_file": file})
    assert send(project) == set()
    told = manifest(project)
    assert told["customers"]["suppressed"] == 25
    assert told["suppression_list_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    for table in ASSETS:
        assert not project.frame(table, LAST)["user_id"].isin(users).any()
    files = mailing.files(project.frame("gold/campaign", LAST))
    for name in (name for name in files if name.endswith(".csv")):
        assert not pd.read_csv(BytesIO(files[name]))["user_id"].isin(users).any()


def test_a_list_that_cannot_be_read_stops_the_campaign(
    sample_project: Project, tmp_path: Path
) -> None:
    project = copy_of(
        sample_project, tmp_path, campaign={"suppression_file": tmp_path / "absent.csv"}
    )
    result = project.materialize_all(ASSETS, LAST)
    assert not result.success
    assert "absent.csv" in failure(result)


def _half(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[::2]


def _twice(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame[~frame["holdout"]].head(1)])


def _another_perk(frame: pd.DataFrame) -> pd.DataFrame:
    other = frame["perk"].where(frame.index > 0, "free_pony")
    return frame.assign(perk=other, holdout=frame["holdout"] & (frame.index > 0))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (_half, {"nothing_lost", "checksums"}),
        (_twice, {"nothing_lost", "checksums", "primary_key"}),
        (_another_perk, {"checksums"}),
    ],
)
def test_a_campaign_that_is_not_as_it_should_be_is_found(
    sample_project: Project,
    tmp_path: Path,
    how: Callable[[pd.DataFrame], pd.DataFrame],
    said: set[str],
) -> None:
    project = copy_of(sample_project, tmp_path)
    how(project.frame("gold/campaign", LAST)).to_parquet(project.file("gold/campaign", LAST))
    found = check(project, *ASSETS)
    assert {name for name, evaluation in found.items() if not evaluation.passed} >= {
        f"gold/campaign:{name}" for name in said
    }


def test_somebody_suppressed_after_the_files_were_made_is_found(
    sample_project: Project, tmp_path: Path
) -> None:
    file = tmp_path / "never.csv"
    file.write_text(str(sample_project.frame("gold/campaign", LAST)["user_id"].iloc[0]), "utf-8")
    project = copy_of(sample_project, tmp_path, campaign={"suppression_file": file})
    found = check(project, *ASSETS)["gold/campaign:nobody_suppressed"]
    assert not found.passed
    assert found.blocking


@pytest.mark.parametrize("known", [0, 1])
def test_a_list_of_ids_of_nobody_is_told(
    sample_project: Project, tmp_path: Path, known: int
) -> None:
    file = tmp_path / "never.csv"
    ours = sample_project.frame("silver/users_processed")["user_id"].head(known)
    file.write_text("\n".join(map(str, ["user_id", 999_999_999, *ours])), "utf-8")
    project = copy_of(sample_project, tmp_path, campaign={"suppression_file": file})
    found = check(project, *ASSETS)["gold/campaign:suppression_list_known"]
    assert (found.passed, found.metadata["known"].value) == (known > 0, known)
