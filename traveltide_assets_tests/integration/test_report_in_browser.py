"""The report as people meet it: opened in a browser, looked at, printed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, ViewportSize, expect, sync_playwright

from traveltide_assets import report
from traveltide_assets.campaign.release_files import EXPLORER
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.evidence.tables import NOT_TRIED, SUPPORTED
from traveltide_assets.report import printing
from traveltide_assets.report.segment_words import called
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support.project import Project

ARTEFACTS = Path(__file__).parents[2] / "artifacts"
AXE = Path(__file__).parents[1] / "support" / "axe.min.js"
SCREEN: ViewportSize = {"width": 1280, "height": 900}
# Pixels of the page while its details are folded.
LONGEST = 6_500
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium on the path; CHROMIUM may name one"
)


@dataclass
class Visit:
    """A report opened in the browser, and what the browser had to say about it."""

    page: Page
    project: Project
    said: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        lake = self.project.lake
        return lake / report.PATH / f"month={LAST}" / report.FILE

    def fold(self, folded: bool) -> None:
        """Folds or unfolds all details."""
        to = "false" if folded else "true"
        self.page.evaluate(
            f"document.querySelectorAll('details').forEach(d => {{ d.open = {to} }})"
        )

    @property
    def text(self) -> str:
        return " ".join(self.page.locator("body").inner_text().split())


@pytest.fixture(scope="module", params=["sample_project", "real_project"])
def visit(request: pytest.FixtureRequest) -> Iterator[Visit]:
    # The project comes first: Dagster and Playwright each want the thread's event loop.
    project = request.getfixturevalue(request.param)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport=SCREEN)
        opened = Visit(page, project)

        def only_files(route: Route) -> None:
            url = route.request.url
            if url.startswith(("file:", "data:")):
                route.continue_()
                return
            opened.requested.append(url)
            route.abort()

        page.route("**/*", only_files)
        page.on("console", lambda message: opened.said.append(message.text))
        page.on("pageerror", lambda error: opened.said.append(str(error)))
        page.goto(opened.file.as_uri())
        opened.fold(False)
        yield opened
        browser.close()


def test_it_opens_without_errors_and_asks_the_network_for_nothing(visit: Visit) -> None:
    assert visit.said == []
    assert visit.requested == []


def test_every_picture_is_shown_and_has_words_for_those_who_do_not_see_it(visit: Visit) -> None:
    pictures = visit.page.locator("img").all()
    assert len(pictures) == 7
    for picture in pictures:
        box = picture.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) > 100
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
        assert len(picture.get_attribute("alt") or "") > 40


def test_the_first_page_is_one_screen_and_the_rest_is_folded(visit: Visit) -> None:
    visit.page.evaluate("window.scrollTo(0, 0)")
    first = visit.page.locator("#decision").bounding_box()
    assert first is not None
    assert first["y"] + first["height"] <= SCREEN["height"]
    visit.fold(True)
    folded = visit.page.evaluate("document.documentElement.scrollHeight")
    visit.fold(False)
    assert folded < LONGEST
    assert visit.page.evaluate("document.documentElement.scrollHeight") > folded


@pytest.mark.parametrize("width", [1280, 800, 390])
def test_nothing_runs_over_the_side_and_no_verdict_is_cut_off(visit: Visit, width: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": SCREEN["height"]})
    wide = visit.page.evaluate("document.documentElement.scrollWidth")
    ends = visit.page.evaluate(
        "[...document.querySelectorAll('#decision .badge, .card .badge')]"
        ".map(badge => badge.getBoundingClientRect().right)"
    )
    visit.page.set_viewport_size(SCREEN)
    assert wide <= width
    assert ends
    assert max(ends) <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(visit: Visit, scheme: str) -> None:
    visit.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    visit.page.evaluate(f"{AXE.read_text(encoding='utf-8')};0")
    found = visit.page.evaluate(
        "axe.run().then(r => r.violations.map(v => `${v.id}: ${v.nodes[0].html}`))"
    )
    visit.page.emulate_media(color_scheme="light")
    assert found == []


def test_every_segment_and_perk_is_named_with_its_size(visit: Visit) -> None:
    assigned = visit.project.frame("gold/perk_assignments", LAST)
    cards = [" ".join(card.inner_text().split()) for card in visit.page.locator(".card").all()]
    sizes = assigned["segment"].value_counts()
    assert len(cards) == len(sizes)
    for segment, size in sizes.items():
        assert any(card.startswith(f"{called(segment)} {size:,} customers") for card in cards), (
            segment
        )
    first = " ".join(visit.page.locator("#decision").inner_text().split())
    titles = {perk.id: perk.title for perk in load_perks(visit.project.settings.perks_file)}
    for perk, size in assigned["perk"].value_counts().items():
        assert re.search(rf"{titles[str(perk)]} {size:,} \(", first), perk


def test_the_verdicts_are_those_of_the_evidence(visit: Visit) -> None:
    evidence = visit.project.frame("gold/perk_evidence", LAST)
    titles = {perk.id: perk.title for perk in load_perks(visit.project.settings.perks_file)}
    shown = visit.page.locator("#evidence tr:has(.title)").all()
    said = sorted(
        (row.locator(".title").inner_text(), row.locator(".badge").inner_text()[2:])
        for row in shown
    )
    assert said == sorted(zip(evidence["perk"].map(titles), evidence["verdict"], strict=True))

    assigned = visit.project.frame("gold/perk_assignments", LAST)
    (strategy,) = assigned["strategy"].unique()
    decided = evidence[evidence["strategy"] == strategy].set_index("perk")["verdict"]
    for perk, title in titles.items():
        row = visit.page.locator("#decision tbody tr").filter(
            has=visit.page.get_by_role("rowheader", name=title, exact=True)
        )
        if perk not in set(assigned["perk"]):
            assert row.count() == 0
            continue
        assert row.locator(".badge").inner_text()[2:] == decided.get(perk, NOT_TRIED)
    given = assigned["perk"].unique()
    holding = sum(decided.get(perk) == SUPPORTED for perk in given)
    assert f"supports {holding or 'none'} of the {len(given)} perk" in visit.text


def test_no_customer_can_be_recognised(visit: Visit) -> None:
    users = visit.project.frame("gold/users_final", LAST)
    # The first customers of a generated source have numbers such as 7, which stand for anything.
    identifiers = {str(user) for user in users["user_id"] if user >= 10_000}
    page = re.sub(r"base64,[A-Za-z0-9+/=]+", "", visit.file.read_text("utf-8"))
    page = re.sub(r'<code class="digest">[0-9a-f]+</code>', "", page)
    assert not identifiers & set(re.findall(r"\d+", page))
    assert not re.search(r"\d{4}-\d{2}-\d{2}", visit.page.locator("#segments").inner_text())
    examples = visit.page.locator("#segments").inner_text().lower()
    assert not [city for city in set(users["home_city"]) if re.search(rf"\b{city}\b", examples)]


def test_it_is_built_of_headings_and_tables_that_a_screen_reader_understands(visit: Visit) -> None:
    page = visit.page
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1
    assert page.locator("h2").count() == 15
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("script, link[href^='http'], iframe").count() == 0
    identifiers = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(identifiers) == len(set(identifiers))


def test_a_picture_and_a_printout_are_kept(visit: Visit) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    source = "report-sample" if "sample" in str(visit.project.source) else "report"
    visit.page.screenshot(path=ARTEFACTS / f"{source}.png", full_page=True)
    printed = visit.page.pdf(
        path=ARTEFACTS / f"{source}.pdf", prefer_css_page_size=True, print_background=True
    )
    assert printed.startswith(b"%PDF")
    assert (ARTEFACTS / f"{source}.png").stat().st_size > 100_000


def test_the_explorer_follows_a_choice_and_asks_nobody(visit: Visit) -> None:
    features = visit.project.frame("gold/user_features", LAST)
    families = int((features["married"] & features["has_children"]).sum())
    browser = visit.page.context.browser
    assert browser is not None
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request", lambda r: None if r.url.startswith(("file:", "data:")) else said.append(r.url)
    )
    page.goto(visit.file.with_name(EXPLORER).as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached")
    page.locator('#chart-family path[aria-label*="label: married with children"]').last.click()
    expect(page.locator("#chosen")).to_contain_text(f"{families:,} of {len(features):,} customers")
    assert page.locator("#chosen").inner_text().endswith("Family: married with children.")
    page.locator("details:has(#table-age) summary").focus()
    page.keyboard.press("Enter")
    page.locator("#table-age button:enabled").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#chosen")).to_contain_text("Age:")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert said == []
    page.evaluate(f"{AXE.read_text(encoding='utf-8')};0")
    found = page.evaluate(
        "axe.run().then(r => r.violations.map(v => `${v.id}: ${v.nodes[0].html}`))"
    )
    page.close()
    assert found == []


def test_it_prints_to_the_same_pdf_each_time(visit: Visit, tmp_path: Path) -> None:
    assert BROWSER is not None
    page = tmp_path / "page.html"
    page.write_text("<!DOCTYPE html><style>@page { size: A4 }</style><p>One", encoding="utf-8")
    for name in ("one.pdf", "two.pdf"):
        printing.print_page(BROWSER, page, tmp_path / name)
    made = (tmp_path / "one.pdf").read_bytes()
    assert made == (tmp_path / "two.pdf").read_bytes()
    assert re.search(rb"/MediaBox \[0 0 59[45]\.?\d* 84[12]\.?\d*\]", made)
