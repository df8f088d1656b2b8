"""The desk as the head of marketing meets it: questions answered in a browser, on any screen."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    Request,
    ViewportSize,
    expect,
    sync_playwright,
)

from traveltide_assets.campaign.release_files import (
    ASSIGNMENTS,
    CAMPAIGN,
    CATALOGUE,
    CHANGES,
    FEATURES,
)
from traveltide_assets.report.disclosure import FEWEST
from traveltide_assets.serving.desk.pages import NAVIGATION
from traveltide_assets_tests.support.ports import free_port
from traveltide_assets_tests.support.project import Project
from traveltide_assets_tests.support.releases import current

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "artifacts" / "desk"
AXE = Path(__file__).parents[1] / "support" / "axe.min.js"
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SCREEN: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
MOST_CLICKS = 3
# How long a page takes is a matter of what else the machine does.
expect.set_options(timeout=60_000)
PATIENCE_SECONDS = 180
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium on the path; CHROMIUM may name one"
)


@dataclass
class Desk:
    """The desk in a browser, what the browser said of it, and how often somebody clicked."""

    page: Page
    address: str
    project: Project
    clicks: int = 0
    said: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> None:
        self.clicks = 0
        self.page.goto(f"{self.address}{path}")
        self.page.wait_for_selector("html[data-drawn]", state="attached")

    def click(self, place: Locator | str) -> None:
        """A click on a place, or on the link or button with a name."""
        self.clicks += 1
        target = self._named(place) if isinstance(place, str) else place
        target.click()
        self.page.wait_for_load_state("networkidle")

    def _named(self, name: str) -> Locator:
        links = self.page.get_by_role("link", name=name, exact=True)
        buttons = self.page.get_by_role("button", name=name, exact=True)
        return links.or_(buttons).first

    @property
    def text(self) -> str:
        return " ".join(self.page.locator("body").inner_text().split())

    @property
    def answer(self) -> str:
        return " ".join(self.page.locator(".answer").inner_text().split())


@pytest.fixture(scope="module")
def address(sample_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `traveltide desk` over the sample."""
    port, folder = free_port(), tmp_path_factory.mktemp("desk")
    environment = {
        **os.environ,
        "TRAVELTIDE_SOURCE": str(sample_project.source),
        "TRAVELTIDE_LAKE": str(sample_project.lake),
        "TRAVELTIDE_HOME": str(folder / "home"),
        # How long a page takes here is a matter of what else the machine does.
        "TRAVELTIDE_SERVING__TIMEOUT_SECONDS": "120",
    }
    command = [sys.executable, "-m", "traveltide_assets.cli", "desk", "--no-open"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env=environment, stdout=log, stderr=log, cwd=ROOT
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def _wait(address: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - this machine
                return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"the desk does not answer: {log.read_text()}")


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Browser]:
    # The project comes first: Dagster and Playwright each want the thread's event loop.
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def desk(browser: Browser, address: str, sample_project: Project) -> Iterator[Desk]:
    context = browser.new_context(viewport=SCREEN, accept_downloads=True)
    context.set_default_timeout(60_000)
    page = context.new_page()
    opened = Desk(page, address, sample_project)

    def note(request: Request) -> None:
        if not request.url.startswith((address, "data:")):
            opened.foreign.append(request.url)

    page.on("request", note)
    page.on("console", lambda message: opened.said.append(message.text))
    page.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.open()
    yield opened
    assert opened.said == []
    assert opened.foreign == []
    assert opened.clicks <= MOST_CLICKS
    context.close()


# Ten questions of a marketer. Each begins at the first page and takes at most three clicks; the
# fixture counts them.


def test_what_was_decided_and_is_it_supported(desk: Desk) -> None:
    assigned = current(desk.project.lake).frame(ASSIGNMENTS)
    assert f"{len(assigned):,} active customers got one of" in desk.answer
    assert "What customers did later supports" in desk.answer


def test_what_changed_since_last_month_and_why(desk: Desk) -> None:
    assert "What changed since June 2023, and why" in desk.text
    assert "have another perk" in desk.text


def test_who_gets_this_perk(desk: Desk) -> None:
    assigned = current(desk.project.lake).frame(ASSIGNMENTS)["perk"].value_counts()
    titles = current(desk.project.lake).frame(CATALOGUE).set_index("perk")["title"]
    desk.click(titles[assigned.index[0]])
    assert f"{assigned.iloc[0]:,} customers" in desk.answer


def test_what_are_families_like(desk: Desk) -> None:
    features = current(desk.project.lake).frame(FEATURES)
    due = int((features["married"] & features["has_children"]).sum())
    desk.click("Customers")
    before = desk.page.locator("#averages").inner_text()
    bar = desk.page.locator('#chart-family path[aria-label*="label: married with children"]')
    desk.click(bar.last)
    expect(desk.page.locator("#chosen")).to_contain_text("Family")
    assert f"{due:,} customers" in desk.answer
    after = desk.page.locator("#averages").inner_text()
    assert after != before
    assert "family=married+with+children" in desk.page.url


def test_what_does_this_customer_get_and_why(desk: Desk) -> None:
    mine = current(desk.project.lake).frame(ASSIGNMENTS).iloc[3]
    titles = current(desk.project.lake).frame(CATALOGUE).set_index("perk")["title"]
    desk.click("One customer")
    desk.page.get_by_label("Customer's id").fill(str(mine["user_id"]))
    desk.click(desk.page.locator("form[action='/customer'] button"))
    assert desk.answer.startswith(titles[mine["perk"]])
    assert f"Runner-up: {titles[mine['runner_up']]}" in desk.text


