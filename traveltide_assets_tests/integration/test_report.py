"""What the report says, for whatever the month brought."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from traveltide_assets import report
from traveltide_assets.campaign import mailing
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.cli import main
from traveltide_assets.evidence.tables import (
    CONTRADICTED,
    NOT_SUPPORTED,
    NOT_TRIED,
    SUPPORTED,
    TOO_LITTLE,
)
from traveltide_assets.prediction.models import RULES
from traveltide_assets.prediction.promotion import BETTER, WORSE
from traveltide_assets.report import words
from traveltide_assets.report.material import TABLES, Material
from traveltide_assets.report.page import render
from traveltide_assets.report.quality_section import row_counts
from traveltide_assets.report.segment_words import called
from traveltide_assets.schema.months import span
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.project import Project


def report_file(project: Project, month: str = LAST) -> Path:
    return project.lake / report.PATH / f"month={month}" / report.FILE


def titles(project: Project) -> dict[str, str]:
    """What people call each strategy."""
    built = build_strategies(project.settings, load_perks(project.settings.perks_file))
    return {name: strategy.title for name, strategy in built.items()}


def frames(project: Project) -> dict[str, pd.DataFrame]:
    """The tables that the report of the project's last month shows, by their path."""
    return {path: project.frame(path, LAST) for path in TABLES}


def material(project: Project, **changes: Any) -> Material:
    """What the report of the project's last month is made of, some of it changed."""
    manifest = project.lake / mailing.PATH / f"month={LAST}" / mailing.FACTS
    perks = load_perks(project.settings.perks_file)
    made = Material.of(
        LAST,
        project.settings,
        perks,
        titles(project),
        frames(project),
        before=project.frame("gold/decided_segments", LAST),
        quality=row_counts(lambda path: 9),
        campaign=json.loads(manifest.read_text("utf-8")),
        status="No experiment has been started.",
        notice=None,
    )
    return replace(made, **changes)


def test_the_same_input_gives_the_same_bytes(sample_project: Project) -> None:
    before = report_file(sample_project).read_bytes()
    assert sample_project.materialize(report.PATH, LAST).success
    assert report_file(sample_project).read_bytes() == before
    assert len(before) < 3_000_000


def test_a_report_of_generated_data_says_so_first(sample_project: Project) -> None:
    page = report_file(sample_project).read_text("utf-8")
    notice = f"Generated data, not real customers ({sample_project.source})"
    assert page.partition("<body>")[2].lstrip().startswith('<aside class="notice"')
    assert f">{notice}</aside>" in page
    assert "<title>Generated data: " in page
    assert f'<p class="lead">{notice}. For inviting' in page, "the model card"
    assert "Generated data" not in render(material(sample_project))


def test_the_asset_says_where_the_report_is(sample_project: Project) -> None:
    result = sample_project.materialize(report.PATH, LAST)
    metadata = result.asset_materializations_for_node("gold__report")[0].metadata
    assert metadata["path"].value == str(report_file(sample_project))
    assert metadata["size_bytes"].value == report_file(sample_project).stat().st_size


def test_last_months_segments_are_compared_where_there_are_any(sample_project: Project) -> None:
    page = report_file(sample_project).read_text("utf-8")
    assert "customers who were already here in June 2023 are in the same segment" in page
    first = report_file(sample_project, "2023-06").read_text("utf-8")
    assert "The previous month has not been decided" in first


def test_the_real_cohort_is_told_the_truth(real_project: Project) -> None:
    page = report_file(real_project).read_text("utf-8")
    assert "5,998" in page
    assert "at least 8 sessions from 2023-01-04 to 2023-07-31" in page
    evidence = real_project.frame("gold/perk_evidence", LAST)
    kmeans = evidence[evidence["strategy"] == "kmeans"]
    assert not (kmeans["verdict"] == SUPPORTED).any()
    scorecard = real_project.frame("gold/segmentation_scorecard", LAST)
    best = scorecard.loc[scorecard["recommended"], "strategy"].item()
    assert f"{titles(real_project)[best]} is worth most, and it decides" in page
    given = real_project.frame("gold/perk_assignments", LAST)["perk"]
    own = evidence[evidence["strategy"] == best].set_index("perk")["verdict"]
    backed = int(given.map(own).eq(SUPPORTED).sum())
    assert f"For {backed:,} of them" in plain_words(page)


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
    assert re.search(r"What customers did later supports none of the \d perks", page)
    assert re.search(r"None of \d ways to decide gives anybody a perk that the data supports", page)
    assert "None is recommended" in page
    assert 'badge supported"' not in page


