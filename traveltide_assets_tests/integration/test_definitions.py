"""What Dagster sees: every asset explains itself, and the layers depend in one direction."""

from __future__ import annotations

import base64
import re

import dagster as dg
import pytest

from traveltide_assets_tests.conftest import FIRST, LAST
from traveltide_assets_tests.support.project import Project, instance_in

PICTURES = (
    ("gold/kmeans_model", "correlations"),
    ("gold/kmeans_diagnostics", "elbow"),
    ("gold/segments/kmeans", "customers_by_segment"),
    ("gold/segments/kmeans", "segment_profiles"),
    ("gold/perk_assignments", "perks"),
)


def test_one_run_wrote_every_month_of_the_sample(sample_project: Project) -> None:
    for path in ("bronze/sessions_raw", "silver/sessions_processed", "silver/sessions_quarantine"):
        months = sorted(p.name for p in (sample_project.lake / path).iterdir())
        assert months[0] == f"month={FIRST}"
        assert months[-1] == f"month={LAST}"
        assert len(months) == 10


@pytest.mark.parametrize(("asset", "name"), PICTURES, ids=lambda value: value)
def test_the_pictures_are_in_the_metadata_as_png(
    sample_project: Project, asset: str, name: str
) -> None:
    with instance_in(sample_project.folder / "dagster") as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(asset.split("/")))
    assert event is not None
    assert event.asset_materialization is not None
    text = str(event.asset_materialization.metadata[name].value)
    picture = re.fullmatch(r"!\[[^\]]+\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", text)
    assert picture is not None
    png = base64.b64decode(picture[1], validate=True)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.rstrip().endswith(b"IEND\xaeB`\x82")
    width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))
    assert width > 300
    assert height > 100
