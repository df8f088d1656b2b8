"""The report as people meet it: opened in a browser, read, printed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Page, Route, sync_playwright

from traveltide_assets import report
from traveltide_assets.report import verdicts, words
from traveltide_assets.report.build import Material, render
from traveltide_assets.segmentation.evidence import NOT_SUPPORTED, SUPPORTED, TOO_LITTLE
from traveltide_assets.segmentation.perks import load_perks
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.project import Project

ARTEFACTS = Path(__file__).parents[1] / "artifacts"
SCREEN = {"width": 1280, "height": 900}
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
in_browser = pytest.mark.skipif(
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
    def text(self) -> str:
        return " ".join(self.page.locator("body").inner_text().split())


def report_file(project: Project, month: str = LAST) -> Path:
    return project.settings.lake / report.PATH / f"month={month}" / report.FILE


def material(project: Project, **changes: Any) -> Material:
    """What the report of the project's last month is made of, some of it changed."""
    strategy = project.settings.strategy
    assignments = project.frame("gold/perk_assignments", LAST)
    names = {
        "features": "user_features",
        "places": "segments/kmeans",
        "before": f"segments/{strategy}",
        "diagnostics": "kmeans_diagnostics",
        "scorecard": "segmentation_scorecard",
        "agreement": "strategy_agreement",
        "evidence": "perk_evidence",
        "signals": "perk_signals",
        "dbscan": "dbscan_trial",
        "exploration": "exploration",
    }
    frames = {key: project.frame(f"gold/{name}", LAST) for key, name in names.items()}
    quality = pd.DataFrame(
        {"table": ["users"], "read": [9], "processed": [8], "quarantined": [1], "undated": [0]}
    )
    perks = load_perks(project.settings.perks_file)
    made = Material(
        LAST, project.settings, perks, assignments=assignments, quality=quality, **frames
    )
    return replace(made, **changes)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module", params=["sample_project", "real_project"])
def visit(request: pytest.FixtureRequest, browser: Any) -> Iterator[Visit]:
    project = request.getfixturevalue(request.param)
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
    page.goto(report_file(project).as_uri())
    yield opened
    page.close()


@in_browser
def test_it_opens_without_errors_and_asks_the_network_for_nothing(visit: Visit) -> None:
    assert visit.said == []
    assert visit.requested == []


@in_browser
def test_every_picture_is_shown_and_has_words_for_those_who_do_not_see_it(visit: Visit) -> None:
    pictures = visit.page.locator("img").all()
    assert len(pictures) == 5
    for picture in pictures:
        box = picture.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) > 100
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
        assert len(picture.get_attribute("alt") or "") > 40


@in_browser
def test_the_summary_fits_one_screen(visit: Visit) -> None:
    visit.page.evaluate("window.scrollTo(0, 0)")
    box = visit.page.locator("#summary").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= SCREEN["height"]
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= SCREEN["width"]


@in_browser
def test_every_segment_and_perk_is_named_with_its_size(visit: Visit) -> None:
    assigned = visit.project.frame("gold/perk_assignments", LAST)
    cards = [" ".join(card.inner_text().split()) for card in visit.page.locator(".card").all()]
    sizes = assigned["segment"].value_counts()
    assert len(cards) == len(sizes)
    for segment, size in sizes.items():
        assert any(card.startswith(f"{segment} {size:,} customers") for card in cards), segment
    summary = " ".join(visit.page.locator("#summary").inner_text().split())
    titles = {perk.id: perk.title for perk in load_perks(visit.project.settings.perks_file)}
    for perk, size in assigned["perk"].value_counts().items():
        assert re.search(rf"{titles[str(perk)]} {size:,} \(", summary), perk


@in_browser
def test_the_verdicts_are_those_of_the_evidence(visit: Visit) -> None:
    evidence = visit.project.frame("gold/perk_evidence", LAST)
    titles = {perk.id: perk.title for perk in load_perks(visit.project.settings.perks_file)}
    shown = visit.page.locator("#evidence table").first.locator("tbody tr").all()
    said = sorted(
        (row.locator("strong").inner_text(), row.locator(".badge").inner_text()[2:])
        for row in shown
    )
    assert said == sorted(zip(evidence["perk"].map(titles), evidence["verdict"], strict=True))

    strategy = visit.project.settings.strategy
    decided = evidence[evidence["strategy"] == strategy].set_index("perk")["verdict"]
    assigned = visit.project.frame("gold/perk_assignments", LAST)
    for perk, title in titles.items():
        row = visit.page.locator("#summary tbody tr").filter(
            has=visit.page.get_by_role("rowheader", name=title, exact=True)
        )
        if perk not in set(decided.index) | set(assigned["perk"]):
            assert row.count() == 0
            continue
        assert row.locator(".badge").inner_text()[2:] == decided.get(perk, verdicts.NOT_TRIED)
    given = assigned["perk"].unique()
    holding = sum(decided.get(perk) == SUPPORTED for perk in given)
    assert f"{holding} of {len(given)}" in visit.text


@in_browser
def test_no_customer_can_be_recognised(visit: Visit) -> None:
    users = visit.project.frame("gold/users_final", LAST)
    # The first customers of a generated source have numbers such as 7, which stand for anything.
    identifiers = {str(user) for user in users["user_id"] if user >= 10_000}
    page = re.sub(r"base64,[A-Za-z0-9+/=]+", "", report_file(visit.project).read_text("utf-8"))
    assert not identifiers & set(re.findall(r"\d+", page))
    assert not re.search(r"\d{4}-\d{2}-\d{2}", visit.page.locator("#segments").inner_text())
    examples = visit.page.locator("#segments").inner_text().lower()
    assert not [city for city in set(users["home_city"]) if re.search(rf"\b{city}\b", examples)]