def test_everything_supported_is_said_too(sample_project: Project) -> None:
    assigned = sample_project.frame("gold/perk_assignments", LAST)
    given, strategy = assigned["perk"].unique(), assigned["strategy"].iloc[0]
    evidence = sample_project.frame("gold/perk_evidence", LAST)
    row = evidence[evidence["p_holm"].notna()].iloc[[0]]
    evidence = pd.concat(
        [row.assign(strategy=strategy, perk=perk, verdict=SUPPORTED) for perk in given]
    )
    scorecard = sample_project.frame("gold/segmentation_scorecard", LAST)
    decides = scorecard["strategy"] == strategy
    scorecard = scorecard.assign(recommended=decides, supported_share=decides.astype(float))
    page = render(material(sample_project, evidence=evidence, scorecard=scorecard))
    assert f"What customers did later supports {len(given)} of the {len(given)} perks" in page
    assert "For all of them what customers did later says" in plain_words(page)
    assert f"{titles(sample_project)[strategy]} is worth most, and it decides" in page


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
    assigned = sample_project.frame("gold/perk_assignments", LAST)
    for strategy in ("six_groups", "propensity"):
        by_it = assigned.assign(strategy=strategy)
        page = render(material(sample_project, assignments=by_it))
        tried = evidence[evidence["strategy"] == strategy]
        assert f"{titles(sample_project)[strategy]} decides" in page
        assert (tried["verdict"] == SUPPORTED).any() == ("supports none of the" not in page)


def plain_words(page: str) -> str:
    """The text of the first page."""
    section = re.search(r'<section id="decision"[^>]*>(.*?)</section>', page, re.DOTALL)
    assert section is not None
    return " ".join(re.sub(r"<[^>]+>", " ", section[1]).split())


def test_the_report_begins_with_who_gets_what_in_plain_words(sample_project: Project) -> None:
    page = render(material(sample_project))
    assert page.index('<section id="decision"') < page.index('<section id="segments"')
    said = plain_words(page)
    assigned = sample_project.frame("gold/perk_assignments", LAST)
    assert f"Every one of the {len(assigned):,} active customers gets one of" in said
    names = material(sample_project).titles
    for perk, rows in assigned.groupby("perk"):
        assert names[perk] in said
        assert f"{len(rows):,} (" in said
        assert html.escape(called(rows["segment"].mode()[0])) in said
    nobody = {perk for perk in names if perk not in set(assigned["perk"])}
    table = page.partition('class="stack offers"')[2].partition("</table>")[0]
    assert nobody
    assert not [perk for perk in nobody if f'<th scope="row">{names[perk]}</th>' in table]
    decision = sample_project.frame("gold/strategy_decision", LAST)
    assert html.escape(decision["because"].iloc[0]) in said
    assert "only the experiment shows what it brings" in said


@pytest.mark.parametrize(
    ("verdict", "words_of_it"),
    [
        (SUPPORTED, "did more of it later"),
        (CONTRADICTED, "Careful: customers chosen like this did less of it"),
        (NOT_SUPPORTED, "an idea to try"),
        (TOO_LITTLE, "too few customers had the chance to show it so far"),
        (NOT_TRIED, "on the data of earlier months nobody would have been given it"),
    ],
)
def test_each_verdict_has_its_plain_words(
    sample_project: Project, verdict: str, words_of_it: str
) -> None:
    evidence = sample_project.frame("gold/perk_evidence", LAST)
    said = plain_words(render(material(sample_project, evidence=evidence.assign(verdict=verdict))))
    assert words_of_it in said
    assert ("For none of them does the data say" in said) == (verdict != SUPPORTED)


def test_a_lift_that_stands_out_on_its_own_does_not_contradict_its_verdict(
    sample_project: Project,
) -> None:
    """Its interval lies above 1, and of all the lifts tested one like it is to be expected."""
    evidence = sample_project.frame("gold/perk_evidence", LAST).assign(
        verdict=NOT_SUPPORTED, lift=1.2, lift_low=1.05, lift_high=1.4, p_holm=0.042
    )
    page = " ".join(render(material(sample_project, evidence=evidence)).split())
    assert "about as much of it later as others" not in plain_words(page)
    assert "corrected p-value 0.042; the limit is 0.025" in plain_words(page)
    assert "On its own the lift is above 1, but among all the lifts tested" in page
    assert "Corrected p (limit 0.025)" in page


def test_who_changed_is_counted_with_the_reason(sample_project: Project) -> None:
    changes = sample_project.frame("gold/campaign_changes", LAST)
    names = material(sample_project).titles
    moved = changes[changes["change"] == "moved"]
    page = " ".join(render(material(sample_project)).split())
    assert f"{len(moved):,} of the" in page
    told = page.partition('<section id="changes">')[2].partition("</section>")[0]
    sizes = moved.groupby(["perk_before", "perk", "reason"]).size()
    for (before, now, _), size in sizes[sizes >= 10].items():
        row = (
            f'{html.escape(names[before])}</th><td class="text" data-label="Now">{names[now]}</td>'
        )
        assert row in told
        assert f">{size:,}</td>" in told
    for size in sizes[sizes < 10]:
        assert f'data-label="Customers">{size}</td>' not in told
    assert "--where change=moved" in told


