"""The scoring service: right answers, clear refusals, and never a request lost to a new model."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import schemathesis

# Imported before a service has threads: pytest parses a plugin's modules when they are first
# imported, and before Python 3.11.9 that fails now and then while another thread parses.
import schemathesis.generation.body_overrides
import schemathesis.generation.dictionaries
import schemathesis.specs.openapi.schemas
import schemathesis.transport.asgi
import schemathesis.transport.wsgi
from hypothesis import HealthCheck, settings
from starlette.testclient import TestClient

from traveltide_assets.campaign.release_files import ASSIGNMENTS, PREDICTOR
from traveltide_assets.connections.locations import S3Location
from traveltide_assets.lake.ownership import GENERATED
from traveltide_assets.prediction.early import EARLY, PROFILE, SEEN
from traveltide_assets.prediction.predictor import Predictor
from traveltide_assets.resources import open_lake
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.serving.app import build_app
from traveltide_assets.serving.config import Config
from traveltide_assets.serving.histories import HistoryFeatures, Plans
from traveltide_assets.serving.messages import History
from traveltide_assets.serving.prometheus import Metrics
from traveltide_assets.serving.workers import Workers
from traveltide_assets.settings import Settings
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support.project import Project
from traveltide_assets_tests.support.releases import current, parquet, release_with
from traveltide_assets_tests.support.s3_server import S3Server

NAMES = [feature.name for feature in EARLY]
TABLES = ("users", "sessions", "flights", "hotels")
KINDS = {name: {column.name: column.type for column in SOURCES[name]} for name in TABLES}


def app(lake: Path | S3Location, home: Path, **changes: Any) -> Any:
    # How long an answer takes is a matter of what else the machine does.
    patient = {"timeout_seconds": 120, "work_seconds": 120, **changes.pop("serving", {})}
    configured = Settings(lake=lake, home=home, serving=patient, **changes)
    return build_app(open_lake(configured), configured)


@pytest.fixture(scope="module")
def service(
    sample_project: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    with TestClient(app(sample_project.lake, tmp_path_factory.mktemp("home"))) as client:
        wait_for(lambda: client.get("/ready").status_code == 200)
        yield client


def raw_tables(source: Path) -> dict[str, pd.DataFrame]:
    return {
        name: pd.read_csv(next(source.glob(f"*{name}*.csv")), dtype=str, keep_default_na=False)
        for name in TABLES
    }


def in_json(kind: str, text: str) -> Any:
    """A cell of the source as JSON has it."""
    if text == "":
        return None
    if kind == "boolean":
        return text.lower() in ("true", "t", "1")
    return {"int64": int, "float64": float}.get(kind, str)(text)


def histories(raw: dict[str, pd.DataFrame], users: list[int], n: int) -> list[dict[str, Any]]:
    """The first n sessions of customers and what they book, as in the source's rows."""

    def rows(name: str, frame: pd.DataFrame) -> list[dict[str, Any]]:
        given = frame.drop(columns="user_id", errors="ignore").to_dict("records")
        kinds = KINDS[name]
        return [{key: in_json(kinds[key], text) for key, text in row.items()} for row in given]

    sessions = raw["sessions"][raw["sessions"]["session_start"] >= "2023-01-04"]
    found = []
    for user in map(str, users):
        mine = sessions[sessions["user_id"] == user]
        mine = mine.sort_values(["session_start", "session_id"]).head(n)
        named = set(mine["trip_id"]) - {""}
        bookings = {
            name: rows(name, raw[name][raw[name]["trip_id"].isin(named)])
            for name in ("flights", "hotels")
        }
        profile = rows("users", raw["users"][raw["users"]["user_id"] == user])[0]
        found.append({"profile": profile, "sessions": rows("sessions", mine), **bookings})
    return found


def stored_features(project: Project, n: int) -> pd.DataFrame:
    stored = project.frame("gold/early_features", LAST)
    return stored[stored[SEEN] == n].sample(40, random_state=n).reset_index(drop=True)


def as_features(rows: pd.DataFrame) -> list[dict[str, Any]]:
    plain = rows[NAMES].astype(object)
    return plain.where(plain.notna(), None).to_dict("records")