def test_may_i_have_all_families_in_excel(desk: Desk, tmp_path: Path) -> None:
    desk.click("Lists")
    desk.click("Families: customers with children")
    with desk.page.expect_download() as found:
        desk.click("Excel")
    found.value.save_as(tmp_path / "list.xlsx")
    assert found.value.suggested_filename.endswith(".xlsx")
    assert (tmp_path / "list.xlsx").read_bytes().startswith(b"PK")


def test_whose_perk_changed(desk: Desk, tmp_path: Path) -> None:
    made = current(desk.project.lake)
    changes, campaign = made.frame(CHANGES), made.frame(CAMPAIGN)
    moved = set(changes.loc[changes["change"] == "moved", "user_id"])
    assert len(moved) >= FEWEST
    desk.click("Lists")
    desk.click("Everybody whose perk changed")
    with desk.page.expect_download() as found:
        desk.click("CSV")
    found.value.save_as(tmp_path / "list.csv")
    with (tmp_path / "list.csv").open(encoding="utf-8") as file:
        listed = {int(row["user_id"]) for row in csv.DictReader(file)}
    assert listed == moved & set(campaign.loc[~campaign["holdout"], "user_id"])


def test_could_an_experiment_show_it(desk: Desk) -> None:
    desk.click("Experiment")
    assert "No experiment runs" in desk.answer
    assert "Bookings per customer" in desk.text


def test_what_differs_between_two_months(desk: Desk) -> None:
    desk.click("Months")
    assert "customers are in both months" in desk.text
    assert "Moves between perks" in desk.text


def test_what_does_the_mail_of_each_perk_say(desk: Desk) -> None:
    desk.click("Catalogue and rules")
    for headline in current(desk.project.lake).frame(CATALOGUE)["headline"]:
        assert headline in desk.text


def test_what_if_a_perk_were_left_out(desk: Desk) -> None:
    assigned = current(desk.project.lake).frame(ASSIGNMENTS)["perk"].value_counts()
    titles = current(desk.project.lake).frame(CATALOGUE).set_index("perk")["title"]
    desk.click("What if")
    desk.click(desk.page.get_by_label(titles[assigned.index[0]], exact=True))
    desk.click("Compute")
    assert "would get another perk" in desk.answer
    row = desk.page.get_by_role("row").filter(has_text=titles[assigned.index[0]]).first
    assert row.inner_text().split()[-2:] == [f"{assigned.iloc[0]:,}", "0"]


# What holds for every page.

PAGES = [
    *((label, path) for path, label in NAVIGATION),
    ("Selected customers", "/customers?family=married+with+children&age=35..44"),
    ("Selected list", "/lists?family=married+with+children"),
    ("A customer", "/customer?id={user}"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [SCREEN, PHONE], ids=["screen", "phone"])
def test_every_page_is_accessible_fits_and_asks_nobody_else(
    browser: Browser, address: str, sample_project: Project, scheme: str, size: ViewportSize
) -> None:
    user = current(sample_project.lake).frame(ASSIGNMENTS)["user_id"].iloc[3]
    dark = scheme == "dark"
    context = browser.new_context(viewport=size, color_scheme="dark" if dark else "light")
    context.set_default_timeout(60_000)
    visit = Desk(context.new_page(), address, sample_project)
    visit.page.on("console", lambda message: visit.said.append(message.text))
    visit.page.on("pageerror", lambda error: visit.said.append(str(error)))
    visit.page.on(
        "request",
        lambda r: None if r.url.startswith((address, "data:")) else visit.foreign.append(r.url),
    )
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    for label, path in PAGES:
        visit.open(path.format(user=user))
        name = label.lower().replace(" ", "-")
        picture = ARTEFACTS / f"{name}-{scheme}-{size['width']}.png"
        visit.page.screenshot(path=picture, full_page=True)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= size["width"], label
        # Everything that is folded is read, too.
        visit.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        visit.page.evaluate(f"{AXE.read_text(encoding='utf-8')};0")
        found = visit.page.evaluate(
            "axe.run().then(r => r.violations.map(v => `${v.id}: ${v.nodes[0].html}`))"
        )
        assert found == [], label
    assert visit.said == []
    assert visit.foreign == []
    context.close()


def test_the_keyboard_selects_as_the_mouse_does(desk: Desk) -> None:
    desk.open("/customers")
    details = desk.page.locator("details:has(#table-age)")
    details.locator("summary").focus()
    desk.page.keyboard.press("Enter")
    link = details.locator("a[data-group='35..44']")
    link.focus()
    desk.page.keyboard.press("Enter")
    expect(desk.page.locator("#chosen")).to_contain_text("Age")
    assert details.locator("a[aria-current]").inner_text() == "35\N{EN DASH}44"
    assert desk.page.evaluate("document.activeElement.dataset.group") == "35..44"
    desk.page.go_back()
    expect(desk.page.locator("#chosen")).not_to_contain_text("Age")


def test_without_scripts_every_answer_is_there(
    browser: Browser, address: str, sample_project: Project
) -> None:
    context = browser.new_context(viewport=SCREEN, java_script_enabled=False)
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(f"{address}/customers")
    page.locator("details:has(#table-age) summary").click()
    page.locator("#table-age a[data-group='35..44']").click()
    assert "Age: 35\N{EN DASH}44" in page.locator("#chosen").inner_text()
    context.close()


def test_a_page_prints_without_its_navigation(desk: Desk) -> None:
    desk.page.emulate_media(media="print")
    assert not desk.page.locator("nav").is_visible()
    assert desk.page.locator(".answer").is_visible()


def test_the_first_load_is_under_a_megabyte(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport=SCREEN)
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    loaded: list[float] = []
    session.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
    page.goto(f"{address}/customers")
    page.wait_for_selector("html[data-drawn]", state="attached")
    assert 0 < sum(loaded) < 1_000_000
    context.close()
