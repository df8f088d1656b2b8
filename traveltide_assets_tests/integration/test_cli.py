"""The commands as a person runs them: real processes on a small source."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.lake.config import Lease as Config
from traveltide_assets.lake.lease import Lease
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.settings import Settings
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.processes import SMALL
from traveltide_assets_tests.support.project import Project

COMMAND = Path(sys.executable).parent / "traveltide"
SETTINGS = SMALL | {
    # Commands that read do not name the source, and without one the lake is that of the sample.
    "TRAVELTIDE_LAKE": "lake",
    "TRAVELTIDE_PARTITIONS__FIRST": "2023-04",
    "TRAVELTIDE_PARTITIONS__LAST": "2023-05",
    "TRAVELTIDE_COHORT__ACTIVE_SINCE": "2023-04-01",
    # Too few customers for evidence, so nothing would be recommended.
    "TRAVELTIDE_STRATEGY": "kmeans",
    "TRAVELTIDE_KMEANS__K": "2",
    "TRAVELTIDE_KMEANS__MAX_K": "3",
}
ODD = {"TRAVELTIDE_LAKE": "lake [v2]", "TRAVELTIDE_PERKS_FILE": "perks [v2].toml"}
Done = subprocess.CompletedProcess[str]


def environment(**changes: str) -> dict[str, str]:
    """The settings of the scenario, and of this machine what no setting is."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRAVELTIDE_") and name != "DAGSTER_HOME"
    }
    return inherited | SETTINGS | {"COLUMNS": "400"} | changes


