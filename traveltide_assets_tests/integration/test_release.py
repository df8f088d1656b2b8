"""The asset `gold/release` and its commands: what others act on changes only after all checks."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from starlette.testclient import TestClient

from traveltide_assets.campaign.release_files import ASSIGNMENTS, OFFERS, REPORT
from traveltide_assets.campaign.released import reissue, tables
from traveltide_assets.campaign.suppression import read_suppressed
from traveltide_assets.cli import main
from traveltide_assets.defs import tags
from traveltide_assets.defs.jobs import RELEASE
from traveltide_assets.lake.ownership import GENERATED
from traveltide_assets.lake.release import MAILING, Releases
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.resources import open_lake
from traveltide_assets.serving.app import build_app
from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.project import Project, failure, instance_in, succeed
from traveltide_assets_tests.support.releases import current

MONTH = scenario.MONTH
# What `traveltide release` makes again: everything that rests on the suppression list.
AGAIN = (
    "gold/experiment_assignment",
    "gold/experiment_plan",
    "gold/experiment_readout",
    "gold/experiment_looks",
    "gold/campaign_outcomes",
    "gold/campaign_readout",
    "gold/policy_scorecard",
    "gold/learned_policy",
    "gold/offers",
    "gold/budget_curve",
    "gold/campaign",
    "gold/campaign_changes",
    "gold/report",
    "gold/release",
)


@pytest.fixture
def project(scenario_project: Project, tmp_path: Path) -> Project:
    """The hand-made travellers, decided and released, to change."""
    return copy_of(scenario_project, tmp_path)


def copy_of(project: Project, folder: Path, **changes: Any) -> Project:
    """A project with lake and history of another, and settings of its own."""
    for part in ("lake", "dagster"):
        shutil.copytree(project.folder / part, folder / part)
    return Project(folder, project.source, **scenario.settings(**changes))


def releases_of(project: Project) -> Releases:
    return Releases(Folder(project.lake))


def traveltide(project: Project, *arguments: str, **changes: str) -> Result:
    nested = {
        f"TRAVELTIDE_{section.upper()}__{name.upper()}": str(value)
        for section, values in scenario.settings().items()
        for name, value in values.items()
    }
    environment = nested | {
        "TRAVELTIDE_SOURCE": str(project.source),
        "TRAVELTIDE_LAKE": str(project.lake),
        "TRAVELTIDE_HOME": str(project.folder / "home"),
        "DAGSTER_HOME": str(project.folder / "dagster"),
        "COLUMNS": "200",
    }
    return CliRunner().invoke(main, arguments, env=environment | changes)


def suppressing(folder: Path, *users: int) -> Path:
    file = folder / "never.csv"
    file.write_text("\n".join(map(str, users)), "utf-8")
    return file


def mailed_to(project: Project) -> set[int]:
    """The customers in the files that the mailing tool can read, wherever in the lake."""
    return {user for file in lists(project) for user in pd.read_csv(file)["user_id"]}


def lists(project: Project) -> list[Path]:
    """Every CSV file in the lake."""
    return [file for file in project.lake.rglob("*.csv") if file.is_file()]


def test_a_run_releases_what_it_decided_whole_and_with_its_evidence(
    scenario_project: Project,
) -> None:
    made = current(scenario_project.lake)
    manifest = made.manifest
    for name, path in tables().items():
        assert made.read(name) == scenario_project.file(path, MONTH).read_bytes()
    assert made.read(REPORT).startswith(b"<!DOCTYPE html>")
    decided = scenario_project.frame("gold/strategy_decision", MONTH).set_index("strategy")
    assert manifest.decision["strategy"] == decided.index[decided["decides"]].item()
    assert "at least 2 sessions" in manifest.decision["cohort_rule"]
    assert manifest.customers["assigned"] == len(scenario.CUSTOMERS)
    assert {*manifest.checks.values()} == {"passed"}
    assert {"gold/campaign:nobody_suppressed", "silver/users_processed:reconciliation"} <= {
        *manifest.checks
    }
    assert manifest.warnings is not None
    assert all(name.startswith("gold/") for name in manifest.warnings)
    assert set(manifest.inputs) == set(manifest.code) >= {"gold/users_final", "gold/campaign"}
    told = json.loads(made.read(f"{MAILING}manifest.json"))
    assert told["customers"] == manifest.customers
    with instance_in(scenario_project.folder / "dagster") as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["gold", "release"]))
    assert event is not None
    assert event.asset_materialization is not None
    shown = event.asset_materialization.metadata
    assert (shown["release"].value, shown["current"].value) == (made.id, True)
    assert shown["path"].value == made.uri()


def test_releasing_again_changes_nothing_and_another_decision_is_another_release(
    project: Project,
) -> None:
    before = {file: file.read_bytes() for file in (project.lake / "releases").rglob("*.*")}
    first = current(project.lake)
    succeed(project.materialize_all(AGAIN, MONTH))
    assert {f: f.read_bytes() for f in (project.lake / "releases").rglob("*.*")} == before
    sent = first.read(OFFERS)
    other = Project(
        project.folder,
        project.source,
        **scenario.settings(campaign={"holdout_share": 0.7}, exploration={"share": 1}),
    )
    succeed(other.materialize_all(AGAIN, MONTH))
    second = current(project.lake)
    assert second.id != first.id
    # What was offered is not changed by what is decided later.
    assert releases_of(project).find(first.id).read(OFFERS) == sent != second.read(OFFERS)
    assert set(second.frame(OFFERS)["arm"]) == {"exploration", "holdout"}
    # The earlier one can still be read, but its files can no longer be sent.
    assert releases_of(project).find(first.id).read(ASSIGNMENTS)
    assert len({file.parents[1].name for file in lists(project)}) == 1


def test_a_failing_check_releases_nothing_and_the_one_before_stays(
    project: Project, tmp_path: Path
) -> None:
    before, users = current(project.lake), mailed_to(project)
    somebody = min(users)
    stricter = Project(
        project.folder,
        project.source,
        **scenario.settings(
            campaign={"suppression_file": suppressing(tmp_path, somebody), "holdout_share": 0}
        ),
    )
    # Alone, as from the UI: no check runs before it. The campaign does not know the list.
    result = stricter.materialize("gold/release", MONTH)
    assert not result.success
    assert "1 suppressed customers" in failure(result) or "suppressed" in failure(result)
    assert current(project.lake).id == before.id
    assert mailed_to(project) == users
    # Made again, the campaign keeps to the list, and so do the files.
    succeed(stricter.materialize_all(AGAIN, MONTH))
    assert current(project.lake).id != before.id
    assert somebody not in mailed_to(project)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("gold/user_features", "gold/user_features"),
        ("gold/perk_assignments", "gold/perk_assignments"),
        ("silver/users_processed", "silver/users_processed:reconciliation"),
    ],
)
def test_a_table_that_breaks_a_check_is_not_released_whichever_way_it_got_there(
    project: Project, path: str, said: str
) -> None:
    before = current(project.lake).id
    file = project.file(path, MONTH if path.startswith("gold") else None)
    frame = pd.read_parquet(file)
    pd.concat([frame, frame.head(1)]).to_parquet(file, index=False)
    result = project.materialize("gold/release", MONTH)
    assert not result.success
    assert said in failure(result)
    assert current(project.lake).id == before


def test_a_table_that_another_run_replaced_is_a_mixture(project: Project) -> None:
    """As sound as any, but not what this history's runs have made."""
    before = current(project.lake).id
    file = project.file("gold/perk_evidence", MONTH)
    frame = pd.read_parquet(file)
    frame.assign(**{frame.select_dtypes("number").columns[0]: 0}).to_parquet(file, index=False)
    result = project.materialize("gold/release", MONTH)
    assert not result.success
    assert "gold/perk_evidence was replaced by another run" in failure(result)
    assert f"`traveltide run --month {MONTH}`" in failure(result)
    assert current(project.lake).id == before


