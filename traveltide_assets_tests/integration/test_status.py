"""What is out of date after a change, and nothing else: code, catalogue, settings and files."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

import traveltide_assets
from traveltide_assets.catalogue import FOLDER
from traveltide_assets.defs import run
from traveltide_assets.defs.staleness import Stale
from traveltide_assets.lake.storage import folder as storage_folder
from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.processes import ROOT
from traveltide_assets_tests.support.project import Project, instance_in, succeed

MAY, JUNE = "2023-05", "2023-06"
SCORED = {
    "gold/segmentation_scorecard",
    "gold/strategy_agreement",
    "gold/strategy_decision",
}
TRIED = {"gold/perk_evidence", "gold/perk_evidence_by_cut", "gold/perks_tried"}
PRINTS = """
import json, sys
from pathlib import Path
from traveltide_assets.lake.storage import folder
from traveltide_assets_tests.integration.test_status import by_size_and_time, open_project, stale_in
folder._version_of = by_size_and_time
found = stale_in(open_project(Path(sys.argv[1])))
print(json.dumps([[each.asset, each.month, each.changes, each.rests_on] for each in found]))
"""


def by_size_and_time(status: os.stat_result) -> str:
    """The version of a file that was changed and put back: an inode's own time cannot be."""
    return f"{status.st_size}-{status.st_mtime_ns}"


@pytest.fixture(scope="module", autouse=True)
def _files_can_be_put_back() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage_folder, "_version_of", by_size_and_time)
        yield


def open_project(folder: Path, **changes: Any) -> Project:
    """The travellers of the scenario, with files of a month each and a catalogue of their own."""
    perks = {"perks_file": folder / "perks.toml"}
    return Project(folder, folder / "source", **scenario.settings(**(perks | changes)))


def stale_in(project: Project) -> list[Stale]:
    """What `traveltide status` reports of a project."""
    with instance_in(project.folder / "dagster") as instance:
        found, stored = run.out_of_date(project.definitions, project.settings, instance)
    assert stored > 40
    return found


def changed(found: list[Stale], month: str = JUNE) -> dict[str, tuple[str, ...]]:
    """What has changed by asset, of a month or of assets without months."""
    return {e.asset: e.changes for e in found if e.month in (month, None) and e.changes}


