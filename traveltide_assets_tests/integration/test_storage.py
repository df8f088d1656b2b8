"""A folder and S3 keep the same promises: whole files, no lost writes, no needless transfers."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from traveltide_assets.connections.locations import S3Location
from traveltide_assets.lake.config import Config
from traveltide_assets.lake.storage.base import (
    Away,
    Conflict,
    Refused,
    Replaced,
    Storage,
    StorageError,
)
from traveltide_assets.resources import open_storage
from traveltide_assets_tests.support.s3_server import Proxy, S3Server, proxy_of

KEY = "gold/things/month=2023-07/things.parquet"
SMALL, LARGE = 1_000, 36 * 2**20  # The large one goes to S3 in three parts.


@pytest.fixture
def on_s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Location:
    """A place in an empty bucket, which boto3 finds with its right credentials."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return S3Location(s3_server.bucket(), "some/lake")


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | S3Location:
    return tmp_path / "lake" if request.param == "folder" else request.getfixturevalue("on_s3")


@pytest.fixture
def proxy(
    on_s3: S3Location, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Proxy]:
    with proxy_of(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy


LIMITS = Config(timeout_seconds=1, retry_seconds=2)


def opened(place: Path | S3Location, cache: Path, limits: Config | None = None) -> Storage:
    return open_storage(place, cache, "TRAVELTIDE_LAKE", limits)


@pytest.fixture
def storage(place: Path | S3Location, tmp_path: Path) -> Storage:
    return opened(place, tmp_path / "cache")


@pytest.fixture
def elsewhere(place: Path | S3Location, tmp_path: Path) -> Storage:
    """The same storage as another machine sees it."""
    return opened(place, tmp_path / "other_cache")


def put(storage: Storage, content: bytes, key: str = KEY) -> None:
    with storage.replacing(key, storage.versions().get(key)) as path:
        path.write_bytes(content)


def get(storage: Storage, key: str = KEY) -> bytes:
    (file,) = storage.files({key: storage.versions()[key]})
    return file.read_bytes()


# What is stored


def test_what_is_written_is_read_by_its_key_here_and_elsewhere(
    storage: Storage, elsewhere: Storage
) -> None:
    assert storage.versions() == {}
    put(storage, b"old")
    before = storage.versions()
    put(storage, b"new")
    assert get(storage) == get(elsewhere) == b"new"
    assert list(storage.versions()) == list(before) == [KEY]
    assert storage.versions() != before


def test_a_folder_of_keys_is_listed_with_or_without_what_lies_deeper(storage: Storage) -> None:
    for key in ("a/b/two", "a/one", "ab/three", "four"):
        put(storage, key.encode(), key)
    assert list(storage.versions()) == ["a/b/two", "a/one", "ab/three", "four"]
    assert list(storage.versions("a")) == ["a/b/two", "a/one"]
    assert list(storage.versions("a", deep=False)) == ["a/one"]
    assert list(storage.versions(deep=False)) == ["four"]


def put_half(storage: Storage) -> None:
    with storage.replacing(KEY, storage.versions()[KEY]) as path:
        path.write_bytes(b"half")
        raise OSError("no space left")


def test_a_write_that_fails_leaves_what_was_there(storage: Storage, tmp_path: Path) -> None:
    put(storage, b"good")
    before = storage.versions()
    with pytest.raises(OSError, match="no space left"):
        put_half(storage)
    assert storage.versions() == before
    assert get(storage) == b"good"
    assert list(tmp_path.rglob(".*.tmp")) == []


def test_everything_of_many_pages_is_listed(on_s3: S3Location, s3_server: S3Server) -> None:
    client = s3_server.client
    keys = [f"{on_s3.prefix}/things/{number:04}" for number in range(1_001)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.put_object(Bucket=on_s3.bucket, Key=key, Body=b""), keys))
    assert len(opened(on_s3, Path("unused")).versions("things")) == 1_001


# Two writers