def check_history_features(project: Project) -> None:
    raw = raw_tables(project.source)
    of_month = HistoryFeatures(Plans.of(LAST))
    for n in (0, 1, 3, 5):
        expected = stored_features(project, n)
        asked = histories(raw, list(expected["user_id"]), n)
        parsed = [History.model_validate_json(json.dumps(one)) for one in asked]
        found = of_month.of(dict(enumerate(parsed))).sort_index()
        pd.testing.assert_frame_equal(found[NAMES], expected[NAMES], check_dtype=False)


def test_features_of_raw_rows_are_the_pipelines_on_the_sample(sample_project: Project) -> None:
    check_history_features(sample_project)


def test_features_of_raw_rows_are_the_pipelines_on_the_real_cohort(real_project: Project) -> None:
    check_history_features(real_project)


def test_features_and_raw_rows_one_and_a_batch_get_the_same_answers(
    service: TestClient, sample_project: Project
) -> None:
    rows = stored_features(sample_project, 3).head(6)
    by_features = [{"features": row} for row in as_features(rows)]
    raw = raw_tables(sample_project.source)
    by_rows = [{"history": h} for h in histories(raw, list(rows["user_id"]), 3)]
    one_by_one = [service.post("/perk", json=question).json() for question in by_features]
    mixed = by_features[:3] + by_rows[3:]
    batch = service.post("/perk", json={"customers": mixed}).json()["answers"]
    for one, other in zip(one_by_one, batch, strict=True):
        for name in ("score", "expected", "history_probability"):
            assert one.pop(name) == pytest.approx(other.pop(name), abs=1e-5)
        assert one == other
    alone = service.post("/perk", json=by_rows[0]).json()
    assert alone["perk"] == one_by_one[0]["perk"]


def test_the_answer_is_the_promoted_models(service: TestClient, sample_project: Project) -> None:
    stored = Predictor.from_frame(sample_project.frame("gold/perk_predictor", LAST))
    assert stored is not None
    row = as_features(stored_features(sample_project, 2).head(1))[0]
    answer = service.post("/perk", json={"features": row}).json()
    assert set(answer) == {
        *("perk", "title", "runner_up", "score", "reason"),
        *("model_version", "as_of_month", "source"),
        *("expected", "history_perk", "history_probability"),
    }
    assert answer["model_version"] == stored.version
    assert answer["as_of_month"] == stored.month
    assert answer["perk"] in stored.perks
    assert answer["runner_up"] != answer["perk"]
    best = stored.perks.index(answer["perk"])
    usual = stored.behaviour.average[2, best]
    assert answer["score"] == pytest.approx(answer["expected"][answer["perk"]] / usual)
    assert set(answer["expected"]) == set(stored.perks)
    assert answer["history_perk"] in stored.history_perks
    assert 1 / len(stored.history_perks) <= answer["history_probability"] <= 1
    assert answer["reason"].startswith("profile and first 2 sessions: ")


def test_a_profile_alone_is_answered_by_features_and_by_raw_rows_alike(
    service: TestClient, sample_project: Project
) -> None:
    rows = stored_features(sample_project, 0).head(8)
    raw = raw_tables(sample_project.source)
    for features, history in zip(
        as_features(rows), histories(raw, list(rows["user_id"]), 0), strict=True
    ):
        profile = {name: features[name] for name in PROFILE} | {"total_sessions": 0}
        asked = (
            {"features": profile},
            {"history": history},
            {"history": {"profile": history["profile"]}},
        )
        answers = [service.post("/perk", json=question).json() for question in asked]
        assert answers[1] == answers[2]
        for name in ("score", "expected", "history_probability"):
            assert answers[0].pop(name) == pytest.approx(answers[1].pop(name), abs=1e-5)
        assert answers[0] == answers[1]
        assert answers[0]["reason"].startswith("profile: ")


def test_an_assigned_customer_gets_the_perk_of_the_month(
    service: TestClient, sample_project: Project
) -> None:
    row = sample_project.frame("gold/perk_assignments", LAST).iloc[7]
    answer = service.get(f"/customers/{row['user_id']}/perk").json()
    assert answer["perk"] == row["perk"]
    assert answer["runner_up"] == row["runner_up"]
    assert answer["reason"] == row["deciding_features"]
    assert answer["as_of_month"] == LAST