def traveltide(folder: Path, *arguments: str, **changes: str) -> Done:
    """Run the command in a folder with the settings of the scenario."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=environment(**changes),
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


def released_report(folder: Path) -> Path:
    """The report of the current release of the only decided month."""
    record = json.loads((folder / "lake/releases/2023-05.json").read_text("utf-8"))
    return Path("lake/releases/month=2023-05") / record["current"] / "report.html"


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
    for command in ("run", "sample", "show", "explain", "report", "serve", "completion"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize("module", ["traveltide_assets", "traveltide_assets.cli"])
def test_python_dash_m_does_what_the_command_does(tmp_path: Path, module: str) -> None:
    started = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert started.returncode == 0, started.stderr
    assert started.stdout == traveltide(tmp_path, "--help", COLUMNS="80").stdout


def imported_by(folder: Path, *arguments: str) -> set[str]:
    """Every module that a command imports."""
    done = traveltide(folder, *arguments, PYTHONPROFILEIMPORTTIME="1")
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_help_imports_nothing_that_takes_long(tmp_path: Path) -> None:
    imported = imported_by(tmp_path, "--help")
    assert "click" in imported
    heavy = {"dagster", "duckdb", "ibis", "numpy", "pandas", "pyarrow", "pydantic", "rich"}
    assert not heavy & imported


def test_version_is_that_of_the_package(tmp_path: Path) -> None:
    done = traveltide(tmp_path, "--version")
    assert done.stdout == f"traveltide {version('traveltide_assets')}\n"


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    script = (
        'eval "$(traveltide completion bash)"\n'
        "complete_words() { COMPREPLY=(); COMP_WORDS=(traveltide $@); COMP_CWORD=$#;"
        " _traveltide_completion traveltide; echo ${COMPREPLY[@]}; }\n"
        "complete_words expl\n"
        "complete_words sample --us\n"
    )
    path = f"{COMMAND.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["explain", "--users"], done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_of_their_own(tmp_path: Path, shell: str) -> None:
    done = traveltide(tmp_path, "completion", shell)
    assert done.returncode == 0
    assert f"_TRAVELTIDE_COMPLETE={shell}_complete" in done.stdout


def test_the_summary_of_a_run_counts_rows_customers_and_segments(first: Done) -> None:
    counted = {
        line.split()[0]: line.split()[1:] for line in first.stdout.splitlines() if line.split()
    }
    # Four sessions lie in June and one in March, outside the months of the settings.
    assert counted["table"] == ["rows", "read", "processed", "quarantined", "no", "month"]
    assert counted["users"] == ["10", "10", "0", "0"]
    assert counted["sessions"] == ["23", "18", "0", "5"]
    assert counted["flights"] == ["5", "5", "0", "0"]
    assert counted["hotels"] == ["3", "3", "0", "0"]
    assert "Cohort of 2023-05: 7 customers with at least 2 sessions from 2023-04-01" in first.stdout
    assert " SD)" in first.stdout
    assert "within_bounds" in first.stdout
    assert "TRAVELTIDE_PARTITIONS__FIRST" in first.stdout
    assert str(Path("lake/releases/month=2023-05")) in first.stdout


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize(
    "arguments", [("show",), ("explain", "1"), ("explain", "99999"), ("releases",)], ids=" ".join
)
def test_what_reads_a_release_imports_no_engine(place: Path, arguments: tuple[str, ...]) -> None:
    imported = imported_by(place, *arguments)
    assert "pyarrow.parquet" in imported
    heavy = {"dagster", "duckdb", "ibis", "scipy", "sklearn", "sqlglot", "pyspark", "boto3"}
    assert not heavy & imported


def test_show_repeats_the_decision(place: Path, first: Done) -> None:
    done = traveltide(place, "show")
    assert done.returncode == 0
    assert done.stdout in first.stdout
    assert len([line for line in done.stdout.splitlines() if " (segment: " in line]) == 2
    # Of seven customers.
    shares = re.findall(r"\d  +([\d.]+)%$", done.stdout, re.MULTILINE)
    assert sum(map(float, shares)) == pytest.approx(100, abs=0.1)


def test_show_gives_the_reasons_in_sentences_before_the_table(place: Path, first: Done) -> None:
    done = traveltide(place, "show")
    words, _, table = done.stdout.partition("\nsegment ")
    assert words.count("Why this perk: ") == 2
    assert re.search(r"They [a-z]+ .*\d.*; customers in the cohort [a-z]+ .*\d.*\.", words)
    assert "Why this perk" not in table
    # Features go by the names that people use for them, not by those of columns.
    assert "_" not in done.stdout


def test_show_of_a_month_without_a_decision_says_what_to_run(place: Path, first: Done) -> None:
    done = traveltide(place, "show", "--month", "2023-04")
    assert_clear_error(
        done, "no perks have been decided for 2023-04 in lake", "traveltide run --month 2023-04"
    )


def test_show_of_a_month_outside_the_settings_does_not_advise_to_run_it(
    place: Path, first: Done
) -> None:
    done = traveltide(place, "show", "--month", "2099-01")
    assert_clear_error(done, "no perks have been decided for 2099-01", "from 2023-04 to 2023-05")
    assert "traveltide run" not in done.stderr


def test_explain_gives_a_customers_perk_reasons_and_features(place: Path, first: Done) -> None:
    done = traveltide(place, "explain", str(scenario.PACKAGE))
    assert done.returncode == 0
    assert f"Customer {scenario.PACKAGE} at the end of 2023-05" in done.stdout
    for words in ("Perk:", "Segment:", "Decided by:", "Runner-up:", "Why this perk: "):
        assert f"\n{words}" in done.stdout
    nights = [line for line in done.stdout.splitlines() if "hotel nights" in line][-1]
    # Their own 3 nights; 7 nights among the 7 customers of the cohort.
    assert nights.split()[-3] == "3"
    assert nights.split()[-1] == "1.0"


def test_explain_of_somebody_outside_the_cohort_says_so(place: Path, first: Done) -> None:
    done = traveltide(place, "explain", str(scenario.SEEN_ONCE))
    assert_clear_error(done, "user 8 is not in the cohort of 2023-05", "at least 2 sessions")


@pytest.mark.parametrize(
    "arguments", [("show",), *(("explain", str(user)) for user in scenario.CUSTOMERS)]
)
def test_reasons_read_well_at_80_columns(
    place: Path, first: Done, arguments: tuple[str, ...]
) -> None:
    assert_fits(
        traveltide(place, *arguments, COLUMNS="80"), traveltide(place, *arguments, COLUMNS="400")
    )


def test_reasons_of_the_real_cohort_read_well_at_80_columns(real_project: Project) -> None:
    rule = real_project.settings.cohort
    place = {
        "TRAVELTIDE_LAKE": str(real_project.lake),
        "TRAVELTIDE_COHORT__MIN_SESSIONS": str(rule.min_sessions),
        "TRAVELTIDE_COHORT__ACTIVE_SINCE": str(rule.active_since),
    }
    assigned = real_project.frame("gold/perk_assignments", LAST)
    shown = [traveltide(real_project.folder, "show", COLUMNS=c, **place) for c in ("80", "400")]
    assert_fits(*shown)
    assert f"Cohort of {LAST}: {len(assigned):,} customers" in shown[0].stdout
    for user in assigned.groupby("perk")["user_id"].first():
        explain = ("explain", str(user))
        assert_fits(
            *(traveltide(real_project.folder, *explain, COLUMNS=c, **place) for c in ("80", "400"))
        )


def assert_fits(narrow: Done, wide: Done) -> None:
    """Nothing is wider than 80 columns or cut, and no word is broken: none is new in there."""
    assert narrow.returncode == 0, narrow.stderr
    assert "…" not in narrow.stdout
    assert max(map(len, narrow.stdout.splitlines())) <= 80
    assert set(re.findall(r"\w+", narrow.stdout)) == set(re.findall(r"\w+", wide.stdout))


def test_running_again_changes_no_byte_of_gold(place: Path, first: Done) -> None:
    before = gold(place)
    assert len(before) >= 10
    again = traveltide(place, "run", TRAVELTIDE_SOURCE="source")
    assert again.returncode == 0
    assert gold(place) == before


def test_a_lake_in_use_is_told_and_left_alone(place: Path, first: Done) -> None:
    before = gold(place)
    with Lease(Folder(place / "lake"), Config()).held("0123456789", "a job", lambda _: None):
        waits = {"TRAVELTIDE_LEASE__WAIT_SECONDS": "0"}
        done = traveltide(place, "run", TRAVELTIDE_SOURCE="source", **waits)
        status = traveltide(place, "status", TRAVELTIDE_SOURCE="source")
    who = f"run 01234567 (a job) of process {os.getpid()} on "
    assert_clear_error(done, f"waiting for {who}", f"lake is in use by {who}", "WAIT_SECONDS")
    assert status.stdout.startswith(f"In use by {who}")
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
    assert done.stderr.count("has no file for hotels") == 1
    assert not list(tmp_path.glob("lake/**/*.parquet"))


def test_an_error_of_the_source_begins_with_what_is_wrong(tmp_path: Path) -> None:
    source = scenario.write_scenario(tmp_path / "source")
    hotels = (source / "hotels.csv").read_text(encoding="utf-8")
    (source / "hotels.csv").write_text(hotels.replace("trip_id", "trip", 1), encoding="utf-8")
    done = traveltide(tmp_path, "run", TRAVELTIDE_SOURCE="source")
    assert_clear_error(done, "(in step bronze__")
    wrong = "error: source/hotels.csv: table hotels lacks the required column trip_id"
    assert done.stderr.lstrip().startswith(wrong)
    assert "traveltide_assets." not in done.stderr


def test_ctrl_c_stops_a_run_without_a_traceback(tmp_path: Path) -> None:
    scenario.write_scenario(tmp_path / "source")
    started = subprocess.Popen(
        [COMMAND, "run"],
        cwd=tmp_path,
        env=environment(TRAVELTIDE_SOURCE="source"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("lake/silver/*/**/*.parquet")):
        assert started.poll() is None, started.stderr
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # Ctrl-C reaches whatever the terminal runs, also what the command has started.
    os.killpg(started.pid, signal.SIGINT)
    printed, said = started.communicate(timeout=120)
    # Where an extension has seen the exception, Python ends by the signal itself: 130 to a shell.
    assert started.returncode in (130, -signal.SIGINT)
    assert said.strip().splitlines()[-1] == "stopped"
    assert "Traceback" not in printed + said
    assert not list(tmp_path.glob("lake/gold/report/**/*.html"))


@pytest.mark.parametrize(
    "arguments", [("explain",), ("explain", "somebody"), ("show", "--year", "2023"), ("tell",)]
)
def test_wrong_usage_has_an_exit_code_of_its_own(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = traveltide(tmp_path, *arguments)
    assert done.returncode == 2
    assert "Usage: traveltide" in done.stderr


def test_a_report_is_opened_in_the_browser(place: Path, first: Done, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n', encoding="utf-8")
    browser.chmod(0o755)
    done = traveltide(place, "report", "--open", BROWSER=f"{browser} %s")
    assert done.returncode == 0
    assert done.stdout == f"{released_report(place)}\n"
    opened = (tmp_path / "opened").read_text(encoding="utf-8").strip()
    assert opened == (place / done.stdout.strip()).as_uri()


def test_without_a_browser_the_report_says_what_to_open(place: Path, first: Done) -> None:
    bare = {"PATH": str(COMMAND.parent), "BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    done = traveltide(place, "report", "--open", **bare)
    assert done.returncode == 0
    file = place / released_report(place)
    assert "No browser was found" in done.stderr
    assert str(file) in done.stderr
    assert done.stdout == f"{released_report(place)}\n"


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run whose titles and paths hold what a terminal library takes for markup."""
    folder = tmp_path_factory.mktemp("odd")
    scenario.write_scenario(folder / "source")
    catalogue = FOLDER / "perks.toml"
    text = catalogue.read_text(encoding="utf-8")
    for perk in load_perks(catalogue):
        text = text.replace(f'title = "{perk.title}"', f'title = "[/b] [red]{perk.id}[v2] :tada:"')
    (folder / "perks [v2].toml").write_text(text, encoding="utf-8")
    decided = traveltide(folder, "run", TRAVELTIDE_SOURCE="source", **ODD)
    assert decided.returncode == 0, decided.stderr
    return folder


