"""A lake belongs to one source: another one is refused, or replaces it whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from traveltide_assets.connections.locations import S3Location
from traveltide_assets.defs import tags
from traveltide_assets.defs.jobs import ASSIGN_PERKS, INGEST
from traveltide_assets.lake.ownership import MANIFEST, Claim, Owner, Told, WrongLake, notice_of
from traveltide_assets.lake.storage.base import Storage
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.resources import identify, open_storage
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.settings import Settings
from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.project import Project, failure, succeed
from traveltide_assets_tests.support.s3_server import S3Server

OURS, THEIRS = Owner(location="/data/ours"), Owner(location="/data/theirs")
SAMPLE = Owner(location="the sample users9", generated=True)
KEYS = (
    "bronze/users_raw/users_raw.parquet",
    "gold/perk_assignments/month=2023-05/perk_assignments.parquet",
    "releases/month=2023-05/abc/report.html",
    "releases/month=2023-05/current.json",
    "silver/users_processed/users_processed.parquet",
)
ELSEWHERE = "notes/readme.txt"


@pytest.fixture(params=["folder", "s3"])
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Storage:
    place: Path | S3Location = tmp_path / "lake"
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        place = S3Location(server.bucket(), "some/lake")
    return open_storage(place, tmp_path / "cache", "TRAVELTIDE_LAKE")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "lake")


def claim(storage: Storage, source: Owner, tmp_path: Path, told: Told | None = None) -> Claim:
    return Claim(storage, lambda _: source, tmp_path / "home" / "lock", told)


def put(storage: Storage, key: str) -> None:
    with storage.replacing(key, storage.versions().get(key)) as path:
        path.write_bytes(key.encode())


def fill(storage: Storage, source: Owner, tmp_path: Path) -> None:
    """A lake of a source, with a file in every layer and one that is not of the lake."""
    claim(storage, source, tmp_path).take()
    for key in (*KEYS, ELSEWHERE):
        put(storage, key)


def test_an_empty_lake_is_for_whoever_ingests_first(storage: Storage, tmp_path: Path) -> None:
    claim(storage, OURS, tmp_path).verify()
    assert not storage.versions(), "only looked at"
    claim(storage, OURS, tmp_path).take()
    assert list(storage.versions()) == [MANIFEST]
    claim(storage, OURS, tmp_path).verify()
    stored = storage.versions()
    claim(storage, OURS, tmp_path).take()
    assert storage.versions() == stored, "nothing is written again"


@pytest.mark.parametrize("other", [THEIRS, SAMPLE])
def test_another_source_is_refused_and_nothing_is_written(
    storage: Storage, tmp_path: Path, other: Owner
) -> None:
    fill(storage, OURS, tmp_path)
    before = storage.versions()
    refused = claim(storage, other, tmp_path)
    for use in (refused.verify, partial(refused.verify, ingesting=True), refused.take):
        with pytest.raises(WrongLake) as error:
            use()
        for words in (OURS.location, other.location, "--replace", "TRAVELTIDE_LAKE"):
            assert words in str(error.value)
        assert ("--same-source" in str(error.value)) == (other is THEIRS)
    assert storage.versions() == before


def test_replaced_means_that_nothing_of_the_old_source_stays(
    storage: Storage, tmp_path: Path
) -> None:
    fill(storage, OURS, tmp_path)
    claim(storage, THEIRS, tmp_path, Told.REPLACE).take()
    assert list(storage.versions()) == [MANIFEST, ELSEWHERE]
    claim(storage, THEIRS, tmp_path).verify()
    put(storage, KEYS[0])
    claim(storage, THEIRS, tmp_path, Told.REPLACE).take()
    assert KEYS[0] in storage.versions(), "a run that is repeated keeps what it wrote"
    with pytest.raises(WrongLake):
        claim(storage, OURS, tmp_path).take()


def test_what_was_mailed_is_not_replaced(storage: Storage, tmp_path: Path) -> None:
    fill(storage, OURS, tmp_path)
    put(storage, "releases/month=2023-05/abc/mailed.json")
    before = storage.versions()
    with pytest.raises(WrongLake, match="releases/month=2023-05/abc") as error:
        claim(storage, THEIRS, tmp_path, Told.REPLACE).take()
    assert "TRAVELTIDE_LAKE" in str(error.value)
    assert storage.versions() == before
    claim(storage, THEIRS, tmp_path, Told.SAME_SOURCE).take()


def test_hidden_files_that_a_killed_writer_left_go_as_well(folder: Folder, tmp_path: Path) -> None:
    fill(folder, OURS, tmp_path)
    left = tmp_path / "lake" / "gold" / "report" / ".report.html.1.tmp"
    left.parent.mkdir(parents=True)
    left.touch()
    claim(folder, THEIRS, tmp_path, Told.REPLACE).take()
    found = {path.relative_to(tmp_path / "lake").as_posix() for path in tmp_path.rglob("lake/**/*")}
    assert found == {"bronze", MANIFEST, "gold", "silver", "releases", "notes", ELSEWHERE}


def test_the_same_source_at_another_place_keeps_the_lake(storage: Storage, tmp_path: Path) -> None:
    fill(storage, OURS, tmp_path)
    before = storage.versions()
    claim(storage, THEIRS, tmp_path, Told.SAME_SOURCE).take()
    assert {key for key, v in storage.versions().items() if before.get(key) != v} == {MANIFEST}
    claim(storage, THEIRS, tmp_path).verify()
    with pytest.raises(WrongLake):
        claim(storage, OURS, tmp_path).verify()


def test_generated_and_real_data_are_never_the_same_source(folder: Folder, tmp_path: Path) -> None:
    fill(folder, OURS, tmp_path)
    generated = OURS.model_copy(update={"generated": True})
    for told in (None, Told.SAME_SOURCE):
        with pytest.raises(WrongLake):
            claim(folder, generated, tmp_path, told).take()


@pytest.mark.parametrize("told", Told)
def test_a_lake_of_an_earlier_version_asks_whose_it_is(
    folder: Folder, tmp_path: Path, told: Told
) -> None:
    put(folder, KEYS[0])
    for use in (claim(folder, OURS, tmp_path).take, claim(folder, OURS, tmp_path).verify):
        with pytest.raises(WrongLake, match="does not say whose"):
            use()
    claim(folder, OURS, tmp_path, told).take()
    assert (KEYS[0] in folder.versions()) == (told is Told.SAME_SOURCE)
    claim(folder, OURS, tmp_path).verify()


def test_a_damaged_manifest_is_named(folder: Folder, tmp_path: Path) -> None:
    fill(folder, OURS, tmp_path)
    (tmp_path / "lake" / MANIFEST).write_bytes(b'{"owner": {}}')
    with pytest.raises(WrongLake, match=r"bronze/source\.json"):
        claim(folder, OURS, tmp_path).take()


class Killed(Exception):
    """The process was killed."""


class Mortal(Folder):
    """A folder whose process is killed when it is about to change something for the nth time."""

    def __init__(self, root: Path, life: int) -> None:
        super().__init__(root)
        self._life = itertools.count(1)
        self._end = life

    def _live(self) -> None:
        if next(self._life) >= self._end:
            raise Killed

    @contextmanager
    def replacing(self, key: str, version: str | None) -> Iterator[Path]:
        with super().replacing(key, version) as path:
            yield path
            self._live()

    def clear(self, folder: str, keep: str) -> None:
        for key in self.versions(folder):
            if key != keep:
                self._live()
                self.remove(key)


def test_a_kill_at_any_moment_leaves_a_lake_that_is_refused_or_finished(tmp_path: Path) -> None:
    for life in itertools.count(1):
        root = tmp_path / f"lake{life}"
        folder = Folder(root)
        fill(folder, OURS, tmp_path)
        try:
            claim(Mortal(root, life), THEIRS, tmp_path, Told.REPLACE).take()
        except Killed:
            pass
        else:
            break
        left = set(folder.versions()) & set(KEYS)
        if life > 1:  # The first change is the manifest.
            for use in (claim(folder, OURS, tmp_path).take, claim(folder, THEIRS, tmp_path).verify):
                with pytest.raises(WrongLake):
                    use()
            claim(folder, THEIRS, tmp_path).take()
            assert list(folder.versions()) == [MANIFEST, ELSEWHERE]
        else:
            assert left == set(KEYS)
            claim(folder, OURS, tmp_path).take()
    assert life == len(KEYS) + 3


def test_releases_go_first(folder: Folder, tmp_path: Path) -> None:
    fill(folder, OURS, tmp_path)
    removed: list[str] = []

    class Watched(Folder):
        def clear(self, folder: str, keep: str) -> None:
            removed.append(folder)
            super().clear(folder, keep)

    claim(Watched(tmp_path / "lake"), THEIRS, tmp_path, Told.REPLACE).take()
    assert removed == ["releases", "gold", "silver", "bronze"]


# Which source is which


def test_another_knob_of_the_sample_is_another_source() -> None:
    one = identify(Settings(sample={"seed": 1}))
    assert one.generated
    for other in ({"seed": 2}, {"seed": 1, "users": 9}, {"seed": 1, "dirt": 0.1}):
        assert not one.is_same(identify(Settings(sample=other)))
    moved = identify(Settings(sample={"seed": 1}, home=Path("/elsewhere")))
    assert one.is_same(moved), "the same bytes, wherever they are kept"


def test_a_folder_is_the_same_by_whatever_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    monkeypatch.chdir(tmp_path)
    owners = [identify(Settings(source=str(p))) for p in ("data", "link", tmp_path / "data")]
    assert owners == [Owner(location=str(tmp_path / "data"))] * 3


def test_a_written_sample_is_known_to_be_generated(tmp_path: Path) -> None:
    write_sample(tmp_path / "written", SampleSpec(users=5))
    assert identify(Settings(source=tmp_path / "written")).generated
    scenario.write_scenario(tmp_path / "own")
    (tmp_path / "own" / "truth.csv").write_text("customer,truth\n1,2\n", encoding="utf-8")
    assert not identify(Settings(source=tmp_path / "own")).generated


def test_a_database_is_known_by_what_its_server_says(tmp_path: Path, folder: Folder) -> None:
    named = Owner(location="postgresql://db/travel", database="7/travel/public")
    alias = Owner(location="postgresql://10.0.0.1/travel", database="7/travel/public")
    other = Owner(location="postgresql://db/travel", database="8/travel/public")
    claim(folder, named, tmp_path).take()
    claim(folder, alias, tmp_path).take()
    with pytest.raises(WrongLake):
        claim(folder, other, tmp_path).take()
    asked = []

    def identified(thorough: bool) -> Owner:
        asked.append(thorough)
        return named if thorough else Owner(location=named.location)

    Claim(folder, identified, tmp_path / "lock").verify()
    assert asked == [False, True], "asked only where the address differs"
    asked.clear()
    claim(folder, named, tmp_path).take()
    Claim(folder, identified, tmp_path / "lock").verify()
    assert asked == [False]


# Runs


def tree(project: Project) -> dict[str, bytes]:
    return {str(f): f.read_bytes() for f in sorted(project.lake.rglob("*")) if f.is_file()}


def ingest(project: Project, **more: str) -> dg.ExecuteInProcessResult:
    bounds = {tags.RANGE_START: "2023-04", tags.RANGE_END: "2023-06"}
    return project._execute(INGEST, tags=bounds | more)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Project]:
    """Two sources with one lake, which the first has ingested; the second has one customer more."""
    place = tmp_path_factory.mktemp("projects")
    scenario.write_scenario(place / "first")
    scenario.write_scenario(place / "second", users=[*scenario.USERS, scenario.user(77)])
    first, second = (
        Project(place, place / name, **scenario.settings()) for name in ("first", "second")
    )
    succeed(ingest(first))
    return first, second


def refused(result: dg.ExecuteInProcessResult) -> str:
    assert not result.success
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    return failure(result)


def test_every_run_of_another_source_is_refused(projects: tuple[Project, Project]) -> None:
    first, second = projects
    before = tree(first)
    runs = [
        ingest(second),
        second.assign("2023-05"),
        second.materialize("gold/users_final", "2023-05"),
    ]
    for result in runs:
        said = refused(result)
        assert str(first.source) in said
        assert str(second.source) in said
    assert tree(first) == before
    assert not list(second.lake.glob("gold"))


def test_a_run_that_is_told_to_replaces_all(projects: tuple[Project, Project]) -> None:
    first, second = projects
    succeed(first.materialize("gold/users_final", "2023-05"))
    said = refused(
        second._execute(ASSIGN_PERKS, partition_key="2023-05", tags={tags.LAKE: "replace"})
    )
    assert str(first.source) in said, "only what ingests can replace"
    succeed(ingest(second, **{tags.LAKE: "replace"}))
    assert not list(second.lake.glob("gold/**/*.parquet"))
    assert 77 in set(second.frame("silver/users_processed")["user_id"])
    assert str(second.source) in refused(ingest(first))
    assert notice_of(Folder(second.lake)) is None


def test_a_tag_that_means_nothing_is_refused(projects: tuple[Project, Project]) -> None:
    first, _ = projects
    before = tree(first)
    result: Any = ingest(first, **{tags.LAKE: "yes"})
    assert not result.success
    assert tree(first) == before