def test_a_part_made_again_alone_from_other_settings_is_a_mixture(project: Project) -> None:
    before = current(project.lake).id
    other = Project(
        project.folder, project.source, **scenario.settings(campaign={"holdout_share": 0.7})
    )
    succeed(other.materialize("gold/experiment_assignment", MONTH))
    result = other.materialize("gold/release", MONTH)
    assert not result.success
    assert "gold/experiment_assignment" in failure(result) or "experiment" in failure(result)
    assert current(project.lake).id == before


def test_where_releases_wait_readers_see_the_old_one_until_somebody_releases(
    project: Project, tmp_path: Path
) -> None:
    before = current(project.lake)
    changes: dict[str, Any] = {"release": "manual", "campaign": {"holdout_share": 0.7}}
    manual = Project(project.folder, project.source, **scenario.settings(**changes))
    quick = {"poll_seconds": 0.1}
    served = manual.settings.model_copy(update={"serving": {**quick}})
    with TestClient(build_app(open_lake(manual.settings), manual.settings)) as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        succeed(manual.materialize_all(AGAIN, MONTH))
        service.refresh()
        assert current(project.lake).id == before.id
        assert service.snapshot.state[0][-1] == before.id
        waiting = releases_of(project).record(MONTH).latest
        assert waiting not in (None, before.id)
        assert {file.parents[1].name for file in lists(project)} == {before.id}
        environment = {
            "TRAVELTIDE_RELEASE": "manual",
            "TRAVELTIDE_CAMPAIGN__HOLDOUT_SHARE": "0.7",
        }
        listed = traveltide(project, "releases", **environment).output
        assert [line.split()[1:3] for line in listed.splitlines()[1:]] == [
            [before.id, "current"],
            [str(waiting), "prepared"],
        ]
        done = traveltide(project, "release", "--month", MONTH, **environment)
        assert done.exit_code == 0, done.output
        assert f"Release {waiting} of {MONTH} is current" in done.output
        assert f"traveltide release --to {before.id}" in done.output
        service.refresh()
        assert service.snapshot.state[0][-1] == waiting
    assert served