def test_brackets_in_titles_and_paths_are_printed_as_they_are(odd: Path) -> None:
    shown = traveltide(odd, "show", **ODD)
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"^\[/b\] \[red\]\w+\[v2\] :tada: for ", shown.stdout, re.MULTILINE)
    told = traveltide(odd, "report", **ODD)
    assert re.fullmatch(r"lake \[v2\]/releases/month=2023-05/\w+/report\.html\n", told.stdout)
    missing = ODD | {"TRAVELTIDE_PERKS_FILE": "perks [v3].toml"}
    again = traveltide(odd, "run", TRAVELTIDE_SOURCE="source", **missing)
    assert_clear_error(again, "perk catalogue perks [v3].toml cannot")


def test_files_of_lake_home_and_run_history_are_private(odd: Path) -> None:
    written = [*(odd / "lake [v2]").rglob("*"), *(odd / ".traveltide").rglob("*")]
    assert any(path.name == "event_log.db" for path in written)
    open_to_others = [path for path in written if path.stat().st_mode & 0o077]
    assert open_to_others == []


def test_a_released_file_that_is_damaged_or_a_copy_without_a_place_is_told(odd: Path) -> None:
    (odd / "copies").write_text("a file")
    for place in ("copies/x.html", "/proc/x.html"):
        assert_clear_error(traveltide(odd, "report", "--to", place, **ODD), "--to")
    damaged = next((odd / "lake [v2]" / "releases").rglob("perk_assignments.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    for command in (["show"], ["explain", "1"]):
        done = traveltide(odd, *command, **ODD)
        assert_clear_error(done, str(damaged.relative_to(odd)), "is not what was released")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("TRAVELTIDE_SOURCE", "postgresql:ana:Hush11@db/travel", "source: not a location"),
        ("TRAVELTIDE_SOURCE", "postgresql://ana:first@Hush11@db/travel", "source: not written as"),
        ("TRAVELTIDE_CONFIG", ".", "it is a folder"),
        ("DAGSTER_HOME", "a?b", "DAGSTER_HOME"),
    ],
)
def test_what_is_mistyped_is_told_without_a_traceback_and_without_a_secret(
    tmp_path: Path, variable: str, value: str, said: str
) -> None:
    done = traveltide(tmp_path, "run", **{variable: value})
    assert_clear_error(done, said)
    assert "Hush11" not in done.stdout + done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if b"Hush11" in path.read_bytes()]


