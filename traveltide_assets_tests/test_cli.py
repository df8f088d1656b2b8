"""The commands as a person runs them: real processes on a small source."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from traveltide_assets_tests import scenario
from traveltide_assets_tests.processes import SMALL

COMMAND = Path(sys.executable).parent / "traveltide"
SETTINGS = SMALL | {
    "TRAVELTIDE_PARTITIONS__FIRST": "2023-04",
    "TRAVELTIDE_PARTITIONS__LAST": "2023-05",
    "TRAVELTIDE_COHORT__ACTIVE_SINCE": "2023-04-01",
    "TRAVELTIDE_KMEANS__K": "2",
    "TRAVELTIDE_KMEANS__MAX_K": "3",
}
Done = subprocess.CompletedProcess[str]


def traveltide(folder: Path, *arguments: str, **changes: str) -> Done:
    """Run the command in a folder with the settings of the scenario."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRAVELTIDE_") and name != "DAGSTER_HOME"
    }
    environment = inherited | SETTINGS | {"COLUMNS": "400"} | changes
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def gold(folder: Path) -> dict[str, str]:
    root = folder / "lake" / "gold"
    return {
        str(file.relative_to(root)): sha256(file.read_bytes()).hexdigest()
        for file in sorted(root.rglob("*"))
        if file.is_file()
    }


def assert_clear_error(done: Done, *said: str) -> None:
    assert done.returncode == 1
    for words in said:
        assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scenario's travellers as its source."""
    folder = tmp_path_factory.mktemp("cli")
    scenario.write_scenario(folder / "source")
    return folder


@pytest.fixture(scope="module")
def first(place: Path) -> Done:
    done = traveltide(place, "run", TRAVELTIDE_SOURCE="source")
    assert done.returncode == 0, done.stderr
    return done


def test_help_lists_the_commands(tmp_path: Path) -> None:
    done = traveltide(tmp_path, "--help")
    assert done.returncode == 0
    for command in ("run", "sample", "show", "explain"):
        assert f"\n  {command} " in done.stdout


def test_the_summary_of_a_run_counts_rows_customers_and_segments(first: Done) -> None:
    counted = {
        line.split()[0]: line.split()[1:] for line in first.stdout.splitlines() if line.split()
    }
    assert counted["users"] == ["10", "10", "0"]
    # Four sessions lie in June and one in March, outside the months of the settings.
    assert counted["sessions"] == ["23", "18", "0", "(+", "5", "undated)"]
    assert counted["flights"] == ["5", "5", "0"]
    assert counted["hotels"] == ["3", "3", "0"]
    assert "cohort of 2023-05: 7 customers with at least 2 sessions from 2023-04-01" in first.stdout
    assert "features that made it" in first.stdout
    assert " SD)" in first.stdout
    assert "no_undated_sessions" in first.stdout
    assert str(Path("lake/gold/perk_assignments/month=2023-05")) in first.stdout


def test_show_repeats_the_decision(place: Path, first: Done) -> None:
    done = traveltide(place, "show")
    assert done.returncode == 0
    segments = [line for line in done.stdout.splitlines() if "%" in line]
    assert len(segments) == 2
    assert all(line in first.stdout for line in segments)


def test_show_of_a_month_without_a_decision_says_what_to_run(place: Path, first: Done) -> None:
    done = traveltide(place, "show", "--month", "2023-04")
    assert_clear_error(done, "no perks decided for 2023-04", "traveltide run --month 2023-04")


def test_explain_tells_a_customers_perk_and_features(place: Path, first: Done) -> None:
    done = traveltide(place, "explain", str(scenario.PACKAGE))
    assert done.returncode == 0
    assert f"user {scenario.PACKAGE}, as of the end of 2023-05" in done.stdout
    for words in ("perk:", "segment:", "decided by", "runner-up:"):
        assert words in done.stdout
    nights = [line for line in done.stdout.splitlines() if "hotel nights" in line][-1]
    # Their own 3 nights; 7 nights among the 7 customers of the cohort.
    assert nights.split()[-3] == "3.00"
    assert nights.split()[-1] == "1.00"


def test_explain_of_somebody_outside_the_cohort_says_so(place: Path, first: Done) -> None:
    done = traveltide(place, "explain", str(scenario.SEEN_ONCE))
    assert_clear_error(done, "user 8 is not in the cohort of 2023-05", "at least 2 sessions")


def test_running_again_changes_no_byte_of_gold(place: Path, first: Done) -> None:
    before = gold(place)
    assert len(before) >= 10
    again = traveltide(place, "run", TRAVELTIDE_SOURCE="source")
    assert again.returncode == 0
    assert gold(place) == before


@pytest.mark.parametrize("month", ["2099-01", "2023-04-15"])
def test_a_month_that_cannot_be_decided_is_refused_before_anything_runs(
    tmp_path: Path, month: str
) -> None:
    done = traveltide(tmp_path, "run", "--month", month, TRAVELTIDE_SOURCE="source")
    assert_clear_error(done, f"--month {month}", "from 2023-04 to 2023-05")
    assert not (tmp_path / "lake").exists()


def test_a_source_without_a_table_is_a_clear_error_and_writes_nothing(tmp_path: Path) -> None:
    source = scenario.write_scenario(tmp_path / "source")
    (source / "hotels.csv").unlink()
    done = traveltide(tmp_path, "run", TRAVELTIDE_SOURCE="source")
    assert_clear_error(done, "has no file for hotels", "users.csv")
    assert not list(tmp_path.glob("lake/**/*.parquet"))


def test_a_wrong_setting_is_a_clear_error(tmp_path: Path) -> None:
    done = traveltide(tmp_path, "show", TRAVELTIDE_COHORT__MIN_SESSIONS="many")
    assert_clear_error(done, "cohort.min_sessions")


def test_a_wrong_perk_catalogue_is_told_in_full(tmp_path: Path) -> None:
    catalogue = tmp_path / "perks[1].toml"
    catalogue.write_text('[[perk]]\nid = "x"\n', encoding="utf-8")
    done = traveltide(tmp_path, "show", TRAVELTIDE_PERKS_FILE=str(catalogue))
    assert_clear_error(done, "perks[1].toml", "[type=missing")


def test_sample_writes_a_source_of_the_size_asked_for(tmp_path: Path) -> None:
    done = traveltide(tmp_path, "sample", "small", "--users", "50", "--seed", "3")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "small" / "users.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 51
    names = {path.name for path in (tmp_path / "small").iterdir()}
    assert names >= {"users.csv", "sessions.csv", "flights.csv", "hotels.csv"}


def test_a_sample_of_nobody_is_refused(tmp_path: Path) -> None:
    done = traveltide(tmp_path, "sample", "small", "--users", "0")
    assert done.returncode == 2
    assert "users" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "small").exists()
