"""The charts of the UI and of the report, drawn from the tables of a finished month."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from traveltide_assets.catalogue import perks
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.evidence.tables import NOT_SUPPORTED, SUPPORTED
from traveltide_assets.experiment import judging
from traveltide_assets.report import bars, charts
from traveltide_assets.report.charts import Chart
from traveltide_assets.segmentation import registry
from traveltide_assets.segmentation.affinities import profiles
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support import learnt
from traveltide_assets_tests.support.project import Project

FEATURES = ["total_sessions", "cancelled_trips", "total_nights", "total_spend"]
Frame = Callable[[str], pd.DataFrame]


def read_of(plan: pd.DataFrame) -> pd.DataFrame:
    """A readout of the planned metrics and segments, as if each had found the same difference."""
    found = plan[["metric", "segment"]].assign(
        low=-0.1, difference=0.2, high=0.5, verdict=judging.NO_DIFFERENCE
    )
    return found.assign(cuped_low=None, cuped_difference=None, cuped_high=None)


# Nothing is learnt in the first month.
SIMULATED = pd.DataFrame(
    {
        "month": ["2023-07", "2023-08", "2023-09"],
        "value": [100.0, 110.0, 105.0],
        "learned": [np.nan, 200.0, 350.0],
        "oracle": [400.0, 400.0, 400.0],
        "best_single": [220.0, 220.0, 220.0],
        "chance": [120.0, 120.0, 120.0],
    }
)
EFFECTS = learnt.effects(count=600).query("segment == 'all customers'")
STRATEGIES = {name: name.replace("_", " ") for name in registry.names()}
DRAWN: Mapping[str, Callable[[Frame, dict[str, str]], Chart]] = {
    "correlations": lambda frame, _: charts.correlations(frame("user_features")[FEATURES]),
    "elbow": lambda frame, _: charts.elbow(frame("kmeans_diagnostics")),
    "scatter": lambda frame, _: charts.scatter(
        frame("segments/kmeans"), frame("segments/kmeans")["segment"], seed=1
    ),
    "profile": lambda frame, _: charts.profile(
        profiles(frame("user_features"), frame("segments/kmeans")["segment"])[FEATURES]
    ),
    "perk counts": lambda frame, titles: charts.perk_counts(frame("perk_assignments"), titles),
    "lifts": lambda frame, titles: charts.lifts(frame("perk_evidence"), titles, STRATEGIES),
    "agreement": lambda frame, _: charts.agreement(frame("strategy_agreement"), STRATEGIES),
    "power": lambda frame, _: charts.power(frame("experiment_plan")),
    "differences": lambda frame, _: charts.differences(read_of(frame("experiment_plan"))),
    "gains": lambda frame, _: charts.gains(frame("predictor_lifts")),
    "learning": lambda frame, _: charts.learning_by_model(frame("predictor_scores")),
    "budget": lambda *_: charts.budget(learnt.curve()),
    "weekly looks": lambda *_: charts.weekly_looks(learnt.looks()),
    "offer effects": lambda *_: charts.offer_effects(
        EFFECTS, {name: name for name in EFFECTS["comparison"].unique()}
    ),
    "policy values": lambda *_: charts.policy_values(
        learnt.policies(), {name: name for name in learnt.policies()["policy"]}
    ),
    "seasons": lambda frame, _: charts.seasons(bars.by_month(frame("exploration"))),
    "loop": lambda _frame, _titles: charts.loop(SIMULATED),
}


@pytest.fixture
def frame(sample_project: Project) -> Frame:
    return lambda name: sample_project.frame(f"gold/{name}", LAST)


@pytest.fixture
def titles(sample_project: Project) -> dict[str, str]:
    return perks.titles(load_perks(sample_project.settings.perks_file))


def test_every_chart_that_is_offered_is_drawn_here() -> None:
    drawn = set(charts.__all__) - {"Chart", "png", "svg", "learning_by_model"}
    assert {name.replace(" ", "_") for name in DRAWN} == drawn


@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_is_the_same_svg_each_time(frame: Frame, titles: dict[str, str], name: str) -> None:
    chart = DRAWN[name](frame, titles)
    drawn = charts.svg(chart)
    assert drawn == charts.svg(DRAWN[name](frame, titles))
    head, _, content = drawn.partition(",")
    assert head == "data:image/svg+xml;base64"
    root = ElementTree.fromstring(base64.b64decode(content, validate=True))  # noqa: S314
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(chart.alt) > 40
    assert "nan" not in chart.alt


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_is_cut_off_at_the_edge_of_a_png(
    frame: Frame, titles: dict[str, str], name: str
) -> None:
    chart = DRAWN[name](frame, titles)
    assert charts.png(chart).startswith(b"\x89PNG\r\n\x1a\n")
    renderer = FigureCanvasAgg(chart.figure).get_renderer()  # type: ignore[no-untyped-call]
    drawn = chart.figure.get_tightbbox(renderer)
    width, height = chart.figure.get_size_inches()
    assert drawn.x0 > -0.01
    assert drawn.y0 > -0.01
    assert drawn.x1 < width + 0.01
    assert drawn.y1 < height + 0.01


def test_a_png_carries_its_title_and_an_svg_leaves_it_to_the_caption(frame: Frame) -> None:
    chart = charts.elbow(frame("kmeans_diagnostics"))
    charts.svg(chart)
    assert chart.figure.get_suptitle() == ""
    charts.png(chart)
    assert chart.figure.get_suptitle() == chart.title


def test_only_supported_lifts_are_filled_and_named(frame: Frame, titles: dict[str, str]) -> None:
    evidence = frame("perk_evidence").assign(verdict=NOT_SUPPORTED)
    perk = evidence["perk"].iloc[0]
    evidence.loc[evidence.index[0], "verdict"] = SUPPORTED
    chart = charts.lifts(evidence, titles, STRATEGIES)
    faces = [
        line.get_markerfacecolor()
        for axes in chart.figure.axes
        for line in axes.get_lines()
        if line.get_marker() == "o"
    ]
    assert len(faces) == len(evidence)
    assert sum(face != "white" for face in faces) == 1
    assert f"{titles[perk]} by " in chart.alt


def test_a_difference_is_filled_where_its_interval_leaves_out_zero(frame: Frame) -> None:
    read = read_of(frame("experiment_plan"))
    read.loc[read.index[0], "low"] = 0.1
    faces = [
        line.get_markerfacecolor()
        for axes in charts.differences(read).figure.axes
        for line in axes.get_lines()
        if line.get_marker() == "o"
    ]
    assert sum(face != "white" for face in faces) == 1


def test_a_scatter_of_many_customers_shows_some_and_says_how_many() -> None:
    places = pd.DataFrame({"pca_x": range(5_000), "pca_y": range(5_000)}, dtype=float)
    segments = pd.Series(["here", "there"] * 2_500)
    chart = charts.scatter(places, segments, seed=1)
    clouds = [np.asarray(cloud.get_offsets()) for cloud in chart.figure.axes[0].collections]
    shown = sum(map(len, clouds))
    assert shown < 5_000
    assert re.search(rf"\b{shown:,} of 5,000 customers\b", chart.alt)


def test_learning_has_bars_only_where_the_spread_is_known() -> None:
    loss = {"The model": pd.Series([1.2, 1.0], index=[1, 2])}
    assert not charts.learning(loss).figure.axes[0].collections
    assert charts.learning(loss, {"The model": loss["The model"] / 10}).figure.axes[0].collections
