"""The Dagster UI as people use it: the lineage, a month, a check, three months."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Response, ViewportSize, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from traveltide_assets.definitions import build_definitions
from traveltide_assets.defs.instance.home import CONFIG
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.settings import Settings
from traveltide_assets_tests.support.ports import free_port
from traveltide_assets_tests.support.processes import ROOT, SMALL, Processes, answers

ARTEFACTS = ROOT / "artifacts"
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium on the path; CHROMIUM may name one"
)
SCREEN: ViewportSize = {"width": 1800, "height": 1000}
FIRST, LAST = "2023-05", "2023-07"
LOADED = "{workspaceOrError{... on Workspace{locationEntries{locationOrLoadError{__typename}}}}}"
RUNS = "{runsOrError{... on Runs{results{status jobName}}}}"
EVALUATIONS = (
    "{runsOrError(limit: 1){... on Runs{results{status eventConnection{events{... on "
    "AssetCheckEvaluationEvent{evaluation{checkName success partition}}}}}}}}"
)
BACKFILLS = "{partitionBackfillsOrError{... on PartitionBackfills{results{status numPartitions}}}}"
MATERIALIZED = (
    "{assetNodeOrError(assetKey:{path:%s}){... on AssetNode{partitionStats{numMaterialized}}}}"
)
SECONDS = 1_800
RUNS_OF_INGEST, RUNS_OF_A_DECISION = 3, 8


@dataclass
class Ui:
    """A page on a running webserver, and the processes behind it."""

    page: Page
    processes: Processes
    url: str

    def ask(self, query: str) -> Any:
        """An answer of the webserver's GraphQL."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/graphql",
            json.dumps({"query": query}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return json.load(response)["data"]

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def open_graph(self, *groups: str) -> None:
        """The lineage, with some groups unfolded, once it is drawn."""
        expanded = ",".join(f"global@global:{group}" for group in groups)
        self.open(f"/asset-groups?{urllib.parse.urlencode({'expanded': expanded})}")
        self.page.get_by_label("zoom_out").wait_for()

    def shows(self, names: list[str]) -> bool:
        """Whether each of these assets is drawn; long names are shortened in their middle."""
        nodes = set(self.page.locator("[class*=assetName]").all_inner_texts())
        drawn = {name: [node for node in nodes if _is_called(node, name)] for name in names}
        return sorted(map(len, drawn.values())) == [1] * len(names)

    def keep(self, name: str) -> None:
        """A picture of the page among the artefacts."""
        ARTEFACTS.mkdir(exist_ok=True)
        self.page.wait_for_timeout(1_500)
        self.page.screenshot(path=ARTEFACTS / f"ui-{name}.png")

    def materialize_all(self, months: str, filtered: str = "") -> None:
        """*Materialize all* of the lineage, or of part of it, for months typed in its dialog."""
        self.open(f"/asset-groups~{urllib.parse.quote(filtered)}" if filtered else "/asset-groups")
        self.page.get_by_text("Materialize all").first.click()
        typed = self.page.get_by_placeholder(re.compile("^ex: "))
        typed.fill(months)
        typed.press("Enter")
        self.keep(f"materialize-{'range' if '...' in months else 'month'}")
        with self.page.expect_response(_is_launch):
            self.page.get_by_role("button", name=re.compile("^Launch")).last.click()

    def wait(self, happened: Callable[[], bool], what: str) -> None:
        """Wait for runs, with a page that does not go on asking for them and drawing."""
        self.page.goto("about:blank")
        self.processes.wait(happened, what, SECONDS, every=2)

    def materialized(self, *path: str) -> int:
        """How many months of an asset there are."""
        found = self.ask(MATERIALIZED % json.dumps(path))["assetNodeOrError"]
        return int(found["partitionStats"]["numMaterialized"])

    def statuses(self) -> list[str]:
        return [run["status"] for run in self.ask(RUNS)["runsOrError"]["results"]]


def _is_launch(response: Response) -> bool:
    return '"operationName":"Launch' in (response.request.post_data or "")


def _is_called(node: str, name: str) -> bool:
    start, shortened, end = node.strip().partition("…")
    if not shortened:
        return start == name
    return len(start + end) > 10 and name.startswith(start) and name.endswith(end)


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    folder = tmp_path_factory.mktemp("ui")
    write_sample(folder / "source", SampleSpec(users=400, seed=11, active_share=0.7))
    for name in ("dagster", "logs"):
        (folder / name).mkdir()
    shutil.copy(CONFIG, folder / "dagster")
    port = free_port()
    processes = Processes(
        {
            **{n: value for n, value in os.environ.items() if not n.startswith("TRAVELTIDE")},
            **SMALL,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "DAGSTER_HOME": str(folder / "dagster"),
            "TRAVELTIDE_SOURCE": str(folder / "source"),
            "TRAVELTIDE_LAKE": str(folder / "lake"),
            "TRAVELTIDE_HOME": str(folder / "home"),
            "TRAVELTIDE_PARTITIONS__FIRST": FIRST,
            "TRAVELTIDE_PARTITIONS__LAST": LAST,
            "TRAVELTIDE_COHORT__ACTIVE_SINCE": f"{FIRST}-01",
        },
        folder / "logs",
    )
    url = f"http://127.0.0.1:{port}"
    try:
        processes.start(f"dagster dev --workspace workspace.yaml --host 127.0.0.1 --port {port}")
        processes.wait(lambda: answers(f"{url}/server_info"), "the UI's start")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
            page = browser.new_page(viewport=SCREEN)
            page.set_default_timeout(240_000)
            opened = Ui(page, processes, url)
            processes.wait(
                lambda: "RepositoryLocation" in json.dumps(opened.ask(LOADED)), "the code's loading"
            )
            yield opened
            browser.close()
    finally:
        processes.stop()


def test_the_layers_stand_from_left_to_right(ui: Ui) -> None:
    ui.open_graph()
    layers = ("bronze", "silver", "gold", "segments", "reports")
    boxes = [ui.page.locator("svg").get_by_text(name, exact=True).first for name in layers]
    boxes[0].wait_for()
    ui.keep("layers")
    places = [box.bounding_box() for box in boxes]
    assert all(place is not None for place in places)
    left = [place["x"] for place in places if place]
    assert left == sorted(left)


def test_the_whole_lineage_shows(ui: Ui) -> None:
    groups: dict[str, list[str]] = {}
    for spec in build_definitions(Settings()).resolve_all_asset_specs():
        groups.setdefault(spec.group_name or "", []).append(spec.key.path[-1])
    # What lies outside the window is not drawn, and what is too small has no name.
    ui.page.set_viewport_size({"width": 2400, "height": 4800})
    for group, names in groups.items():
        ui.open_graph(group)
        ui.processes.wait(partial(ui.shows, names), f"the lineage of {group}", 60)
        ui.keep(f"lineage-{group}")
    ui.page.set_viewport_size(SCREEN)


def test_materialize_all_of_a_month_succeeds(ui: Ui) -> None:
    ui.materialize_all(FIRST)
    ui.wait(lambda: ended(ui.statuses()), "the run of a month")
    assert set(ui.statuses()) == {"SUCCESS"}
    ui.open("/assets/gold/perk_assignments")
    ui.page.get_by_text("the perk to invite them with").first.wait_for()
    ui.page.get_by_text("affinity_free_checked_bag").first.wait_for()
    ui.keep("asset")


def ended(statuses: list[str]) -> bool:
    return bool(statuses) and set(statuses) <= {"SUCCESS", "FAILURE", "CANCELED"}


def test_the_result_of_a_check_is_visible(ui: Ui) -> None:
    ui.open("/assets/silver/users_processed?view=checks")
    ui.page.get_by_text("reconciliation").first.wait_for()
    ui.page.get_by_text("Passed").first.wait_for()
    ui.keep("checks")


def execute_checks(ui: Ui, asset: str, button: str) -> list[dict[str, Any]]:
    """What a button of an asset's *Checks* leads to: the evaluations of the run it launches."""
    before = len(ui.statuses())
    ui.open(f"/assets/{asset}?view=checks")
    with ui.page.expect_response(_is_launch):
        # The name of a button begins with that of its icon.
        ui.page.get_by_role("button", name=re.compile(f"{button}$")).first.click()
    ui.keep(f"checks-{asset.replace('/', '-')}")
    return evaluations_of_next_run(ui, before)


def evaluations_of_next_run(ui: Ui, before: int) -> list[dict[str, Any]]:
    """What the checks said in the run after so many."""
    ui.wait(lambda: len(ui.statuses()) > before and ended(ui.statuses()), "the run of checks")
    (run, *_) = ui.ask(EVALUATIONS)["runsOrError"]["results"]
    assert run["status"] == "SUCCESS"
    events = run["eventConnection"]["events"]
    return [event["evaluation"] for event in events if "evaluation" in event]


def test_the_checks_of_an_asset_are_executed_alone_for_its_latest_month(ui: Ui) -> None:
    found = execute_checks(ui, "gold/users_final", "Execute all")
    names = {each["checkName"] for each in found}
    assert names == {"contract", "primary_key", "large_enough", "size_change"}
    assert {each["partition"] for each in found} == {FIRST}


def test_a_single_check_of_a_table_without_months_is_executed_alone(ui: Ui) -> None:
    (found,) = execute_checks(ui, "silver/users_processed", "Execute")
    assert found["success"]
    assert found["partition"] is None


def test_the_launchpad_of_the_job_check_evaluates_a_month(ui: Ui) -> None:
    before = len(ui.statuses())
    ui.open("/locations/traveltide_assets.definitions/jobs/check/playground")
    # What is typed while the launchpad still loads finds no month.
    ui.page.get_by_text("No missing config").wait_for()
    month = ui.page.get_by_role("menuitem", name=FIRST).first
    for _ in range(12):
        ui.page.get_by_placeholder("Partition").fill("")
        ui.page.get_by_placeholder("Partition").fill(FIRST)
        with suppress(PlaywrightTimeout):
            month.wait_for(timeout=10_000)
            break
    month.click()
    ui.keep("job-check")
    with ui.page.expect_response(_is_launch):
        ui.page.get_by_role("button", name="Launch Run").click()
    found = evaluations_of_next_run(ui, before)
    assert len(found) > 100
    assert {each["partition"] for each in found} == {FIRST, None}


def test_a_backfill_of_three_months_completes(ui: Ui) -> None:
    backfill(ui, 'group:"bronze" or group:"silver"')
    assert ui.materialized("silver", "sessions_processed") == 3
    assert set(ui.statuses()) == {"SUCCESS"}


def backfill(ui: Ui, filtered: str = "") -> None:
    """Three months of the lineage, or of part of it, until Dagster calls them completed."""
    known = len(ui.ask(BACKFILLS)["partitionBackfillsOrError"]["results"])
    ui.materialize_all(f"[{FIRST}...{LAST}]", filtered)

    def done() -> bool:
        found = ui.ask(BACKFILLS)["partitionBackfillsOrError"]["results"]
        waiting = ("REQUESTED", "CANCELING", "FAILING")
        return len(found) > known and found[0]["status"] not in waiting

    ui.wait(done, "the backfill")
    (latest, *_) = ui.ask(BACKFILLS)["partitionBackfillsOrError"]["results"]
    assert latest["status"].startswith("COMPLETED_SUCCESS")
    assert latest["numPartitions"] == 3


def test_a_backfill_of_everything_completes(ui: Ui) -> None:
    before = len(ui.statuses())
    backfill(ui)
    # docs/operator/months-and-backfills.md lists them.
    assert len(ui.statuses()) - before == RUNS_OF_INGEST + 3 * RUNS_OF_A_DECISION
    assert ui.materialized("gold", "perk_assignments") == 3
    assert set(ui.statuses()) == {"SUCCESS"}
    ui.open("/runs")
    ui.keep("runs")
    ui.open("/assets/gold/perk_assignments?view=partitions")
    ui.page.get_by_text("3 partitions", exact=False).first.wait_for()
    ui.keep("partitions")