def test_who_is_held_out_is_offered_nothing_and_others_what_the_campaign_offers(
    service: TestClient, sample_project: Project
) -> None:
    campaign = sample_project.frame("gold/campaign", LAST)
    held = campaign[campaign["holdout"]].iloc[0]
    written = campaign[~campaign["holdout"]].iloc[0]
    answer = service.get(f"/customers/{held['user_id']}/perk").json()
    assert answer["perk"]
    assert answer["offer"] is None
    answer = service.get(f"/customers/{written['user_id']}/perk").json()
    assert answer["offer"] == written["perk"]


def test_an_unknown_customer_is_404_and_a_word_is_422(service: TestClient) -> None:
    assert service.get("/customers/999999999/perk").status_code == 404
    refused = service.get("/customers/somebody/perk")
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["path", "user_id"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"features": {"total_sessions": 2, "age": -4}}, ["body", "features", "age"]),
        ({"features": {"total_sessions": 6}}, ["body", "features", "total_sessions"]),
        ({"features": {"total_sessions": 1, "agee": 4}}, ["body", "features", "agee"]),
        ({"customers": [{"features": {}}]}, ["body", "customers", 0, "features", "total_sessions"]),
        ({"history": {"sessions": []}}, ["body", "history", "profile"]),
        ([], ["body"]),
    ],
    ids=["range", "too many sessions", "misspelt", "in a batch", "missing", "no object"],
)
def test_bad_input_is_422_and_names_the_field(
    service: TestClient, body: Any, place: list[Any]
) -> None:
    refused = service.post("/perk", json=body)
    assert refused.status_code == 422
    assert place in [problem["loc"] for problem in refused.json()["detail"]]
    assert "input" not in refused.json()["detail"][0]


@pytest.mark.parametrize(
    ("part", "field", "wrong"),
    [
        ("features", "total_nights", True),
        ("features", "total_nights", "2"),
        ("features", "mean_nights", "2.5"),
        ("features", "mean_nights", False),
        ("features", "married", 1),
        ("features", "married", "yes"),
        ("sessions", "page_clicks", "12"),
        ("sessions", "page_clicks", True),
        ("sessions", "session_start", 1_688_205_600),
        ("sessions", "flight_booked", "true"),
        ("profile", "birthdate", "631152000"),
        ("profile", "home_airport_lat", "40.5"),
    ],
)
def test_a_value_is_taken_in_its_own_json_type_only(
    service: TestClient, sample_project: Project, part: str, field: str, wrong: Any
) -> None:
    features = {"total_sessions": 1, "mean_nights": 2, "total_nights": 2, "married": True}
    user = int(stored_features(sample_project, 1)["user_id"].iloc[0])
    history = histories(raw_tables(sample_project.source), [user], 1)[0]
    question = {"features": features} if part == "features" else {"history": history}
    assert service.post("/perk", json=question).status_code == 200
    if part == "features":
        features[field] = wrong
        way: list[str | int] = ["features", field]
    elif part == "profile":
        history["profile"][field], way = wrong, ["history", "profile", field]
    else:
        history["sessions"][0][field], way = wrong, ["history", "sessions", 0, field]
    for body, where in ((question, []), ({"customers": [question]}, ["customers", 0])):
        refused = service.post("/perk", json=body)
        assert refused.status_code == 422
        assert [p["loc"] for p in refused.json()["detail"]] == [["body", *where, *way]]


def test_a_row_that_cleaning_refuses_is_422_and_named(
    service: TestClient, sample_project: Project
) -> None:
    user = int(stored_features(sample_project, 2)["user_id"].iloc[0])
    history = histories(raw_tables(sample_project.source), [user], 2)[0]
    history["sessions"][1]["session_end"] = "2001-01-01 00:00:00"
    refused = service.post("/perk", json={"customers": [{"history": history}]})
    assert refused.status_code == 422
    problem = refused.json()["detail"][0]
    assert problem["loc"] == ["body", "customers", 0, "history", "sessions", 1]
    assert "ends_before_start" in problem["msg"]


