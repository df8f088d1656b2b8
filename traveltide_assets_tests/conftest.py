"""Sources and finished runs that many tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock

from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.stats.cycles import look_rarely
from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.postgres_server import PostgresServer
from traveltide_assets_tests.support.project import Project, succeed
from traveltide_assets_tests.support.s3_server import S3Server, running_s3

REAL = Path(
    os.environ.get(
        "REAL_COHORT",
        Path(__file__).parents[2] / "shared" / "data" / "traveltide_cohort",
    )
)
TRIALS = Path(os.environ.get("TRIALS", REAL.parent / "trials"))
CASES = Path(os.environ.get("CASES", Path(__file__).parents[2] / "shared" / "cases"))
FIRST, LAST = "2022-10", "2023-07"
BOUNDS = {"first": FIRST, "last": LAST}
# Enough to be the real thing, and no more: tests of behaviour do not need narrow intervals.
QUICK = {"resamples": 100, "permutations": 100, "folds": 2, "refits": 2, "cuts": 2}
FEW_MODELS = {"folds": 2, "repeats": 1, "iterations": 10, "resamples": 200}

# As every process of the system does.
look_rarely()

# Several tests are at work at a time, so each run of theirs takes one core for what it fits.
os.environ["LOKY_MAX_CPU_COUNT"] = "1"

# How long an example takes is a matter of what else the machine does.
hypothesis.settings.register_profile("traveltide", deadline=None)
hypothesis.settings.load_profile("traveltide")

TESTS = Path(__file__).parent
# Files of few tests that take long; begun last, they would leave the other processes idle.
SLOW = (
    "test_ui_in_browser.py",
    "test_deployment.py",
    "test_cli.py",
    "test_point_in_time.py",
    "test_scorecard.py",
    "test_serving.py",
    "test_status.py",
    "test_wheel.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test is marked by its folder: unit, integration, servers or spark."""
    items.sort(key=lambda item: item.path.name not in SLOW)
    for item in items:
        item.add_marker(item.path.relative_to(TESTS).parts[0])


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all processes of a test run share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@contextmanager
def once(folder: Path) -> Iterator[bool]:
    """Whether the folder is still to be filled: by the first process that asks, others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    filled = folder / "filled"
    with FileLock(f"{folder}.lock"):
        yield not filled.exists()
        filled.touch()


@pytest.fixture(scope="session")
def sample_source(shared: Path) -> Path:
    """A generated source of 1,200 users, half of them active customers."""
    with once(shared / "sample-source") as empty:
        if empty:
            spec = SampleSpec(users=1_200, seed=11, active_share=0.5)
            write_sample(shared / "sample-source" / "sample", spec)
    return shared / "sample-source" / "sample"


@pytest.fixture(scope="session")
def sample_project(shared: Path, sample_source: Path) -> Project:
    """The sample, ingested in one run and decided for the last two months. Do not change it."""
    project = Project(
        shared / "sample", sample_source, partitions=BOUNDS, evidence=QUICK, prediction=FEW_MODELS
    )
    with once(project.folder) as empty:
        if empty:
            succeed(project.ingest(FIRST, LAST))
            succeed(project.assign("2023-06"))
            succeed(project.assign(LAST))
    return project


@pytest.fixture(scope="session")
def real_source() -> Path:
    """The real tables of the cohort; tests that need them are skipped where they are absent."""
    if not REAL.is_dir():
        pytest.skip("the real cohort is not on this machine")
    return REAL


@pytest.fixture(scope="session")
def cases() -> Path:
    """Small sources that once went wrong; tests that need them are skipped where they are absent.

    `base300` is sound; every other folder holds files to be put in its place.
    """
    if not CASES.is_dir():
        pytest.skip("the damaged sources are not on this machine")
    return CASES


@pytest.fixture(scope="session")
def real_project(shared: Path, real_source: Path) -> Project:
    """The real cohort, ingested in one run and decided for its last month. Do not change it."""
    bounds = {"first": "2023-01", "last": LAST}
    project = Project(shared / "real", real_source, partitions=bounds)
    with once(project.folder) as empty:
        if empty:
            succeed(project.ingest("2023-01", LAST))
            succeed(project.assign(LAST))
    return project


@pytest.fixture(scope="session")
def scenario_project(shared: Path) -> Project:
    """The hand-made travellers, decided for their month. Do not change it."""
    folder = shared / "scenario"
    project = Project(folder, folder / "source", **scenario.settings())
    with once(folder) as empty:
        if empty:
            scenario.write_scenario(folder / "source")
            succeed(project.ingest(**scenario.PARTITIONS))
            succeed(project.assign(scenario.MONTH))
    return project


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server; `monkeypatch.setenv` of its `environment` makes boto3 use it."""
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL. Who stops it starts it again; take a fresh database of it each."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()
