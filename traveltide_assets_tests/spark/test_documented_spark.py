"""What the pages say of Spark works."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from traveltide_assets_tests.support.documents import blocks_of
from traveltide_assets_tests.support.newcomer import Newcomer


def test_the_pipeline_runs_on_spark_as_the_page_says(tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="the extra `spark` is not installed: make test-spark")
    if shutil.which("java") is None:
        pytest.skip("there is no Java here: make java")
    newcomer = Newcomer(tmp_path, {"TRAVELTIDE_SAMPLE__USERS": "400"})
    (page,) = blocks_of("spark").values()
    said = newcomer.follow(page)
    assert len(said) == 2  # On Spark, and on Sail.
    assert all("Cohort of 2023-07" in run for run in said)