def test_bodies_batches_and_keys_are_limited(sample_project: Project, tmp_path: Path) -> None:
    limits = {"max_body_bytes": 1_024, "max_batch": 2}
    guarded = app(sample_project.lake, tmp_path, serving=limits, api_key="sesame")
    one = {"features": {"total_sessions": 1}}
    with TestClient(guarded) as client:
        assert client.post("/perk", json=one).status_code == 401
        assert client.get("/metrics", headers={"X-API-Key": "open"}).status_code == 401
        assert client.get("/health").status_code == client.get("/ready").status_code == 200
        key = {"X-API-Key": "sesame"}
        assert client.post("/perk", json=one, headers=key).status_code == 200
        batch = {"customers": [one] * 3}
        assert client.post("/perk", json=batch, headers=key).status_code == 422
        assert client.post("/perk", content=b" " * 1_025, headers=key).status_code == 413
    assert "sesame" not in repr(Settings(api_key="sesame"))


def test_an_empty_lake_is_503_until_something_is_released(
    sample_project: Project, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    quick = {"poll_seconds": 0.1}
    with TestClient(app(lake, tmp_path, serving=quick)) as client:
        for method, path in (("GET", "/ready"), ("GET", "/perks"), ("GET", "/customers/1/perk")):
            assert client.request(method, path).status_code == 503
        assert client.post("/perk", json={"features": {"total_sessions": 1}}).status_code == 503
        assert client.get("/health").status_code == 200
        shutil.copytree(sample_project.lake / "releases", lake / "releases")
        wait_for(lambda: client.get("/ready").status_code == 200)
        assert client.post("/perk", json={"features": {"total_sessions": 1}}).status_code == 200


def test_without_a_model_customers_are_answered_and_newcomers_are_not(
    sample_project: Project, tmp_path: Path
) -> None:
    shutil.copytree(sample_project.lake / "releases", tmp_path / "lake" / "releases")
    nobody = current(sample_project.lake).frame(PREDICTOR).iloc[:0]
    made = release_with(tmp_path / "lake", {PREDICTOR: parquet(nobody)})
    user = int(made.frame(ASSIGNMENTS)["user_id"].iloc[0])
    with TestClient(app(tmp_path / "lake", tmp_path)) as client:
        wait_for(lambda: client.get("/ready").status_code == 200)
        assert client.get("/ready").json()["model_version"] is None
        assert client.get(f"/customers/{user}/perk").status_code == 200
        refused = client.post("/perk", json={"features": {"total_sessions": 1}})
        assert refused.status_code == 503
        assert "no model has been promoted" in refused.json()["detail"]


def wait_for(reached: Any, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def test_a_broken_model_leaves_the_old_one_in_service_and_a_sound_one_takes_over(
    sample_project: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(sample_project.lake / "releases", lake / "releases")
    one = {"features": {"total_sessions": 1}}
    frame = sample_project.frame("gold/perk_predictor", LAST)
    other = sample_project.frame("gold/perk_predictor_candidate", "2023-06")
    with TestClient(app(tmp_path / "lake", tmp_path, serving={"poll_seconds": 0.1})) as client:
        before = client.post("/perk", json=one).json()["model_version"]
        with caplog.at_level(logging.ERROR, "traveltide.serving"):
            release_with(lake, {PREDICTOR: parquet(frame.assign(onnx=[b"broken"]))})
            wait_for(lambda: "the current model stays" in caplog.text)
        assert client.post("/perk", json=one).json()["model_version"] == before
        release_with(lake, {PREDICTOR: parquet(other)})
        expected = other["model_version"].iloc[0]
        assert expected != before
        wait_for(lambda: client.post("/perk", json=one).json()["model_version"] == expected)


def test_a_lake_in_s3_is_served_and_a_model_promoted_there_takes_over(
    sample_project: Project,
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    place = S3Location(s3_server.bucket(), "lake")
    shutil.copytree(sample_project.lake / "releases", tmp_path / "lake" / "releases")
    s3_server.upload(tmp_path / "lake", place)
    user = int(sample_project.frame("gold/perk_assignments", LAST)["user_id"].iloc[0])
    one = {"features": {"total_sessions": 1}}
    other = sample_project.frame("gold/perk_predictor_candidate", "2023-06")
    with TestClient(app(place, tmp_path, serving={"poll_seconds": 0.1})) as client:
        wait_for(lambda: client.get("/ready").status_code == 200)
        before = client.post("/perk", json=one).json()["model_version"]
        assert client.get(f"/customers/{user}/perk").status_code == 200
        release_with(tmp_path / "lake", {PREDICTOR: parquet(other)})
        s3_server.upload(tmp_path / "lake", place)
        expected = other["model_version"].iloc[0]
        assert expected != before
        wait_for(lambda: client.post("/perk", json=one).json()["model_version"] == expected)


def test_an_answer_that_takes_too_long_is_504_and_the_next_request_is_answered(
    sample_project: Project, tmp_path: Path
) -> None:
    user = int(stored_features(sample_project, 5)["user_id"].iloc[0])
    history = histories(raw_tables(sample_project.source), [user], 5)[0]
    hasty = app(sample_project.lake, tmp_path, serving={"timeout_seconds": 0.03})
    with TestClient(hasty) as client:
        late = client.post("/perk", json={"history": history})
        assert late.status_code == 504
        assert late.json() == {"detail": "the answer took too long"}
        assert client.get("/health").status_code == 200


def test_the_key_is_checked_before_the_body_is_read(
    sample_project: Project, tmp_path: Path
) -> None:
    guarded = app(
        sample_project.lake, tmp_path, serving={"max_body_bytes": 1_024}, api_key="sesame"
    )
    with TestClient(guarded) as client:
        for body in (b"{", b" " * 10_000, b'{"features": {"total_sessions": 9}}'):
            assert client.post("/perk", content=body).status_code == 401
            wrong = client.post("/perk", content=body, headers={"X-API-Key": "sesam"})
            assert wrong.status_code == 401
            assert wrong.json() == {"detail": "X-API-Key is missing or wrong"}


def test_a_key_may_hold_letters_that_are_not_ascii(sample_project: Project, tmp_path: Path) -> None:
    with TestClient(app(sample_project.lake, tmp_path, api_key="sésame")) as client:
        assert client.get("/perks", headers={"X-API-Key": "sésame".encode()}).status_code == 200
        assert client.get("/perks", headers={"X-API-Key": b"sesame"}).status_code == 401


def test_a_key_is_documented_where_it_is_required(sample_project: Project, tmp_path: Path) -> None:
    document = app(sample_project.lake, tmp_path, api_key="sesame").openapi()
    methods = {
        f"{method} {path}": "security" in described
        for path, operations in document["paths"].items()
        for method, described in operations.items()
    }
    assert methods == {
        "get /health": False,
        "get /ready": False,
        "post /perk": True,
        "post /events": True,
        "get /customers/{user_id}/perk": True,
        "get /perks": True,
        "get /metrics": True,
    }
    assert "security" not in json.dumps(app(sample_project.lake, tmp_path).openapi())


def test_a_process_that_does_not_answer_is_ended_and_the_next_question_is_answered(
    sample_project: Project, tmp_path: Path
) -> None:
    built = app(sample_project.lake, tmp_path, serving={"workers": 1})
    workers = built.state.service.workers
    one = {"features": {"total_sessions": 1}}
    batch = {"customers": [one]}
    with TestClient(built) as client:
        wait_for(lambda: client.post("/perk", json=batch).status_code == 200)
        (worker,) = (psutil.Process(one._process.pid) for one in workers._all)
        worker.suspend()
        workers._settings = workers._settings.model_copy(update={"work_seconds": 0.5})
        assert client.post("/perk", json=batch).status_code == 504
        assert client.post("/perk", json=one).status_code == 200
        workers._settings = workers._settings.model_copy(update={"work_seconds": 120})
        assert client.post("/perk", json=batch).status_code == 200
        assert not worker.is_running()
        assert 'reason="TimeoutError"} 1.0' in client.get("/metrics").text
    assert all(not one.alive for one in workers._all)


def test_a_lake_that_is_away_leaves_everything_in_service_and_is_told(
    sample_project: Project, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(sample_project.lake / "releases", lake / "releases")
    user = int(sample_project.frame("gold/perk_assignments", LAST)["user_id"].iloc[0])
    old = {"poll_seconds": 0.1, "max_age_seconds": 3}
    with TestClient(app(lake, tmp_path, serving=old)) as client:
        wait_for(lambda: client.get("/ready").status_code == 200)
        sound = client.get("/ready").json()
        assert (sound["as_of_month"], sound["warning"]) == (LAST, None)
        assert sound["notice"] == GENERATED, "the release says so, whatever else is readable"
        lake.rename(tmp_path / "away")
        wait_for(lambda: client.get("/ready").json().get("warning") is not None)
        told = client.get("/ready").json()
        assert told["warning"] == "the lake holds no decided month any more"
        assert told["in_service_since"] == sound["in_service_since"]
        for path in (f"/customers/{user}/perk", "/perks"):
            assert client.get(path).status_code == 200
        wait_for(lambda: client.get("/ready").status_code == 503)
        assert client.get(f"/customers/{user}/perk").status_code == 200
        assert 'traveltide_lake_problem{problem="the lake holds' in client.get("/metrics").text
        (tmp_path / "away").rename(lake)
        wait_for(lambda: client.get("/ready").status_code == 200)


def test_a_release_that_is_damaged_is_not_served_and_taken_once_it_is_sound(
    sample_project: Project, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(sample_project.lake / "releases", lake / "releases")
    file = Path(current(lake).uri(ASSIGNMENTS))
    sound = file.read_bytes()
    file.write_bytes(sound[:-30] + bytes([sound[-30] ^ 1]) + sound[-29:])
    with TestClient(app(lake, tmp_path, serving={"poll_seconds": 0.1})) as client:
        refused = client.get("/ready")
        assert refused.status_code == 503
        assert "the service goes on trying" in refused.json()["detail"]
        file.write_bytes(sound)
        wait_for(lambda: client.get("/ready").status_code == 200)


@pytest.mark.parametrize("price", [1e13, 1e15, 1e16, 1e308])
def test_a_price_beyond_all_bounds_is_422_and_named(
    service: TestClient, sample_project: Project, price: float
) -> None:
    rows = stored_features(sample_project, 5)
    given = histories(raw_tables(sample_project.source), [int(u) for u in rows["user_id"]], 5)
    history = next(h for h in given if h["hotels"])
    history["hotels"][0]["hotel_per_room_usd"] = price
    refused = service.post("/perk", json={"history": history})
    assert refused.status_code == 422
    place = ["body", "history", "hotels", 0, "hotel_per_room_usd"]
    assert [p["loc"] for p in refused.json()["detail"]] == [place]


def test_head_is_get_without_the_body(service: TestClient) -> None:
    for path in ("/health", "/ready", "/perks", "/docs", "/openapi.json"):
        head, whole = service.head(path), service.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == whole.headers["content-type"]
    assert service.head("/perk").status_code == 405


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip"])
def test_a_compressed_body_is_415(service: TestClient, coding: str) -> None:
    body = gzip.compress(b'{"features": {"total_sessions": 1}}')
    refused = service.post("/perk", content=body, headers={"Content-Encoding": coding})
    assert refused.status_code == 415
    plain = {"Content-Encoding": "identity"}
    one = {"features": {"total_sessions": 1}}
    assert service.post("/perk", json=one, headers=plain).status_code == 200


def test_the_docs_load_nothing_and_show_every_path(service: TestClient) -> None:
    page = service.get("/docs")
    assert GENERATED in page.text
    assert service.get("/ready").json()["notice"] == GENERATED
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    for word in ("<script", "<link", "src=", "http://", "https://", "@import"):
        assert word not in page.text
    for path in service.get("/openapi.json").json()["paths"]:
        assert path in page.text


def test_the_docs_ask_for_the_key_where_there_is_one(
    sample_project: Project, tmp_path: Path
) -> None:
    with TestClient(app(sample_project.lake, tmp_path, api_key="s\xe9same")) as client:
        for path in ("/docs", "/openapi.json"):
            asked = client.get(path)
            assert asked.status_code == 401
            assert asked.headers["www-authenticate"].startswith("Basic ")
            assert client.get(path, auth=("", "s\xe9same")).status_code == 200
            assert client.get(path, auth=("s\xe9same", "")).status_code == 401
            key = {"X-API-Key": "s\xe9same".encode()}
            assert client.get(path, headers=key).status_code == 200
            assert client.get(path, headers={"Authorization": "Basic !"}).status_code == 401


def test_the_bodies_in_flight_are_limited(sample_project: Project, tmp_path: Path) -> None:
    few = {"max_bytes_in_flight": 100_000}
    with TestClient(app(sample_project.lake, tmp_path, serving=few)) as client:
        refused = client.post("/perk", content=b" " * 200_000)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert client.post("/perk", content=b" " * 90_000).status_code == 422
        assert client.app.state.service.budget.held == 0  # type: ignore[attr-defined]


def test_an_unexpected_error_is_500_and_its_message_is_not_logged(
    sample_project: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(user_id: int) -> None:
        raise ValueError(f"customer {user_id}")

    built = app(sample_project.lake, tmp_path)
    built.add_api_route("/broken/{user_id}", broken)
    with TestClient(built) as client, caplog.at_level(logging.INFO, "traveltide.serving"):
        failed = client.get("/broken/471108154711")
        counted = client.get("/metrics").text
    assert (failed.status_code, failed.json()) == (500, {"detail": "the service failed"})
    assert "GET /broken/{user_id} failed: ValueError in broken" in caplog.text
    assert "471108154711" not in caplog.text + failed.text + counted
    assert 'route="/broken/{user_id}",status="500"' in counted


def test_a_client_that_hangs_up_is_not_reported_as_a_fault(
    service: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/perk",
        "query_string": b"",
        "headers": [(b"content-length", b"100")],
    }
    received = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message)

    assert service.portal is not None
    with caplog.at_level(logging.INFO, "traveltide.serving"):
        service.portal.call(service.app, scope, receive, send)
    assert sent[0]["status"] == 400
    assert not [record for record in caplog.records if record.name.startswith("traveltide")]


def test_logs_and_metrics_name_no_customer(
    service: TestClient, sample_project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    user = int(sample_project.frame("gold/perk_assignments", LAST)["user_id"].iloc[0])
    caplog.set_level(logging.INFO, "traveltide")
    service.get(f"/customers/{user}/perk")
    service.get(f"/nowhere/{user}")
    text = service.get("/metrics").text
    assert 'route="/customers/{user_id}/perk",status="200"' in text
    assert f"/{user}" not in text
    assert not [r for r in caplog.records if r.name.startswith("traveltide") and str(user) in r.msg]


def test_the_catalogue_is_the_months(service: TestClient, sample_project: Project) -> None:
    stored = sample_project.frame("gold/perk_catalogue", LAST).sort_values("position")
    assert [perk["perk"] for perk in service.get("/perks").json()["perks"]] == list(stored["perk"])


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seconds", [0, 0.3, 30])
def test_nothing_of_its_processes_outlives_the_service(seconds: float) -> None:
    """However far they had started, and whether they were replaced or not."""

    async def runs() -> None:
        pool = Workers(Config(workers=2), Metrics(lambda: None, ()))
        pool.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                pool._replace(await pool._free.get(), "replaced")
        await pool.stop()

    before = set(psutil.Process().children())
    asyncio.run(runs())
    gc.collect()
    assert set(psutil.Process().children()) <= before


def test_nothing_that_its_own_document_allows_makes_it_fail(service: TestClient) -> None:
    document = json.loads(service.get("/openapi.json").content)
    assert set(document["paths"]) >= {"/perk", "/perks", "/customers/{user_id}/perk", "/metrics"}
    schema: Any = schemathesis.openapi.from_dict(document)
    for operation in schema.get_all_operations():
        fuzz(operation.ok(), service)


def fuzz(operation: Any, service: TestClient) -> None:
    from hypothesis import given

    @given(case=operation.as_strategy())
    @settings(max_examples=15, suppress_health_check=list(HealthCheck), database=None)
    def no_failure(case: Any) -> None:
        arguments = case.as_transport_kwargs(base_url="http://testserver")
        answer = service.request(**arguments)
        assert answer.status_code < 500, (case.body, answer.text)
        assert str(answer.status_code) in operation.definition.raw["responses"]

    no_failure()


def test_a_batch_of_many_comes_back_in_its_order(
    service: TestClient, sample_project: Project
) -> None:
    rows = as_features(stored_features(sample_project, 4))
    many = [{"features": rows[i % len(rows)]} for i in range(500)]
    answers = service.post("/perk", json={"customers": many}).json()["answers"]
    assert len(answers) == 500
    perks = np.array([answer["perk"] for answer in answers])
    assert (perks[: len(rows)] == perks[len(rows) : 2 * len(rows)]).all()
