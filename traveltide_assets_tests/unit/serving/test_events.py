"""Events that the service is told: what is accepted, and a log that loses and tears nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from traveltide_assets.resources import open_lake
from traveltide_assets.serving.app import build_app
from traveltide_assets.serving.config import Config
from traveltide_assets.serving.events import EventLog, Full, parse
from traveltide_assets.serving.messages import Invalid
from traveltide_assets.serving.scorer import Assigned, Snapshot
from traveltide_assets.settings import Settings

CLICK = {"user_id": 7, "offer": "free_checked_bag", "event": "clicked"}
AT = {"at": "2023-07-31T18:04:00"}


def log_in(folder: Path, **changes: Any) -> EventLog:
    return EventLog(Config(events_folder=folder, **changes))


def logged(folder: Path) -> list[dict[str, Any]]:
    (file,) = folder.glob("events-????-??-??.jsonl")
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def of(*given: Any) -> bytes:
    return json.dumps({"events": given}).encode()


@pytest.mark.parametrize(
    ("at", "stored"),
    [
        ("2023-07-31T18:04:00", "2023-07-31 18:04:00.000000"),
        ("2023-07-31T18:04:00.5Z", "2023-07-31 18:04:00.500000"),
        ("2023-07-31T18:04:00+02:00", "2023-07-31 16:04:00.000000"),
    ],
)
def test_a_time_is_logged_in_utc_without_a_zone(tmp_path: Path, at: str, stored: str) -> None:
    log_in(tmp_path / "log").append(parse(of(CLICK | {"at": at, "value_usd": 12.5}), 10))
    assert logged(tmp_path / "log") == [CLICK | {"at": stored, "value_usd": 12.5}]


def test_an_event_without_a_time_happened_now(tmp_path: Path) -> None:
    log_in(tmp_path).append(parse(json.dumps(CLICK).encode(), 10))
    (event,) = logged(tmp_path)
    past = dt.datetime.now(dt.UTC).replace(tzinfo=None) - dt.datetime.fromisoformat(event["at"])
    assert dt.timedelta(0) <= past < dt.timedelta(hours=1)
    assert event["value_usd"] is None


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"{", ["body"]),
        (of(), ["body", "events"]),
        (of(*[CLICK] * 4), ["body", "events"]),
        (of(CLICK, CLICK | {"event": "liked"}), ["body", "events", 1, "event"]),
        (of(CLICK | {"email": "a@b.c"}), ["body", "events", 0, "email"]),
        (of(CLICK | {"user_id": "7"}), ["body", "events", 0, "user_id"]),
        (of(CLICK | {"offer": "A perk, a\nline"}), ["body", "events", 0, "offer"]),
        (of(CLICK | {"value_usd": 1e300}), ["body", "events", 0, "value_usd"]),
        (json.dumps({"events": [CLICK], "more": 1}).encode(), ["body", "more"]),
        (json.dumps(7).encode(), ["body"]),
    ],
)
def test_what_is_no_event_is_refused_with_its_place(body: bytes, place: list[Any]) -> None:
    with pytest.raises(Invalid) as refused:
        parse(body, 3)
    assert refused.value.problems[0]["loc"] == place


@pytest.mark.parametrize("at", ["yesterday", 1690826640, "0001-01-01T00:00:00+14:00", "3000-01-01"])
def test_a_time_that_cannot_be_read_is_refused(at: Any) -> None:
    with pytest.raises(Invalid) as refused:
        parse(of(CLICK | {"at": at}), 3)
    assert refused.value.problems[0]["loc"][:4] == ["body", "events", 0, "at"]


def test_what_a_stopped_process_left_of_a_line_is_cut_off_and_nothing_else(tmp_path: Path) -> None:
    log, events = log_in(tmp_path), parse(of(CLICK | AT, CLICK | AT), 10)
    log.append(events)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"user_id": 8, "off')
    log.append(events[:1])
    assert file.read_bytes() == whole + whole[: len(whole) // 2]


def test_a_log_has_an_end_and_takes_all_events_of_a_request_or_none(tmp_path: Path) -> None:
    log, events = log_in(tmp_path, max_events_bytes=1_024), parse(of(*[CLICK | AT] * 5), 10)
    log.append(events)
    with pytest.raises(Full):
        log.append(events * 2)
    log.append(events[:1])
    assert len(logged(tmp_path)) == 6


@pytest.fixture
def snapshot() -> Snapshot:
    """A perk for 1 (written to), 2 (held out) and 3 (suppressed)."""
    offer = pd.array(["bag", None, None], dtype="string")
    arm = pd.array(["exploration", "holdout", None], dtype="string")
    answers = pd.DataFrame({"perk": "meal", "score": 1.0, "offer": offer, "arm": arm})
    return Snapshot(Assigned(np.array([1, 2, 3]), answers), {}, None, (), None)


def ask(tmp_path: Path, snapshot: Snapshot, *requests: Any, **changes: Any) -> list[Any]:
    """The answers of a service that is not started: it then loads nothing by itself."""
    configured = Settings(lake=tmp_path / "lake", home=tmp_path / "home", **changes)
    app = build_app(open_lake(configured), configured)
    app.state.service.snapshot = snapshot

    async def answered() -> list[Any]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return [await client.request(*args, **more) for args, more in requests]

    return asyncio.run(answered())


def get(user: int, query: str = "?exposed=true") -> Any:
    return ("GET", f"/customers/{user}/perk{query}"), {}


def test_an_exposure_is_logged_with_the_offer_and_not_for_whoever_must_not_be_contacted(
    tmp_path: Path, snapshot: Snapshot
) -> None:
    requests = [get(1), get(2), get(3), get(4), get(1, "")]
    serving = {"events_folder": tmp_path / "log"}
    answers = ask(tmp_path, snapshot, *requests, serving=serving)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 200]
    assert [answer.json()["arm"] for answer in answers[:3]] == ["exploration", "holdout", None]
    found = [
        (event["user_id"], event["offer"], event["event"]) for event in logged(tmp_path / "log")
    ]
    assert found == [(1, "bag", "exposed"), (2, "none", "exposed")]


def test_told_events_are_logged_and_counted(tmp_path: Path, snapshot: Snapshot) -> None:
    told = ("POST", "/events"), {"content": of(CLICK | AT, CLICK)}
    serving = {"events_folder": tmp_path / "log"}
    answer, metrics = ask(tmp_path, snapshot, told, (("GET", "/metrics"), {}), serving=serving)
    assert answer.json() == {"logged": 2}
    assert "traveltide_events_logged_total 2.0" in metrics.text
    assert len(logged(tmp_path / "log")) == 2


def test_a_service_that_logs_nothing_or_cannot_says_so(tmp_path: Path, snapshot: Snapshot) -> None:
    told = ("POST", "/events"), {"content": of(CLICK)}
    answers = ask(tmp_path, snapshot, told, get(1))
    assert [answer.status_code for answer in answers] == [409, 409]
    (tmp_path / "file").touch()
    (refused,) = ask(tmp_path, snapshot, told, serving={"events_folder": tmp_path / "file"})
    assert refused.status_code == 503
    assert "file" not in refused.text
    keyed = ask(tmp_path, snapshot, told, get(1), api_key="secret")
    assert [answer.status_code for answer in keyed] == [401, 401]
