"""The cluster model: segments are their profile, not the number the clustering gave them."""

from __future__ import annotations

import pandas as pd

from traveltide_assets.segmentation.cluster_model import Model
from traveltide_assets.segmentation.config import Config as KMeans
from traveltide_assets.segmentation.kmeans import fit
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support.clusters import CLASSIC, SEED, decided, segment
from traveltide_assets_tests.support.project import Project


def test_the_order_of_the_customers_changes_no_segment_and_no_perk(
    sample_project: Project,
) -> None:
    features = sample_project.frame("gold/user_features", LAST)
    settings = KMeans(max_k=4)
    expected = decided(features, settings)
    for seed in range(3):
        shuffled = features.sample(frac=1, random_state=seed)
        found = decided(shuffled, settings).loc[expected.index]
        assert list(found["segment"]) == list(expected["segment"])
        assert list(found["perk"]) == list(expected["perk"])
        assert list(found["reason"]) == list(expected["reason"])


def test_another_seed_changes_the_perk_of_hardly_anybody_in_the_real_cohort(
    real_project: Project,
) -> None:
    features = real_project.frame("gold/user_features", LAST)
    expected = real_project.frame("gold/segments/kmeans", LAST).set_index("user_id")
    for seed in (1, 2, 3):
        found = decided(features, KMeans(max_k=4, sample_rows=500), seed=seed)
        assert (found["perk"] != expected["perk"]).mean() < 0.01


def test_a_model_survives_its_frame_and_assigns_the_same(sample_project: Project) -> None:
    features = sample_project.frame("gold/user_features", LAST)
    model = fit(features, KMeans(max_k=4, restarts=2), SEED, CLASSIC, None)
    again = Model.from_frame(model.to_frame().sample(frac=1, random_state=1))
    assert again.version == model.version
    assert again.features == model.features
    assert again.segments == model.segments
    assert again.perks == model.perks
    pd.testing.assert_frame_equal(
        segment(features, again, CLASSIC), segment(features, model, CLASSIC), check_exact=True
    )


def test_the_stored_model_assigns_the_customers_it_was_fitted_on(sample_project: Project) -> None:
    stored = Model.from_frame(sample_project.frame("gold/kmeans_model", LAST))
    features = sample_project.frame("gold/user_features", LAST)
    found = sample_project.frame("gold/segments/kmeans", LAST)
    labels, _ = stored.assign(features)
    assert [stored.segments[label] for label in labels] == list(found["segment"])
    assert set(found["model_version"]) == {stored.version}


def test_segments_that_look_alike_still_have_different_names(sample_project: Project) -> None:
    features = sample_project.frame("gold/user_features", LAST)
    model = fit(features, KMeans(k=12, max_k=2, restarts=1), SEED, CLASSIC, None)
    assert len(set(model.segments)) == 12