@pytest.fixture(scope="module")
def decided(_files_can_be_put_back: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two decided months. Copy it."""
    folder = tmp_path_factory.mktemp("status") / "project"
    scenario.write_scenario(folder / "source")
    split_by_month(folder / "source" / "sessions.csv")
    shutil.copy(FOLDER / "perks.toml", folder)
    project = open_project(folder)
    succeed(project.ingest(**scenario.PARTITIONS))
    succeed(project.assign(MAY))
    succeed(project.assign(JUNE))
    return folder


def split_by_month(sessions: Path) -> None:
    """A file of sessions for each month in place of one for all."""
    with sessions.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["session_start"])
    for month, of_month in groupby(rows, key=lambda row: row["session_start"][:7]):
        target = sessions.with_name(f"sessions_{month}.csv")
        with target.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(of_month)
    sessions.unlink()


@pytest.fixture
def folder(decided: Path) -> Path:
    """The project itself: nothing here is materialized, and what a test changes it puts back."""
    return decided


@pytest.fixture
def edited(folder: Path) -> Any:
    """Changes a file of the project for the length of a test."""
    before: dict[Path, tuple[bytes, int]] = {}

    def edit(name: str, change: Callable[[str], str]) -> None:
        path = folder / name
        before[path] = path.read_bytes(), path.stat().st_mtime_ns
        text = path.read_text(encoding="utf-8")
        assert change(text) != text
        path.write_text(change(text), encoding="utf-8")

    yield edit
    for path, (content, time) in before.items():
        path.write_bytes(content)
        os.utime(path, ns=(time, time))


def test_after_a_run_everything_is_up_to_date(folder: Path) -> None:
    assert stale_in(open_project(folder)) == []


def test_a_setting_names_the_assets_that_use_it_and_the_months(folder: Path) -> None:
    quick = scenario.QUICK["evidence"] | {"refits": 3}
    found = stale_in(open_project(folder, evidence=quick))
    for month in (MAY, JUNE):
        direct = changed(found, month)
        # They are handed the whole section, and the report shows it.
        assert set(direct) == SCORED | TRIED | {"gold/report"}
        for asset in SCORED | TRIED:
            assert direct[asset] == ("changed: setting evidence",)
    # What the strategy that decides is made of rests on the decision.
    assert {"gold/perk_assignments", "gold/release"} <= {each.asset for each in found}
    assert "gold/segments/kmeans" not in {each.asset for each in found}
    (report,) = [each for each in found if each.asset == "gold/report" and each.month == JUNE]
    assert SCORED | (TRIED - {"gold/perks_tried"}) <= set(report.rests_on)


def test_a_setting_of_a_strategy_names_its_segments_and_what_rests_on_them(folder: Path) -> None:
    found = stale_in(open_project(folder, kmeans=scenario.SMALL | {"restarts": 3}))
    direct = changed(found)
    assert {"gold/kmeans_model", "gold/segments/kmeans"} <= set(direct)
    assert "gold/segments/five_personas" not in {each.asset for each in found}
    assert "gold/user_features" not in {each.asset for each in found}
    assert "gold/campaign" in {each.asset for each in found}


def test_the_catalogue_names_what_is_made_of_it(
    folder: Path, edited: Callable[[str, Callable[[str], str]], None]
) -> None:
    edited("perks.toml", lambda text: text.replace("headline = ", "headline =  ", 1))
    direct = changed(stale_in(open_project(folder)))
    assert set(direct.values()) == {("inputs/perk_catalogue has changed",)}
    assert {"gold/perk_catalogue", "gold/perk_assignments", "gold/perk_evidence"} <= set(direct)
    assert not {asset for asset in direct if "final" in asset or not asset.startswith("gold/")}


def test_a_file_of_one_month_names_that_month_alone(
    folder: Path, edited: Callable[[str, Callable[[str], str]], None]
) -> None:
    edited("source/sessions_2023-06.csv", lambda text: text + text.splitlines()[-1] + "\n")
    found = stale_in(open_project(folder))
    assert changed(found)["bronze/sessions_raw"] == ("inputs/sessions of 2023-06 has changed",)
    months: dict[str, set[str | None]] = {each.asset: set() for each in found}
    for each in found:
        months[each.asset].add(each.month)
    assert months["bronze/sessions_raw"] == {JUNE}
    assert months["silver/sessions_processed"] == {JUNE}
    assert months["gold/report"] == {JUNE}
    assert "bronze/users_raw" not in months
    assert "silver/hotels_processed" not in months


def test_a_file_without_months_names_every_month_that_rests_on_it(
    folder: Path, edited: Callable[[str, Callable[[str], str]], None]
) -> None:
    edited("source/hotels.csv", lambda text: text + "\n")
    found = stale_in(open_project(folder))
    assert changed(found)["bronze/hotels_raw"] == ("inputs/hotels has changed",)
    of_hotels = {each.month for each in found if each.asset == "gold/hotels_final"}
    assert of_hotels == {MAY, JUNE}
    assert not {"bronze/flights_raw", "gold/flights_final", "gold/users_final"} & {
        each.asset for each in found
    }


def stale_with_other_code(decided: Path, copy: Path, change: Callable[[str], str]) -> list[Stale]:
    """What is out of date for a copy of the package whose `scorecard.py` is changed."""
    package = copy / "traveltide_assets"
    shutil.copytree(Path(traveltide_assets.__file__).parent, package)
    module = package / "evidence" / "scorecard.py"
    module.write_text(change(module.read_text(encoding="utf-8")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PRINTS, str(decided)],
        env=os.environ | {"PYTHONPATH": f"{copy}{os.pathsep}{ROOT}"},
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [
        Stale(asset, month, tuple(changes), tuple(rests_on))
        for asset, month, changes, rests_on in json.loads(done.stdout)
    ]


def test_changed_code_names_what_it_computes(decided: Path, tmp_path: Path) -> None:
    found = stale_with_other_code(decided, tmp_path, lambda text: f"{text}\n\n_NEVER_USED = 1\n")
    direct = changed(found)
    assert set(direct) == SCORED
    assert set(direct.values()) == {("changed: code",)}
    # The strategy that decides is chosen by it, so the perks rest on it, but no segments do.
    stale = {each.asset for each in found}
    assert SCORED | {"gold/perk_assignments", "gold/report", "gold/release"} <= stale
    assert not {asset for asset in stale if asset.startswith("gold/segments/")}


def test_words_of_the_code_change_nothing(decided: Path, tmp_path: Path) -> None:
    def reword(text: str) -> str:
        return text.replace('"""', '"""In other words: ', 1) + "# And a comment.\n"

    assert stale_with_other_code(decided, tmp_path, reword) == []