def put_overtaken(
    storage: Storage, known: str | None, elsewhere: Storage, size: int = SMALL
) -> None:
    with storage.replacing(KEY, known) as path:
        path.write_bytes(b"slow" * size)
        put(elsewhere, b"fast")


def test_a_writer_overtaken_by_another_fails_and_leaves_the_others_file(
    storage: Storage, elsewhere: Storage
) -> None:
    for known in (None, storage.versions().get(KEY)):
        with pytest.raises(Conflict, match=r"things\.parquet was replaced by another run"):
            put_overtaken(storage, known, elsewhere)
        assert get(storage) == b"fast"


def test_a_writer_overtaken_by_one_of_the_same_content_is_content(
    storage: Storage, elsewhere: Storage
) -> None:
    put(storage, b"before")
    with storage.replacing(KEY, storage.versions()[KEY]) as path:
        path.write_bytes(b"same")
        put(elsewhere, b"same")
    assert get(storage) == b"same"


def write(place: Path | S3Location, cache: Path, fill: str, size: int, action: str) -> None:
    """What a process does that writes the key: to the end, or until it is killed."""
    storage: Any = opened(place, cache)
    if action == "die uploading":
        events = storage._bucket.client.meta.events
        events.register("before-send.s3.UploadPart", kill_at_second_part())
    try:
        with storage.replacing(KEY, storage.versions().get(KEY)) as path:
            path.write_bytes(fill.encode() * size)
            if action == "die writing":
                os.kill(os.getpid(), signal.SIGKILL)
            if action == "race":
                meet(cache)
    except Conflict:
        sys.exit(3)


def kill_at_second_part() -> Callable[..., None]:
    calls = itertools.count(1)

    def handle(**_: object) -> None:
        if next(calls) > 1:
            os.kill(os.getpid(), signal.SIGKILL)

    return handle


def meet(cache: Path) -> None:
    """Wait until the other writer has come as far."""
    cache.with_suffix(".ready").touch()
    while len(list(cache.parent.glob("*.ready"))) < 2:
        time.sleep(0.001)


def writer(place: Path | S3Location, cache: Path, fill: str, size: int, action: str) -> BaseProcess:
    cache.parent.mkdir(exist_ok=True)
    # The process of the tests has threads, and what one of them locks stays locked in a fork.
    process = multiprocessing.get_context("spawn").Process(
        target=write, args=(place, cache, fill, size, action)
    )
    process.start()
    return process


def end(process: BaseProcess) -> int | None:
    process.join(timeout=120)
    return process.exitcode


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_of_two_processes_that_write_at_once_one_wins_and_the_other_says_so(
    place: Path | S3Location, storage: Storage, tmp_path: Path, size: int
) -> None:
    put(storage, b"before")
    racers = [writer(place, tmp_path / "race" / fill, fill, size, "race") for fill in "ab"]
    ends = [end(racer) for racer in racers]
    stored = get(storage)
    assert stored in (b"a" * size, b"b" * size)
    if isinstance(place, S3Location) and size == SMALL:
        assert set(ends) == {0, 3}
    # In a folder both may succeed, one after the other; then the later one's file is there. So they
    # may with parts: SeaweedFS asks for the condition before it puts them together, and not again
    # (of 60 pairs of bare completions at the same moment it let both succeed in 37).
    assert set(ends) <= {0, 3}
    assert 0 in ends
    winners = [fill for fill, code in zip("ab", ends, strict=True) if code == 0]
    assert stored[:1].decode() in winners


def test_writers_of_neighbouring_files_do_not_get_in_each_others_way(
    place: Path | S3Location, tmp_path: Path
) -> None:
    """They list a folder in which others' partial and finished files come and go."""
    rounds = 200 if isinstance(place, Path) else 5

    def write_and_remove(name: str) -> int:
        storage = opened(place, tmp_path / name)
        for number in range(rounds):
            key = f"beside/{name}{number}"
            with storage.replacing(key, None) as path:
                path.write_bytes(b"x")
            assert key in storage.versions("beside")
            storage.remove(key)
            storage.swap(key, b"y", None)
            storage.sweep()
            stored = storage.look(key)
            assert stored is not None
            assert stored[0] == b"y"
            storage.swap(key, None, stored[1])
        return rounds

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(write_and_remove, "abcdef")) == [rounds] * 6
    assert not opened(place, tmp_path / "after").versions("beside")
    assert not isinstance(place, Path) or not list(place.rglob("*.tmp"))