def test_going_back_leaves_out_whoever_was_suppressed_since_and_what_was_mailed_stays(
    project: Project, tmp_path: Path
) -> None:
    first, users = current(project.lake), mailed_to(project)
    noted = traveltide(project, "release", "--mailed", first.id)
    assert f"Release {first.id} of {MONTH}: mailed 20" in noted.output
    other = {"TRAVELTIDE_CAMPAIGN__HOLDOUT_SHARE": "0.7"}
    assert traveltide(project, "release", **other).exit_code == 0
    assert current(project.lake).id != first.id
    back = traveltide(project, "release", "--to", first.id)
    assert back.exit_code == 0, back.output
    assert current(project.lake).id == first.id
    assert mailed_to(project) == users
    listed = {"TRAVELTIDE_CAMPAIGN__SUPPRESSION_FILE": str(suppressing(tmp_path, min(users)))}
    again = traveltide(project, "release", "--to", first.id, **listed)
    assert f"It is {first.id} without customers suppressed since" in again.output
    made = current(project.lake)
    assert made.manifest.made_from == first.id
    assert mailed_to(project) == users - {min(users)}
    (line,) = [line for line in releases_of(project).all() if line.entry.id == first.id]
    assert line.mailed is not None
    with instance_in(project.folder / "dagster") as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["gold", "release"]))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["release"].value == made.id


def test_a_release_says_itself_that_its_customers_are_generated(
    sample_project: Project, tmp_path: Path
) -> None:
    shutil.copytree(sample_project.lake / "releases", tmp_path / "lake" / "releases")
    releases = Releases(Folder(tmp_path / "lake"))
    made = releases.current()
    mailed = made.read(next(name for name in made.names if name.endswith(".csv")))
    user = int(pd.read_csv(io.BytesIO(mailed))["user_id"].iloc[0])
    again = reissue(releases, made, read_suppressed(suppressing(tmp_path, user)), keep=12)
    assert again.id != made.id
    assert again.manifest.notice == made.manifest.notice
    shown = CliRunner().invoke(main, ["show"], env={"TRAVELTIDE_LAKE": str(tmp_path / "lake")})
    assert shown.output.startswith(GENERATED)


def test_the_mailing_folder_holds_the_current_release_and_nobody_suppressed_since(
    project: Project, tmp_path: Path
) -> None:
    mails, users = tmp_path / "mails", mailed_to(project)
    done = traveltide(project, "mailing", "--to", str(mails))
    assert done.exit_code == 0, done.output
    made = current(project.lake)
    for file in mails.glob("[!.]*"):
        assert file.read_bytes() == made.read(f"{MAILING}{file.name}")
    listed = {"TRAVELTIDE_CAMPAIGN__SUPPRESSION_FILE": str(suppressing(tmp_path, min(users)))}
    assert traveltide(project, "mailing", "--to", str(mails), **listed).exit_code == 0
    written = {user for file in mails.glob("*.csv") for user in pd.read_csv(file)["user_id"]}
    assert written == users - {min(users)} == mailed_to(project)


def test_a_lake_without_releases_says_what_to_run_and_that_works(
    project: Project, tmp_path: Path
) -> None:
    released = current(project.lake)
    shutil.rmtree(project.lake / "releases")
    (project.lake / "gold/campaign" / f"month={MONTH}" / "facts.json").unlink()
    for command in (["show"], ["explain", "1"], ["report"], ["mailing", "--to", str(tmp_path)]):
        done = traveltide(project, *command)
        assert done.exit_code == 1
        assert "run `traveltide release` if the month is decided" in done.output
    done = traveltide(project, "release")
    assert done.exit_code == 0, done.output
    assert current(project.lake).id == released.id
    assert "Cohort of" in traveltide(project, "show").output


def test_a_released_file_that_is_damaged_is_not_shown(project: Project) -> None:
    made = current(project.lake)
    (file,) = project.lake.glob(f"releases/*/{made.id}/{ASSIGNMENTS}")
    content = file.read_bytes()
    file.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    done = traveltide(project, "show")
    assert done.exit_code == 1
    assert f"{ASSIGNMENTS} is not what was released" in done.output
    assert traveltide(project, "release").exit_code == 0
    assert traveltide(project, "show").exit_code == 0


def test_the_job_of_the_ui_releases_what_waits(project: Project) -> None:
    job = project.definitions.resolve_job_def(RELEASE)
    assert job.tags[tags.RELEASE] == "now"
    names = {node.name for node in job.nodes if not node.name.endswith("_checks")}
    assert names == {
        *("gold__experiment_assignment", "experiment", "offers", "campaign", "gold__report"),
        *("gold__campaign_outcomes", "gold__campaign_readout", "policies"),
        "gold__release",
    }


def test_what_was_not_wholly_ingested_is_not_released(project: Project) -> None:
    """Bronze is compared with the source when it is ingested, so that outcome is looked up."""
    before = current(project.lake).id
    with instance_in(project.folder / "dagster") as instance:
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(["bronze", "hotels_raw"]),
                check_name="reconciliation",
                passed=False,
                blocking=True,
            )
        )
    result = project.materialize("gold/release", MONTH)
    assert not result.success
    assert "bronze/hotels_raw:reconciliation" in failure(result)
    assert current(project.lake).id == before