@in_browser
def test_it_is_built_of_headings_and_tables_that_a_screen_reader_understands(visit: Visit) -> None:
    page = visit.page
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1
    assert page.locator("h2").count() == 8
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("script, link[href^='http'], iframe").count() == 0
    identifiers = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(identifiers) == len(set(identifiers))


@in_browser
def test_a_picture_and_a_printout_are_kept(visit: Visit) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    source = "report-sample" if "sample" in str(visit.project.settings.source) else "report"
    visit.page.screenshot(path=ARTEFACTS / f"{source}.png", full_page=True)
    printed = visit.page.pdf(
        path=ARTEFACTS / f"{source}.pdf", prefer_css_page_size=True, print_background=True
    )
    assert printed.startswith(b"%PDF")
    assert (ARTEFACTS / f"{source}.png").stat().st_size > 100_000


def test_the_same_input_gives_the_same_bytes(sample_project: Project) -> None:
    before = report_file(sample_project).read_bytes()
    assert sample_project.materialize(report.PATH, LAST).success
    assert report_file(sample_project).read_bytes() == before
    assert len(before) < 3_000_000


def test_the_asset_says_where_the_report_is(sample_project: Project) -> None:
    result = sample_project.materialize(report.PATH, LAST)
    metadata = result.asset_materializations_for_node("gold__report")[0].metadata
    assert metadata["path"].value == str(report_file(sample_project))
    assert metadata["size_bytes"].value == report_file(sample_project).stat().st_size


def test_last_months_segments_are_compared_where_there_are_any(sample_project: Project) -> None:
    page = report_file(sample_project).read_text("utf-8")
    assert "customers who were there in June 2023 too are in the same segment" in page
    first = report_file(sample_project, "2023-06").read_text("utf-8")
    assert "The month before has not been decided" in first


def test_the_real_cohort_is_told_the_truth(real_project: Project) -> None:
    page = report_file(real_project).read_text("utf-8")
    assert "5,998" in page
    assert "at least 8 sessions from 2023-01-04 to 2023-07-31" in page
    evidence = real_project.frame("gold/perk_evidence", LAST)
    kmeans = evidence[evidence["strategy"] == "kmeans"]
    assert not (kmeans["verdict"] == SUPPORTED).any()
    assert re.search(r"<strong>none of the \d perks</strong>", page)
    scorecard = real_project.frame("gold/segmentation_scorecard", LAST)
    best = scorecard.loc[scorecard["recommended"], "strategy"].item()
    assert f"<strong>{words.strategy(best)} does better.</strong>" in page


def test_what_a_catalogue_says_is_text_and_never_code(sample_project: Project) -> None:
    perks = tuple(
        perk.model_copy(update={"title": f"<script>alert('{perk.id}')</script>"})
        for perk in load_perks(sample_project.settings.perks_file)
    )
    page = render(material(sample_project, perks=perks))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_nothing_supported_is_said_plainly(sample_project: Project) -> None:
    evidence = sample_project.frame("gold/perk_evidence", LAST).assign(verdict=NOT_SUPPORTED)
    scorecard = sample_project.frame("gold/segmentation_scorecard", LAST)
    scorecard = scorecard.assign(supported_perks=0, supported_share=0.0, recommended=False)
    page = render(material(sample_project, evidence=evidence, scorecard=scorecard))
    assert re.search(r"<strong>none of the \d perks</strong>", page)
    assert "No strategy does better." in page
    assert "None is recommended" in page
    assert 'badge supported"' not in page


def test_everything_supported_is_said_too(sample_project: Project) -> None:
    assigned = sample_project.frame("gold/perk_assignments", LAST)
    given = assigned["perk"].unique()
    row = sample_project.frame("gold/perk_evidence", LAST).iloc[[0]]
    evidence = pd.concat(
        [row.assign(strategy="kmeans", perk=perk, verdict=SUPPORTED) for perk in given]
    )
    scorecard = sample_project.frame("gold/segmentation_scorecard", LAST)
    decides = scorecard["strategy"] == "kmeans"
    scorecard = scorecard.assign(recommended=decides, supported_share=decides.astype(float))
    page = render(material(sample_project, evidence=evidence, scorecard=scorecard))
    assert f"<strong>all {len(given)} perks</strong>" in page
    assert "K-means is also the scorecard" in page


def test_too_little_data_and_no_evidence_at_all_are_not_verdicts(sample_project: Project) -> None:
    evidence = sample_project.frame("gold/perk_evidence", LAST).assign(
        verdict=TOO_LITTLE, mean=float("nan"), lift=float("nan"), lift_low=float("nan")
    )
    page = render(material(sample_project, evidence=evidence))
    assert "Too little data: it would have gone to" in page
    assert "nan" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page).lower()
    page = render(material(sample_project, evidence=evidence.iloc[:0], before=None))
    assert 'badge supported"' not in page
    assert "not tried" in page


def test_every_strategy_may_decide(sample_project: Project) -> None:
    evidence = sample_project.frame("gold/perk_evidence", LAST)
    for strategy in ("hierarchical", "propensity"):
        settings = sample_project.settings.model_copy(update={"strategy": strategy})
        page = render(material(sample_project, settings=settings))
        tried = evidence[evidence["strategy"] == strategy]
        assert f"decided by {words.strategy(strategy)}" in page
        assert (tried["verdict"] == SUPPORTED).any() == ("none of the" not in page)


def test_a_handful_of_travellers_has_a_report_too(scenario_project: Project) -> None:
    month = scenario_project.settings.partitions.last
    assert "one perk per customer" in report_file(scenario_project, month).read_text("utf-8")
