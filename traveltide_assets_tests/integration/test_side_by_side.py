"""A month decided on several cores has the bytes of one decided on one."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from traveltide_assets_tests.conftest import BOUNDS, FEW_MODELS, LAST, QUICK
from traveltide_assets_tests.support.project import Project

FITTED = [
    *(f"gold/{name}" for name in ("perk_evidence", "perk_evidence_by_cut", "perks_tried")),
    *(f"gold/{name}" for name in ("segmentation_scorecard", "strategy_agreement")),
    "gold/strategy_decision",
    "gold/perk_predictor_candidate",
    *(f"gold/predictor_{name}" for name in ("lifts", "scores", "confusion", "importance")),
    "gold/predictor_reliability",
]


def test_several_processes_give_the_same_bytes(
    tmp_path: Path, sample_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(sample_project.lake, tmp_path / "lake")
    settings = {"partitions": BOUNDS, "evidence": QUICK, "prediction": FEW_MODELS}
    project = Project(tmp_path, sample_project.source, **settings)
    for name in FITTED:
        project.file(name, LAST).unlink()
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    assert project.materialize_all(FITTED, LAST).success
    commands = [" ".join(process.cmdline()) for process in psutil.Process().children()]
    assert any("loky" in command for command in commands)
    for name in FITTED:
        assert project.file(name, LAST).read_bytes() == sample_project.file(name, LAST).read_bytes()
