"""Responses from the source to the outcomes of a campaign; late ones; and a source without any."""

from __future__ import annotations

import hashlib
import shutil

import pytest

from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.project import Project, owned, succeed

HEADER = "user_id,offer,event,at,value_usd"
NEXT = "2023-06"
DAMAGED = ("999,a,clicked,2023-06-02,", "1,a,liked,2023-06-02,", "1,a,clicked,,")
OUTCOMES = ("gold/campaign_outcomes", "gold/campaign_readout")


def hashes(project: Project) -> dict[str, str]:
    """Every file of bronze and silver but those of responses."""
    return {
        str(file.relative_to(project.lake)): hashlib.sha256(file.read_bytes()).hexdigest()
        for layer in ("bronze", "silver")
        for file in sorted((project.lake / layer).rglob("*.parquet"))
        if "responses" not in file.name
    }


@pytest.fixture(scope="module")
def answered(scenario_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The scenario after its campaign: everybody clicked, by the mailing tool."""
    folder = tmp_path_factory.mktemp("answered")
    for name in ("lake", "source"):
        shutil.copytree(scenario_project.folder / name, folder / name)
    settings = scenario.settings(experiment={"horizon_days": 3})
    project = owned(Project(folder, folder / "source", **settings))
    offers = project.frame("gold/campaign", scenario.MONTH)
    sound = [
        f"{user},{perk},{event},2023-06-02 08:00:00,"
        for event in ("delivered", "opened", "clicked")
        for user, perk in zip(offers["user_id"], offers["perk"], strict=True)
    ]
    deliver(project, *sound)
    return project


def deliver(project: Project, *lines: str) -> None:
    text = "\n".join([HEADER, *lines]) + "\n"
    (project.source / "responses.csv").write_text(text, encoding="utf-8")


def delivered(project: Project) -> list[str]:
    return (project.source / "responses.csv").read_text("utf-8").splitlines()[1:]


def test_a_source_without_responses_goes_on_with_an_empty_table(scenario_project: Project) -> None:
    for table in ("bronze/responses_raw", "silver/responses_processed"):
        assert scenario_project.frame(table).empty
    for table in OUTCOMES:
        assert scenario_project.frame(table, scenario.MONTH).empty


def test_responses_are_ingested_and_change_no_other_table(
    scenario_project: Project, answered: Project
) -> None:
    sound = delivered(answered)
    deliver(answered, *sound, *sound[:1], *DAMAGED)
    succeed(answered.ingest(**scenario.PARTITIONS))
    deliver(answered, *sound)
    assert hashes(answered) == hashes(scenario_project)
    raw = answered.frame("bronze/responses_raw")
    kept = answered.frame("silver/responses_processed")
    refused = answered.frame("silver/responses_quarantine")
    assert len(raw) == len(kept) + len(refused)
    assert sorted(refused["reason"]) == [
        "exact_duplicate",
        "missing_at",
        "unknown_event",
        "unknown_user",
    ]


def test_a_closed_campaign_stays_as_it_is_whatever_comes_late(answered: Project) -> None:
    sound = delivered(answered)
    succeed(answered.materialize_all(OUTCOMES, NEXT))
    found = answered.frame("gold/campaign_outcomes", NEXT)
    assert set(found["campaign"]) == {scenario.MONTH}
    assert found["closed"].all()
    assert (found["clicks"] == 1).all()
    assert set(answered.frame("gold/campaign_readout", NEXT)["verdict"]) <= {"too little data"}
    before = answered.file("gold/campaign_outcomes", NEXT).read_bytes()

    user, offer = found.loc[0, ["user_id", "offer"]]
    deliver(answered, *sound, f"{user},{offer},redeemed,2023-06-03 10:00:00,")
    succeed(answered.ingest(**scenario.PARTITIONS))
    result = answered.materialize_all(OUTCOMES, NEXT)
    succeed(result)
    assert answered.file("gold/campaign_outcomes", NEXT).read_bytes() == before
    (event,) = [
        event.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key and event.asset_key.path[-1] == "campaign_outcomes"
    ]
    assert event.metadata["late_responses"].value == {scenario.MONTH: 1}

    again = scenario.settings(experiment={"horizon_days": 3, "reopen": True})
    reopened = Project(answered.folder, answered.source, **again)
    succeed(reopened.materialize_all(OUTCOMES, NEXT))
    assert reopened.frame("gold/campaign_outcomes", NEXT)["redemptions"].sum() == 1
