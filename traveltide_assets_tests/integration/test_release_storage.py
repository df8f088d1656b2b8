"""Releases in a folder and in S3: whole or not there, and never other bytes than were released."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from traveltide_assets.connections.locations import S3Location
from traveltide_assets.lake.manifest import release_id
from traveltide_assets.lake.release import (
    FOLDER,
    MAILING,
    Damaged,
    NotReleased,
    Overtaken,
    Release,
    Releases,
)
from traveltide_assets.lake.storage.base import Storage
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.resources import open_storage
from traveltide_assets_tests.support.s3_server import S3Server

MONTH = "2023-07"
NAMES = ("perks", "report.html", f"{MAILING}bag.csv")


@pytest.fixture(params=["folder", "s3"])
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Storage:
    if request.param == "folder":
        return open_storage(tmp_path / "lake", tmp_path / "cache", "TRAVELTIDE_LAKE")
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return open_storage(S3Location(server.bucket(), "lake"), tmp_path / "cache", "TRAVELTIDE_LAKE")


def add(releases: Releases, text: str, month: str = MONTH, live: bool = True) -> Release:
    files = {name: f"{name} {text}".encode() for name in NAMES}
    return releases.add(month, files, {"said": text}, {"assigned": 1}, live=live)


def put(releases: Releases, text: str, month: str = MONTH) -> Release:
    """Add a release and make it current."""
    expected = releases.record(month).current
    made = add(releases, text, month)
    releases.point(made, expected)
    return made


def said(release: Release) -> set[str]:
    """The decisions that the files of a release come from: one, if it is whole."""
    return {release.read(name).decode().split(" ")[1] for name in NAMES[:2]}


def test_nothing_can_be_read_before_it_is_made_current(storage: Storage) -> None:
    releases = Releases(storage)
    with pytest.raises(NotReleased, match="run `traveltide release` if the month is decided"):
        releases.current()
    made = add(releases, "one", live=False)
    with pytest.raises(NotReleased, match=f"`traveltide run --month {MONTH}` first"):
        releases.current(MONTH)
    assert not [key for key in storage.versions(FOLDER) if MAILING in key], "no file to be sent"
    releases.point(add(releases, "one"), None)
    assert releases.current().id == made.id
    assert said(releases.current()) == {"one"}


def test_the_same_decision_is_the_same_release_and_writes_nothing(storage: Storage) -> None:
    releases = Releases(storage)
    made = put(releases, "one")
    before = storage.versions()
    again = releases.add(
        MONTH,
        {name: made.read(name) for name in reversed(NAMES)},
        {"said": "one"},
        {"assigned": 1},
        checks={"a": "passed"},
    )
    releases.point(again, made.id)
    assert (again.id, again.manifest) == (made.id, made.manifest)
    assert storage.versions() == before
    assert put(releases, "two").id != made.id


def test_the_latest_month_is_read_by_default(storage: Storage) -> None:
    releases = Releases(storage)
    for month in ("2023-06", "2023-07", "2023-05"):
        put(releases, month, month)
    add(releases, "prepared", "2023-08", live=False)
    assert releases.current().month == "2023-07"
    assert releases.current("2023-05").month == "2023-05"
    assert [line.month for line in releases.all()] == ["2023-05", "2023-06", "2023-07", "2023-08"]


def test_a_release_overtaken_by_another_does_not_become_current(storage: Storage) -> None:
    releases = Releases(storage)
    first = put(releases, "one")
    slow = add(releases, "slow")
    fast = put(releases, "fast")
    with pytest.raises(Overtaken, match=fast.id):
        releases.point(slow, first.id)
    assert releases.current().id == fast.id
    releases.point(fast, first.id)  # It is current already, so nobody was overtaken.


def test_of_many_racing_releases_one_is_current_and_whole(storage: Storage) -> None:
    start = threading.Barrier(4)
    overtaken: list[str] = []

    def race(number: int) -> None:
        releases = Releases(storage)
        start.wait()
        made = add(releases, str(number))
        try:
            releases.point(made, None)
        except Overtaken:
            overtaken.append(made.id)

    racers = [threading.Thread(target=race, args=(number,)) for number in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    releases = Releases(storage)
    assert len(overtaken) == 3
    assert releases.current().id not in overtaken
    assert len(said(releases.current())) == 1
    assert len(releases.record(MONTH).releases) == 4


def test_a_reader_sees_one_decision_whoever_releases_meanwhile(storage: Storage) -> None:
    releases, done = Releases(storage), threading.Event()
    put(releases, "0")

    def write() -> None:
        for number in range(1, 12):
            put(releases, str(number))
            releases.sweep(MONTH, keep=3)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reader, seen = Releases(storage), set()
    while not done.is_set():
        found = said(reader.current())
        assert len(found) == 1
        seen |= found
    writer.join()
    assert said(reader.current()) == {"11"}
    assert len(seen) > 1


def test_old_releases_go_and_the_current_and_mailed_ones_stay(storage: Storage) -> None:
    releases = Releases(storage)
    made = [put(releases, str(number)) for number in range(6)]
    sent = releases.mark_mailed(made[1])
    assert releases.mark_mailed(made[1]) == sent, "what was sent stays as it was noted"
    releases.point(made[0], made[5].id)
    removed = releases.sweep(MONTH, keep=2)
    assert removed == [made[2].id, made[3].id]
    kept = {line.entry.id: line for line in releases.all()}
    assert list(kept) == [made[number].id for number in (0, 1, 4, 5)]
    assert kept[made[1].id].mailed == sent
    assert [line.entry.id for line in kept.values() if line.current] == [made[0].id]
    with pytest.raises(NotReleased, match="traveltide releases"):
        releases.find(made[2].id)
    # Only files of the current release can be sent; the others can still be read.
    keys = [key for key in storage.versions(FOLDER) if MAILING in key]
    assert keys == [f"{FOLDER}/month={MONTH}/{made[0].id}/{NAMES[2]}"]
    assert said(releases.find(made[1].id)) == {"1"}


def test_what_a_killed_run_left_is_no_release_and_goes(storage: Storage) -> None:
    releases = Releases(storage)
    made = put(releases, "one")
    for key in (f"{FOLDER}/month={MONTH}/0123456789ab/perks", f"{FOLDER}/month={MONTH}/odd"):
        with storage.replacing(key, None) as path:
            path.write_bytes(b"half")
    half = add(releases, "half")
    storage.remove(f"{FOLDER}/month={MONTH}/{half.id}/manifest.json")
    assert releases.current().id == made.id
    assert [line.release is None for line in releases.all()] == [False, True]
    releases.sweep(MONTH, keep=12)
    left = {key.split("/")[2] for key in storage.versions(f"{FOLDER}/month={MONTH}")}
    assert left == {made.id, half.id}
    assert said(add(releases, "half")) == {"half"}, "a rerun completes it"


def test_a_release_that_does_not_hold_what_was_released_is_not_read_and_is_mended(
    storage: Storage,
) -> None:
    releases = Releases(storage)
    made = put(releases, "one")
    for name in ("perks", "manifest.json"):
        key = f"{FOLDER}/month={MONTH}/{made.id}/{name}"
        with storage.replacing(key, storage.versions()[key]) as path:
            path.write_bytes(b"{}")
        with pytest.raises(Damaged, match=name):
            releases.current().read("perks")
        put(releases, "one")
        assert said(releases.current()) == {"one"}
    storage.remove(f"{FOLDER}/month={MONTH}/{made.id}/perks")
    with pytest.raises(Damaged, match="perks is missing"):
        releases.current().read("perks")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    put(Releases(Folder(folder)), "one")
    return folder


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), how=st.sampled_from(["flip", "cut", "zeros"]))
def test_no_damage_of_a_folder_gives_another_answer(
    sound: Path, data: st.DataObject, how: str
) -> None:
    """A reader gets what was released, or an error of ours: never other bytes."""
    files = sorted(path for path in (sound / FOLDER).rglob("*") if path.is_file())
    file = data.draw(st.sampled_from(files), label="file")
    before = file.read_bytes()
    place = data.draw(st.integers(0, len(before) - 1), label="place")
    if how == "flip":
        changed = bytes([before[place] ^ (1 << data.draw(st.integers(0, 7)))])
        after = before[:place] + changed + before[place + 1 :]
    else:
        after = before[:place] + (b"" if how == "cut" else b"\0" * (len(before) - place))
    file.write_bytes(after)
    try:
        assert said(Releases(Folder(sound)).current()) == {"one"}
    except Damaged:
        pass
    finally:
        file.write_bytes(before)


@given(
    files=st.dictionaries(st.text(min_size=1), st.binary(), min_size=1, max_size=4),
    other=st.binary(),
)
def test_an_id_is_made_of_the_content_and_of_nothing_else(
    files: dict[str, bytes], other: bytes
) -> None:
    one = release_id(MONTH, {"rule": "a", "list": None}, files)
    shuffled = dict(reversed(files.items()))
    assert release_id(MONTH, {"list": None, "rule": "a"}, shuffled) == one
    assert release_id(MONTH, {"rule": "b", "list": None}, files) != one
    assert release_id("2023-06", {"rule": "a", "list": None}, files) != one
    name = next(iter(files))
    changed = release_id(MONTH, {"rule": "a", "list": None}, files | {name: other})
    assert (changed == one) == (files[name] == other)