def test_a_history_too_short_for_the_cuts_is_said(sample_project: Project) -> None:
    by_cut = sample_project.frame("gold/perk_evidence_by_cut", LAST)
    one = by_cut[by_cut["cut"] == "2023-04"]
    page = " ".join(render(material(sample_project, by_cut=one)).split())
    assert "on 1 date (30 April 2023); the history is too short for 2" in page
    assert "on 2 dates (31 March 2023 and 30 April 2023)" in " ".join(
        render(material(sample_project)).split()
    )


def test_the_model_card_is_honest_about_the_model(sample_project: Project) -> None:
    made = material(sample_project).card
    assert made is not None
    page = render(material(sample_project))
    assert f"Model {made.version}, data {made.data_version}" in page
    assert f"{made.customers:,} customers of July 2023" in page
    assert all(made.scores["log_loss"].map(words.decimal).map(lambda v: f"<td>{v}</td>" in page))
    assert "<strong>Not a prediction:</strong>" in page
    rejected = replace(made, promoted=False, because="no better", in_service="none")
    worse = replace(rejected, scores=made.scores.assign(log_loss=9.0))
    page = render(material(sample_project, card=worse))
    assert "<strong>It is not in service.</strong>" in page
    assert "beats both baselines after none of the numbers of sessions tested" in page


def test_the_model_card_shows_every_rival_after_each_number_of_sessions(
    sample_project: Project,
) -> None:
    made = material(sample_project).card
    assert made is not None
    page = render(material(sample_project))
    for row in made.contest.itertuples():
        for gain in (row.gain_candidate, row.gain_rival):
            assert f"<td>{gain:+.3f}</td>".replace("-", "\N{MINUS SIGN}") in page
    verdict = made.contest["verdict"].where(made.contest["sessions_seen"] != 2, WORSE)
    rules_only = verdict.where(made.contest["rival"] == RULES, BETTER)
    page = render(
        material(
            sample_project, card=replace(made, contest=made.contest.assign(verdict=rules_only))
        )
    )
    assert "it is worse than the rules of the strategy after 2 sessions" in page


def test_the_model_card_says_how_often_a_score_comes_true(sample_project: Project) -> None:
    made = material(sample_project).card
    assert made is not None
    page = render(material(sample_project))
    one_bin = made.reliability[made.reliability["bin"] == 6]
    hits = (one_bin["hit_share"] * one_bin["customers"]).sum() / one_bin["customers"].sum()
    row = page.partition(f">{words.percent(0.6)} to {words.percent(0.7)}<")[2].partition("</tr>")[0]
    assert row.endswith(f"<td>{words.percent(hits)}</td>")


def test_a_month_without_a_model_says_so(sample_project: Project) -> None:
    page = render(material(sample_project, card=None))
    assert "No model was trained this month: too few customers" in page


def test_a_handful_of_travellers_has_a_report_too(scenario_project: Project) -> None:
    page = report_file(scenario_project, scenario.MONTH).read_text("utf-8")
    assert "one perk per customer" in page
    assert "nan" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page).lower()


def test_sessions_after_the_month_are_not_counted(scenario_project: Project) -> None:
    page = report_file(scenario_project, scenario.MONTH).read_text("utf-8")
    first, last = scenario.PARTITIONS["first"], scenario.PARTITIONS["last"]
    rows = {
        month: len(scenario_project.frame("silver/sessions_processed", month))
        for month in span(first, last)
    }
    counted = sum(rows[month] for month in span(first, scenario.MONTH))
    assert counted < sum(rows.values())
    assert re.search(rf'<th scope="row">sessions</th><td>[\d,]+</td><td>{counted:,}</td>', page)


def released_report(project: Project, month: str) -> str:
    record = json.loads((project.lake / f"releases/{month}.json").read_text("utf-8"))
    return str(project.lake / f"releases/month={month}" / record["current"] / "report.html")


def command(project: Project, *arguments: str) -> tuple[int, str]:
    """Exit code and output of `traveltide report` on the project's lake."""
    place = {
        "TRAVELTIDE_LAKE": str(project.lake),
        "TRAVELTIDE_HOME": str(project.folder / "command"),
    }
    done = CliRunner().invoke(main, ["report", *arguments], env=place)
    return done.exit_code, done.output.strip()


def test_the_command_says_where_the_report_is(sample_project: Project) -> None:
    assert command(sample_project) == (0, released_report(sample_project, LAST))
    earlier = command(sample_project, "--month", "2023-06")
    assert earlier == (0, released_report(sample_project, "2023-06"))


def test_the_command_writes_and_opens_it(
    sample_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def browser(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr("webbrowser.open", browser)
    copy = tmp_path / "new" / "july.html"
    assert command(sample_project, "--to", str(copy), "--open") == (0, str(copy))
    assert copy.read_bytes() == report_file(sample_project).read_bytes()
    assert opened == [copy.as_uri()]


def test_the_command_says_clearly_that_there_is_no_report(sample_project: Project) -> None:
    code, _ = command(sample_project, "--month", "2022-11")
    assert code == 1
