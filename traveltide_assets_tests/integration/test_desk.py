"""The desk over the releases of a run: what its pages say, to whom, and what leaves by them."""

from __future__ import annotations

import csv
import io
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import Route
from starlette.testclient import TestClient

from traveltide_assets.campaign.release_files import (
    ASSIGNMENTS,
    BUDGET_CURVE,
    CAMPAIGN,
    CATALOGUE,
    EFFECTS,
    EVIDENCE,
    LOOKS,
    MOVES,
    OFFERS,
    OUTCOMES,
    POLICIES,
    PROFILES,
    SAMPLE,
    SEGMENTS,
)
from traveltide_assets.catalogue.perks import NO_OFFER
from traveltide_assets.cli import main
from traveltide_assets.lake.release import Releases
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.report import phrases
from traveltide_assets.report.dimensions import DIMENSIONS
from traveltide_assets.report.disclosure import FEWEST
from traveltide_assets.resources import open_lake
from traveltide_assets.serving.app import build_app
from traveltide_assets.serving.desk.lists import COLUMNS
from traveltide_assets.serving.desk.pages import NAVIGATION
from traveltide_assets.settings import Settings
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support import learnt
from traveltide_assets_tests.support.project import Project
from traveltide_assets_tests.support.releases import current, parquet, release_with

HOSTILE = "<script>alert('1')</script> & \"=cmd\""
HERE = ("127.0.0.1", 50_000)
PAGES = [path for path, _ in NAVIGATION]


def app(lake: Path, home: Path, **changes: Any) -> Any:
    configured = Settings(lake=lake, home=home, serving={"timeout_seconds": 120}, **changes)
    return build_app(open_lake(configured), configured)


def opened(lake: Path, home: Path, client: tuple[str, int] = HERE, **changes: Any) -> TestClient:
    """A browser at the desk, which does not follow redirects."""
    return TestClient(
        app(lake, home, **changes),
        base_url="http://127.0.0.1:8000",
        client=client,
        follow_redirects=False,
    )