def test_another_source_is_refused_before_anything_is_written(place: Path, first: Done) -> None:
    before = gold(place)
    sample = traveltide(place, "run", TRAVELTIDE_LAKE="lake", TRAVELTIDE_SAMPLE__USERS="9")
    assert_clear_error(sample, "lake is the lake of another source", str(place / "source"))
    assert not (place / ".traveltide" / "sample").exists()
    scenario.write_scenario(place / "moved")
    moved = traveltide(place, "run", TRAVELTIDE_SOURCE="moved")
    assert_clear_error(moved, str(place / "source"), str(place / "moved"), "--same-source")
    both = traveltide(place, "run", "--replace", "--same-source", TRAVELTIDE_SOURCE="moved")
    assert both.returncode == 2
    assert gold(place) == before
    assert "Generated data" not in first.stdout


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


def test_a_sample_is_by_default_that_of_the_settings(tmp_path: Path) -> None:
    declared = Settings.model_fields["sample"].default
    told = " ".join(traveltide(tmp_path, "sample", "--help", COLUMNS="80").stdout.split())
    for name, value in declared.model_dump().items():
        assert f"{type(declared).model_fields[name].description} [default: {value}]" in told
    knobs = {"TRAVELTIDE_SAMPLE__USERS": "30", "TRAVELTIDE_SAMPLE__DIRT": "0.2"}
    done = traveltide(tmp_path, "sample", "small", **knobs)
    assert done.stdout == "30 users in small\n"
    assert (tmp_path / "small" / "damage.csv").exists()


def test_a_sample_of_nobody_is_refused(tmp_path: Path) -> None:
    done = traveltide(tmp_path, "sample", "small", "--users", "0")
    assert done.returncode == 2
    assert "users" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "small").exists()