# A writer that dies


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_a_writer_killed_while_it_writes_changes_nothing_and_the_next_one_succeeds(
    place: Path | S3Location, storage: Storage, tmp_path: Path, size: int
) -> None:
    put(storage, b"good")
    dying = writer(place, tmp_path / "dying", "n", size, "die writing")
    assert end(dying) == -9
    assert list(storage.versions()) == [KEY]
    assert get(storage) == b"good"
    assert end(writer(place, tmp_path / "dying", "n", size, "write")) == 0
    assert get(storage) == b"n" * size


def test_a_writer_killed_between_the_parts_of_an_upload_changes_nothing(
    on_s3: S3Location, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uploads() -> int:
        return len(s3_server.client.list_multipart_uploads(Bucket=on_s3.bucket).get("Uploads", []))

    storage = opened(on_s3, tmp_path / "cache")
    put(storage, b"good")
    assert end(writer(on_s3, tmp_path / "dying", "n", LARGE, "die uploading")) == -9
    assert uploads() == 1, "the parts are there, and nobody sees them"
    assert get(opened(on_s3, tmp_path / "other")) == b"good"
    put(storage, b"n" * LARGE)
    assert get(opened(on_s3, tmp_path / "another")) == b"n" * LARGE
    assert uploads() == 1, "they may be those of a writer at work"
    tomorrow = time.time() + 25 * 3600
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    put(storage, b"m" * LARGE)
    assert uploads() == 0


def test_an_upload_that_fails_leaves_no_parts(
    on_s3: S3Location, s3_server: S3Server, tmp_path: Path
) -> None:
    storage = opened(on_s3, tmp_path / "cache")
    with pytest.raises(Conflict):
        put_overtaken(storage, None, opened(on_s3, tmp_path / "other"), LARGE // 4)
    assert "Uploads" not in s3_server.client.list_multipart_uploads(Bucket=on_s3.bucket)
    assert get(storage) == b"fast"


# Few and sound transfers


def test_nothing_is_downloaded_that_was_written_or_read_here_before(
    on_s3: S3Location, proxy: Proxy, tmp_path: Path
) -> None:
    writer, reader = opened(on_s3, tmp_path / "writer"), opened(on_s3, tmp_path / "reader")
    keys = [f"events/month=2023-{month:02}/events.parquet" for month in range(1, 13)]
    for key in keys:
        with writer.replacing(key, None) as path:
            path.write_bytes(key.encode())
    assert [request.split()[0] for request in proxy.requests] == ["PUT"] * 12
    assert [file.read_text() for file in writer.files(writer.versions("events"))] == keys
    assert proxy.count("GET") == 1, "one list, no download"
    assert [file.read_text() for file in reader.files(reader.versions("events"))] == keys
    assert proxy.count("GET") == 1 + 1 + 12
    reader.files(reader.versions("events"))
    assert proxy.count("GET") == 1 + 1 + 12 + 1
    put(writer, b"changed", keys[3])
    (*_, changed) = reader.files({keys[3]: reader.versions("events")[keys[3]]})
    assert changed.read_bytes() == b"changed"


def test_content_that_is_stored_already_is_not_uploaded_again(
    on_s3: S3Location, proxy: Proxy, tmp_path: Path
) -> None:
    for cache in ("one", "other"):
        put(opened(on_s3, tmp_path / cache), b"same")
    assert proxy.count("PUT") == 1


def test_an_old_copy_is_kept_while_somebody_may_read_it_and_goes_after_a_day(
    on_s3: S3Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copies() -> int:
        return len(list(tmp_path.rglob("*-things.parquet")))

    storage = opened(on_s3, tmp_path)
    put(storage, b"one")
    put(storage, b"two")
    assert copies() == 2
    tomorrow = time.time() + 25 * 3600
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    put(storage, b"three")
    assert copies() == 1


def test_a_version_that_is_gone_is_not_read_as_another(on_s3: S3Location, tmp_path: Path) -> None:
    writer, reader = opened(on_s3, tmp_path / "writer"), opened(on_s3, tmp_path / "reader")
    put(writer, b"old")
    versions = reader.versions()
    put(writer, b"new")
    with pytest.raises(Replaced):
        reader.files(versions)


def spoil(proxy: Proxy, times: int) -> None:
    proxy.spoiled = times


def cut(proxy: Proxy, times: int) -> None:
    proxy.cut = times


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (spoil, r"things\.parquet was not downloaded whole in 6 attempts"),
        (cut, r"cannot read .*things\.parquet: .* S3 was tried for 2 s \(s3\.retry_seconds"),
    ],
)
@pytest.mark.parametrize("size", [SMALL, 17 * 2**20], ids=["small", "in parts"])
def test_a_damaged_download_is_noticed_and_repeated(
    on_s3: S3Location,
    proxy: Proxy,
    tmp_path: Path,
    damage: Callable[[Proxy, int], None],
    words: str,
    size: int,
) -> None:
    put(opened(on_s3, tmp_path / "writer"), b"n" * size)
    damage(proxy, 2)
    assert get(opened(on_s3, tmp_path / "reader")) == b"n" * size
    damage(proxy, 1_000)
    with pytest.raises(StorageError, match=words):
        get(opened(on_s3, tmp_path / "other", LIMITS))
    assert [path for path in (tmp_path / "other").rglob("*") if path.is_file()] == []


def test_a_server_that_asks_for_patience_is_asked_again(
    on_s3: S3Location, proxy: Proxy, tmp_path: Path
) -> None:
    storage = opened(on_s3, tmp_path / "cache")
    proxy.busy = 2
    put(storage, b"good")
    proxy.busy = 2
    assert get(opened(on_s3, tmp_path / "other")) == b"good"
    assert proxy.busy == 0


def test_an_upload_whose_answer_was_lost_counts_as_done(
    on_s3: S3Location, proxy: Proxy, tmp_path: Path
) -> None:
    storage = opened(on_s3, tmp_path / "cache")
    proxy.lost = 1
    with storage.replacing(KEY, None) as path:
        path.write_bytes(b"good")
    assert proxy.lost == 0
    assert get(storage) == b"good"
    assert proxy.count("PUT") == 2, "the second attempt meets the first one's object"


# A server that goes away


def everything(storage: Storage, elsewhere: Storage) -> None:
    """Every kind of request: lists, uploads in one and in parts, downloads, removals."""
    for fill, size in ((b"s", SMALL), (b"l", LARGE)):
        put(storage, fill * size)
        assert get(elsewhere) == fill * size
    storage.remove(KEY)
    assert storage.versions() == {}


def test_a_server_that_is_away_for_a_while_at_any_request_is_waited_for(
    on_s3: S3Location, proxy: Proxy, tmp_path: Path
) -> None:
    everything(opened(on_s3, tmp_path / "a"), opened(on_s3, tmp_path / "b"))
    requests = len(proxy.requests)
    assert requests > 12
    for number in range(requests):
        proxy.away, proxy.away_seconds, proxy._since = number, 0.5, None
        here, there = (tmp_path / f"{number}{name}" for name in "ab")
        everything(opened(on_s3, here), opened(on_s3, there))
        assert proxy._since is not None, f"the server was away at request {number}"


def test_all_requests_share_the_patience_of_an_outage(
    on_s3: S3Location, proxy: Proxy, tmp_path: Path
) -> None:
    storage = opened(on_s3, tmp_path, LIMITS)
    proxy.away, proxy.away_seconds = 0, 1_000
    for seconds in (2, 0, 0):
        start = time.monotonic()
        with pytest.raises(Away):
            storage.versions()
        assert seconds <= time.monotonic() - start < seconds * 3 + 1
    proxy.away = None
    assert storage.versions() == {}
    proxy.away, proxy.away_seconds, proxy._since = 0, 0.5, None
    assert storage.versions() == {}, "another outage is waited for again"


def test_a_server_that_never_answers_is_given_up_in_stated_time(
    on_s3: S3Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(Away, match=r"s3\.timeout_seconds.* Check AWS_ENDPOINT_URL"):
            opened(on_s3, tmp_path, LIMITS).versions()
        assert time.monotonic() - start < 1 + 2 + 5 + 1 + 1


# What is wrong


@pytest.mark.parametrize(
    "page",
    [b"<html><body>Please log in</body></html>", b"<html><p>Please<br>log in", b"ok", b""],
    ids=["xhtml", "html", "text", "empty"],
)
def test_a_page_that_answers_everything_is_not_taken_for_s3(
    on_s3: S3Location, proxy: Proxy, tmp_path: Path, page: bytes
) -> None:
    storage = opened(on_s3, tmp_path / "cache")
    put(storage, b"good")
    versions = storage.versions()
    proxy.portal = page or b" "
    elsewhere = opened(on_s3, tmp_path / "other")
    with pytest.raises(Refused, match=r"cannot list .*is not S3\. Check AWS_ENDPOINT_URL"):
        elsewhere.versions()
    with pytest.raises(Refused, match=r"cannot read .*is not S3"):
        elsewhere.files(versions)
    for size in (SMALL, LARGE):
        with (
            pytest.raises(Refused, match=r"cannot write .*is not S3"),
            elsewhere.replacing(f"{KEY}-{size}", None) as path,
        ):
            path.write_bytes(b"n" * size)


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:9000", "localhost", "http://no-such-host.invalid", "ftp://", "http://"]
)
def test_an_endpoint_that_cannot_be_one_is_refused_at_once(
    on_s3: S3Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(Refused, match="Check AWS_ENDPOINT_URL"):
        opened(on_s3, tmp_path).versions()


def test_a_server_that_is_not_there_is_named(
    on_s3: S3Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(Away, match=r"cannot list .*Check AWS_ENDPOINT_URL \(now http://"):
        opened(on_s3, tmp_path, LIMITS).versions()


def test_without_credentials_their_variables_are_named(
    on_s3: S3Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(Refused, match=r"Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        opened(on_s3, tmp_path).versions()


def test_who_may_read_alone_reads_and_is_told_what_writing_takes(
    on_s3: S3Location, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(opened(on_s3, tmp_path / "writer"), b"good")
    for name, value in s3_server.readers_environment.items():
        monkeypatch.setenv(name, value)
    reader = opened(on_s3, tmp_path / "reader")
    assert get(reader) == b"good"
    for size in (SMALL, LARGE):
        with pytest.raises(Refused, match=r"cannot write .* credentials s3:PutObject"):
            put(reader, b"n" * size)
    with pytest.raises(Refused, match=r"cannot remove .* credentials s3:DeleteObject"):
        reader.remove(KEY)
    assert get(reader) == b"good"


def test_the_secret_is_in_no_print_log_error_copy_or_pickle(
    on_s3: S3Location, s3_server: S3Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        storage = opened(on_s3, tmp_path)
        put(storage, b"kept")
        assert get(opened(on_s3, tmp_path / "elsewhere")) == b"kept"
        with pytest.raises(Refused) as error:
            opened(S3Location("no-such-bucket", "lake"), tmp_path).versions()
    assert "Making request" in caplog.text, "boto3 tells what it does"
    shown = [*map(repr, (storage, vars(storage), storage.__reduce_ex__(4))), storage.uri()]
    assert s3_server.secret not in "".join([*shown, str(error.value), caplog.text])
    copies = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert copies
    assert not any(s3_server.secret.encode() in path.read_bytes() for path in copies)