@pytest.fixture(scope="module")
def desk(sample_project: Project, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    # Its pages need nothing of what the service does while it runs.
    return opened(sample_project.lake, tmp_path_factory.mktemp("home"))


@pytest.fixture
def copied(sample_project: Project, tmp_path: Path) -> Path:
    """A lake whose releases may be changed."""
    shutil.copytree(sample_project.lake / "releases", tmp_path / "lake" / "releases")
    return tmp_path / "lake"


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("month", ["", "?month=2023-06"])
def test_every_page_opens_and_names_its_release(desk: TestClient, page: str, month: str) -> None:
    answer = desk.get(f"{page}{month}")
    assert answer.status_code == 200
    assert "Release <code>" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("page", PAGES)
def test_no_script_and_no_style_is_inline(desk: TestClient, page: str) -> None:
    text = desk.get(page).text
    scripts = re.findall(r"<script([^>]*)>", text)
    assert all("src=" in each or "application/json" in each for each in scripts)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", text)


def test_the_first_page_has_the_counts_of_the_release(
    desk: TestClient, sample_project: Project
) -> None:
    text = desk.get("/").text
    assigned = current(sample_project.lake).frame(ASSIGNMENTS)
    assert f"{len(assigned):,} active customers got one of" in text
    for size in assigned["perk"].value_counts():
        assert (f">{size:,}</td>" in text) == (size >= FEWEST)
    assert "have another perk" in text


def test_a_hostile_title_and_name_are_words_on_every_page(copied: Path, tmp_path: Path) -> None:
    made = current(copied)
    catalogue = made.frame(CATALOGUE).assign(title=HOSTILE, audience=HOSTILE, headline=HOSTILE)
    changed = {CATALOGUE: parquet(catalogue)}
    for name in (ASSIGNMENTS, SEGMENTS, CAMPAIGN, PROFILES):
        changed[name] = parquet(made.frame(name).assign(segment=HOSTILE))
    release_with(copied, changed)
    visitor = opened(copied, tmp_path / "home")
    user = made.frame(ASSIGNMENTS)["user_id"].iloc[0]
    for page in (*PAGES, f"/customer?id={user}"):
        answer = visitor.get(page)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in visitor.get("/customers").text
    rows = list(csv.reader(io.StringIO(visitor.get("/lists/customers.csv").text)))
    assert rows[1][1] == HOSTILE


def test_no_customer_reaches_the_browser_but_in_counts(
    desk: TestClient, sample_project: Project
) -> None:
    users = current(sample_project.lake).frame(ASSIGNMENTS)["user_id"]
    large = [str(user) for user in users if user > 100_000 or user > users.median()]
    for page in ("/", "/customers", "/experiment", "/months", "/lists"):
        found = set(re.findall(r"\b\d{4,}\b", desk.get(page).text))
        # Sizes of charts and years are numbers, too; many ids would be no coincidence.
        assert len(found & set(large)) < 3, page


def test_a_selection_of_few_is_neither_counted_nor_listed(
    desk: TestClient, sample_project: Project
) -> None:
    perk = current(sample_project.lake).frame(ASSIGNMENTS)["perk"].iloc[0]
    few = f"age=25..25&perk={perk}&spend=100..101"
    page = desk.get(f"/customers?{few}").text
    assert f"Fewer than {FEWEST} customers" in page
    assert "On average" not in page
    assert desk.get(f"/lists/customers.csv?{few}").status_code == 400
    assert "they are not listed" in desk.get(f"/lists?{few}").text


def test_no_chart_has_a_group_of_few(desk: TestClient) -> None:
    text = desk.get("/customers?family=married+with+children").text
    counted = [int(n.replace(",", "")) for n in re.findall(r"<td>([\d,]+)</td><td>[\d.]+ ?%", text)]
    assert counted
    assert all(number >= FEWEST or number == 0 for number in counted)


def test_a_selection_selects_who_it_says(desk: TestClient, sample_project: Project) -> None:
    listed = csv.DictReader(io.StringIO(desk.get("/lists/customers.csv?age=35..44").text))
    ids = {int(row["user_id"]) for row in listed}
    features = sample_project.frame("gold/user_features", LAST).set_index("user_id")
    written = current(sample_project.lake).frame(CAMPAIGN).set_index("user_id")
    due = features.index[features["age"].between(35, 44)]
    assert ids == set(due) & set(written.index[~written["holdout"]])


def test_a_list_holds_what_may_leave_and_nobody_who_must_not_be_written_to(
    desk: TestClient, sample_project: Project, tmp_path: Path
) -> None:
    rows = list(csv.DictReader(io.StringIO(desk.get("/lists/customers.csv").text)))
    assert list(rows[0]) == list(COLUMNS)
    campaign = current(sample_project.lake).frame(CAMPAIGN).set_index("user_id")
    assert {int(row["user_id"]) for row in rows} == set(campaign.index[~campaign["holdout"]])
    first = rows[0]["user_id"]
    (tmp_path / "list.csv").write_text(f"user_id\n{first}\n")
    later = opened(
        sample_project.lake,
        tmp_path / "home",
        campaign={"suppression_file": tmp_path / "list.csv"},
    )
    left = csv.DictReader(io.StringIO(later.get("/lists/customers.csv").text))
    assert first not in {row["user_id"] for row in left}


def test_the_held_out_are_listed_only_for_who_asks(
    desk: TestClient, sample_project: Project
) -> None:
    answer = desk.get("/lists/customers.csv?contact=held+out")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    campaign = current(sample_project.lake).frame(CAMPAIGN).set_index("user_id")
    assert {int(row["user_id"]) for row in rows} == set(campaign.index[campaign["holdout"]])


def test_the_command_line_writes_the_same_lists(
    desk: TestClient, sample_project: Project, tmp_path: Path
) -> None:
    environment = {
        "TRAVELTIDE_SOURCE": str(sample_project.source),
        "TRAVELTIDE_LAKE": str(sample_project.lake),
        "TRAVELTIDE_HOME": str(tmp_path / "home"),
    }
    for ending in ("csv", "xlsx"):
        file = tmp_path / f"families.{ending}"
        command = ["export", "--to", str(file), "--where", "family=married with children"]
        done = CliRunner().invoke(main, command, env=environment)
        assert done.exit_code == 0, done.output
        page = desk.get(f"/lists/customers.{ending}?family=married+with+children")
        assert page.content == file.read_bytes()
    wrong = CliRunner().invoke(
        main, ["export", "--to", str(file), "--where", "perk=gold"], env=environment
    )
    assert wrong.exit_code == 1
    assert "choose from" in wrong.output


def test_one_customer_is_explained_with_what_was_offered(
    desk: TestClient, sample_project: Project
) -> None:
    made = current(sample_project.lake)
    mine = made.frame(ASSIGNMENTS).iloc[0]
    titles = made.frame(CATALOGUE).set_index("perk")["title"]
    text = desk.get(f"/customer?id={mine['user_id']}").text
    assert titles[mine["perk"]] in text
    assert f"Runner-up: {titles[mine['runner_up']]}" in text
    assert "July 2023" in text


def priced(copied: Path) -> pd.DataFrame:
    """Releases the latest month again with money set, and returns its offers."""
    offers = current(copied).frame(OFFERS)
    offered = offers["offer"] != NO_OFFER
    offers["expected_cost_usd"] = np.where(offered, 2.0, 0.0)
    drawn = offers.index == offers.index[offered][0]
    offers.loc[drawn, "probability"] = 0.25
    offers.loc[drawn, "because"] = "drawn at random"
    release_with(copied, {OFFERS: parquet(offers), BUDGET_CURVE: parquet(learnt.curve())})
    return offers


def test_where_money_is_set_cost_budget_and_chance_are_told(copied: Path, tmp_path: Path) -> None:
    offers = priced(copied)
    page = opened(copied, tmp_path / "home")
    offered = offers[offers["offer"] != NO_OFFER]
    sizes = offered["offer"].value_counts()
    text = page.get("/").text
    for size in sizes[sizes >= 10]:
        assert f"${2 * size:,}</td>" in text
    assert f"to cost ${2 * sizes[sizes >= 10].sum():,} in all" in text
    assert "Most is expected of a budget of 2,000 USD" in page.get("/experiment").text
    mine = offered.iloc[0]
    said = page.get("/customer", params={"id": int(mine["user_id"])}).text
    assert f"drawn at random (with a probability of {phrases.share(0.25)})" in said


def test_what_offers_did_and_what_to_send_next_is_told(copied: Path, tmp_path: Path) -> None:
    user = int(current(copied).frame(ASSIGNMENTS)["user_id"].iloc[0])
    tables = {
        EFFECTS: learnt.effects(),
        LOOKS: learnt.looks(),
        POLICIES: learnt.policies(),
        OUTCOMES: learnt.outcomes().iloc[:1].assign(user_id=user, campaign="2023-06", bookings=2),
    }
    release_with(copied, {name: parquet(frame) for name, frame in tables.items()})
    page = opened(copied, tmp_path / "home")
    text = page.get("/experiment").text
    assert "The look of week 3 decided" in text
    assert "Own perk, against control offer: bookings per customer" in text
    assert "too little data to tell whether targeting pays" in text
    for chart in ("week-bookings", "offers-May-2023-bookings", "policies"):
        assert f'id="chart-{chart}"' in text
    # Nobody signed up, so there is no interval to draw.
    assert 'id="chart-offers-May-2023-sign_ups"' not in text
    assert "NaN" not in text
    row = page.get("/customer", params={"id": user}).text
    assert "2 bookings" in row
    assert "until 29 June 2023" in row


def test_without_money_there_is_no_cost_and_the_page_says_how_to_get_it(desk: TestClient) -> None:
    assert 'data-label="Cost"' not in desk.get("/").text
    assert "economics.margin_rate" in desk.get("/experiment").text


@pytest.mark.parametrize("typed", ["0", "99999999999", "abc", "1.5", "-1", "9" * 30])
def test_an_unknown_customer_is_told_and_no_fault(desk: TestClient, typed: str) -> None:
    answer = desk.get("/customer", params={"id": typed})
    assert answer.status_code == 200
    assert 'role="alert"' in answer.text


def test_an_earlier_release_without_evidence_says_so(copied: Path, tmp_path: Path) -> None:
    releases = Releases(Folder(copied))
    before = releases.current()
    files = {f.name: before.read(f.name) for f in before.manifest.files if f.name != EVIDENCE}
    manifest = before.manifest
    made = releases.add(before.month, files, manifest.decision, manifest.customers)
    releases.point(made, before.id)
    text = opened(copied, tmp_path / "home").get("/").text
    assert "This release holds no evidence" in text


def test_an_earlier_release_without_summaries_says_the_same(
    copied: Path, tmp_path: Path, desk: TestClient
) -> None:
    releases = Releases(Folder(copied))
    before = releases.current()
    lacking = {PROFILES, MOVES, SAMPLE}
    kept = {name: before.read(name) for name in before.names - lacking}
    made = releases.add(before.month, kept, before.manifest.decision, before.manifest.customers)
    releases.point(made, before.id)
    visitor = opened(copied, tmp_path / "home")
    user = before.frame(ASSIGNMENTS)["user_id"].iloc[0]
    for page in ("/", "/customers", f"/customer?id={user}"):
        pages = [
            re.search("<main.*</main>", each.get(page).text, re.DOTALL) for each in (visitor, desk)
        ]
        assert all(pages)
        one, other = (found[0].split("<h2>Checks")[0] for found in pages if found)
        assert one == other


def test_an_empty_lake_and_a_damaged_release_are_told_without_their_places(
    copied: Path, tmp_path: Path
) -> None:
    empty = opened(tmp_path / "nothing", tmp_path / "home").get("/")
    assert empty.status_code == 404
    assert "traveltide run" in empty.text
    made = current(copied)
    made.path(ASSIGNMENTS).write_bytes(b"damaged")
    damaged = opened(copied, tmp_path / "home").get("/")
    assert damaged.status_code == 503
    assert str(tmp_path) not in damaged.text + empty.text


def test_with_a_key_a_page_is_shown_after_signing_in(
    sample_project: Project, tmp_path: Path
) -> None:
    visitor = opened(sample_project.lake, tmp_path / "home", ("10.0.0.7", 1), api_key="the key")
    turned_away = visitor.get("/customers?age=35..44")
    assert turned_away.status_code == 303
    assert turned_away.headers["location"] == "/sign-in?next=%2Fcustomers%3Fage%3D35..44"
    assert visitor.get(turned_away.headers["location"]).status_code == 200
    wrong = visitor.post("/sign-in", data={"key": "a key", "next": "/"})
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers
    form = {"key": "the key", "next": "/customers?age=35..44"}
    right = visitor.post("/sign-in", data=form)
    assert (right.status_code, right.headers["location"]) == (303, "/customers?age=35..44")
    flags = right.headers["set-cookie"].lower()
    assert "httponly" in flags
    assert "samesite=strict" in flags
    assert "the key" not in flags
    assert visitor.get("/customers?age=35..44").status_code == 200
    assert visitor.post("/sign-out").headers["location"] == "/sign-in"
    assert visitor.get("/").status_code == 303
    assert visitor.get("/", headers={"X-API-Key": "the key"}).status_code == 200
    assert visitor.get("/lists/customers.csv").status_code == 303


def test_without_a_key_only_this_machine_is_let_in(sample_project: Project, tmp_path: Path) -> None:
    far = opened(sample_project.lake, tmp_path / "home", ("10.0.0.7", 1))
    assert far.get("/").status_code == 403
    near = opened(sample_project.lake, tmp_path / "home")
    assert near.get("/", headers={"Host": "elsewhere.example"}).status_code == 403
    assert near.get("/", headers={"Host": "localhost:8000"}).status_code == 200


def test_static_files_are_served_and_nothing_beside_them(desk: TestClient) -> None:
    packed = desk.get("/desk/vega.min.js")
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < 400_000
    assert desk.get("/desk/..%2Fpages.py").status_code == 404
    assert desk.get("/desk/pages.py").status_code == 404


def routes(router: Any) -> set[tuple[str, str]]:
    """Every method and path that an app answers, with those of the routers that it includes."""
    found = set()
    for route in router.routes:
        if isinstance(route, Route):
            found |= {(method, route.path) for method in route.methods or ()}
        else:
            found |= routes(route.original_router)
    return found


PARTS = ("/lists", "/desk", "/sign", "/what-if")
OTHERS = ["month", "id", "first", "second", "next", "x", "leave", "forbid", "strategy", "most"]
TYPED = [
    "3",
    "35..44",
    "65..",
    "unknown",
    "2023-07",
    "2023-06",
    "1999-01",
    "held out",
    "none",
    "..",
]
KEYS = st.sampled_from([*(dimension.key for dimension in DIMENSIONS), *OTHERS])
VALUES = st.text(max_size=12) | st.sampled_from([*TYPED, "9" * 40])


def test_nothing_that_can_be_asked_makes_a_page_fail(desk: TestClient) -> None:
    asked = {("GET", page) for page in PAGES} | {
        ("GET", "/lists/customers.{ending}"),
        ("GET", "/desk/{name}"),
        ("GET", "/sign-in"),
        ("POST", "/sign-in"),
        ("POST", "/sign-out"),
        ("POST", "/what-if/save"),
    }
    of_the_desk = {
        (method, path)
        for method, path in routes(desk.app)
        if method != "HEAD" and (path in PAGES or path.startswith(PARTS))
    }
    assert of_the_desk == asked

    @given(
        st.sampled_from(sorted(asked)),
        st.lists(st.tuples(KEYS, VALUES), max_size=4),
        st.sampled_from(["csv", "xlsx", "desk.css", "", "%00", "..%2f"]),
        st.binary(max_size=60),
    )
    @settings(max_examples=150, suppress_health_check=list(HealthCheck), database=None)
    def no_failure(
        asked: tuple[str, str], query: list[tuple[str, str]], name: str, body: bytes
    ) -> None:
        method, path = asked
        place = re.sub(r"\{\w+\}", name, path)
        content = body if method == "POST" else None
        answer = desk.request(method, place, params=query, content=content)
        assert answer.status_code < 500, (method, place, query)

    no_failure()


def test_a_what_if_without_a_change_gives_what_was_decided(
    desk: TestClient, sample_project: Project
) -> None:
    text = " ".join(desk.get("/what-if").text.split())
    assert "Decided anew from the release alone, 0 customers (0%) get another perk" in text
    assigned = current(sample_project.lake).frame(ASSIGNMENTS)
    for size in assigned["perk"].value_counts():
        if size >= FEWEST:
            assert f"<td>{size:,}</td><td>{size:,}</td>" in text


def test_a_perk_that_is_left_out_goes_to_nobody(desk: TestClient, sample_project: Project) -> None:
    made = current(sample_project.lake)
    given = made.frame(ASSIGNMENTS)["perk"].value_counts()
    title = made.frame(CATALOGUE).set_index("perk")["title"][given.index[0]]
    text = " ".join(desk.get("/what-if", params={"leave": given.index[0]}).text.split())
    assert f'<th scope="row">{title}</th><td>{given.iloc[0]:,}</td><td>0</td>' in text
    assert re.search(r"[\d,]+ customers \(\d+%\) would get another perk", text)


@pytest.mark.parametrize(
    "wanted",
    [
        [("forbid", "total_sessions")],
        [
            ("leave", perk)
            for perk in (
                "free_hotel_meal",
                "free_checked_bag",
                "no_cancellation_fees",
                "exclusive_discounts",
                "free_hotel_night_with_flight",
            )
        ],
        [("forbid", "total_nights"), ("forbid", "mean_nights")],
    ],
)
def test_a_scenario_that_a_run_would_refuse_is_told(
    desk: TestClient, wanted: list[tuple[str, str]]
) -> None:
    answer = desk.get("/what-if", params=wanted)
    assert answer.status_code == 200
    assert 'role="alert"' in answer.text
    assert "Save as a scenario" not in answer.text
    assert "/perks.toml" not in answer.text


def test_a_scenario_is_saved_and_nothing_else_changes(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = opened(copied, tmp_path / "home", scenarios=tmp_path / "scenarios")
    before = {file: file.read_bytes() for file in copied.rglob("*") if file.is_file()}
    form = {"name": "later", "strategy": "kmeans", "holdout": "25"}
    from_elsewhere = here.post(
        "/what-if/save", data=form, headers={"Origin": "http://evil.example"}
    )
    assert from_elsewhere.status_code == 403
    assert here.post("/what-if/save", data=form).status_code == 403
    assert not (tmp_path / "scenarios").exists()
    own = {"Origin": "http://127.0.0.1:8000"}
    answer = here.post("/what-if/save", data=form, headers=own)
    assert answer.status_code == 303
    assert "Saved as" in here.get(answer.headers["location"]).text
    for wrong in ({"name": "../x"}, {"name": "later"}, {"name": "n", "lake": "x"}):
        assert here.post("/what-if/save", data=form | wrong, headers=own).status_code == 400
    assert [file.name for file in (tmp_path / "scenarios").iterdir()] == ["later.toml"]
    assert {file: file.read_bytes() for file in copied.rglob("*") if file.is_file()} == before
    monkeypatch.setenv("TRAVELTIDE_SCENARIO", str(tmp_path / "scenarios" / "later.toml"))
    assert Settings().campaign.holdout_share == 0.25
    assert Settings().strategy == "kmeans"
