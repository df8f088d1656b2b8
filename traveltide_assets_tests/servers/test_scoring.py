"""The scoring service in a process of its own, asked everything that its document allows or not."""

from __future__ import annotations

from pathlib import Path

from benchmarks.hardening.fuzz import schemathesis
from benchmarks.hardening.scoring import as_json, features, history, serving
from traveltide_assets_tests.support.project import Project


def test_all_checks_of_schemathesis_hold(sample_project: Project, tmp_path: Path) -> None:
    (tmp_path / "lake").symlink_to(sample_project.lake)
    with serving(tmp_path) as service:
        done = schemathesis(service, examples=5)
        assert done.returncode == 0, done.stdout[-6_000:]
        assert b'status="500"' not in service.get("/metrics")[1]


def test_one_small_body_takes_neither_memory_nor_time(
    sample_project: Project, tmp_path: Path
) -> None:
    (tmp_path / "lake").symlink_to(sample_project.lake)
    with serving(tmp_path) as service:
        assert service.send("POST", "/perk", as_json(history()))[0] == 200
        before = service.memory_mb + service.workers_mb
        for customer, number in ((b"{}", 200_000), (b'{"x":1}', 100_000)):
            body = b'{"customers":[%s]}' % b",".join([customer] * number)
            status, text = service.send("POST", "/perk", body)
            assert status == 422
            assert len(text) < 1_000
        assert service.memory_mb + service.workers_mb < before + 200
        assert service.send("POST", "/perk", as_json(features(1)))[0] == 200
