"""What the code version of an asset covers, and what it leaves out."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import traveltide_assets
from traveltide_assets.definitions import build_definitions
from traveltide_assets.defs import code_versions
from traveltide_assets.defs.code_versions import changed_parts
from traveltide_assets.settings import Settings

DATABASE = "postgresql://db.example/perks"
PACKAGE = Path(traveltide_assets.__file__).parent
SILVER = {
    f"silver/{table}_{part}"
    for table in ("users", "sessions", "flights", "hotels")
    for part in ("processed", "quarantine")
}


def versions(**settings: Any) -> dict[str, str | None]:
    graph = build_definitions(Settings(**settings)).resolve_asset_graph()
    return {
        key.to_user_string(): graph.get(key).code_version for key in graph.materializable_asset_keys
    }


def differing(
    before: dict[str, str | None], after: dict[str, str | None]
) -> dict[str, tuple[str, ...]]:
    """The parts that differ, by asset."""
    return {
        asset: tuple(changed_parts(before[asset], after[asset]))
        for asset in before | after
        if before[asset] != after[asset]
    }


@pytest.fixture(scope="module")
def published() -> dict[str, str | None]:
    """The version of every asset, that of the published table among them."""
    return versions(publish=DATABASE)


@pytest.fixture
def edited(
    monkeypatch: pytest.MonkeyPatch, published: dict[str, str | None]
) -> Iterator[Callable[[str], dict[str, Any]]]:
    """The assets whose version differs once a file of the package has another content."""
    text, content = Path.read_text, Path.read_bytes

    def edit(name: str) -> dict[str, Any]:
        file = PACKAGE / name
        assert file.is_file()
        monkeypatch.setattr(
            Path,
            "read_text",
            lambda self, *args, **kw: (
                text(self, *args, **kw) + ("\n_ADDED = 1\n" if self == file else "")
            ),
        )
        monkeypatch.setattr(
            Path, "read_bytes", lambda self: content(self) + (b" " if self == file else b"")
        )
        code_versions._read.cache_clear()
        return differing(published, versions(publish=DATABASE))

    yield edit
    code_versions._read.cache_clear()


def test_a_module_of_which_only_constants_are_imported_counts(
    edited: Callable[[str], dict[str, Any]],
) -> None:
    # `released.py` imports only a text from `steady.py`.
    found = edited("campaign/steady.py")
    assert set(found.values()) == {("code",)}
    assert set(found) == {
        "gold/perk_assignments",
        "gold/campaign",
        "gold/campaign_changes",
        "gold/experiment_assignment",
        "gold/mailed_customers",
        "gold/campaign_outcomes",
        "gold/offers",
        "gold/budget_curve",
        "gold/release",
        "gold/report",
    }


def test_parsing_is_tried_again_while_another_thread_parses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected, parse, failures = versions(), ast.parse, iter(range(2))

    def disturbed(source: str) -> ast.Module:
        for _ in failures:
            raise SystemError("AST constructor recursion depth mismatch")
        return parse(source)

    monkeypatch.setattr(ast, "parse", disturbed)
    code_versions._tree.cache_clear()
    assert versions() == expected
    assert not list(failures), "it did fail"


def test_the_rules_of_cleaning_count_for_silver(edited: Callable[[str], dict[str, Any]]) -> None:
    found = edited("transforms/cleaning/rules.py")
    assert set(found) >= SILVER
    assert not {asset for asset in found if asset.startswith("bronze/")}


@pytest.mark.parametrize(
    "name", ["report/charts/canvas.py", "report/report.html.j2", "report/style.css"]
)
def test_what_draws_counts_for_the_report_alone(
    edited: Callable[[str], dict[str, Any]], name: str
) -> None:
    assert set(edited(name)) == {"gold/report"}


def test_what_publishes_counts_for_the_published_table_alone(
    edited: Callable[[str], dict[str, Any]],
) -> None:
    assert set(edited("connections/publishing.py")) == {"gold/published_assignments"}


def test_other_months_change_what_is_counted_as_undated() -> None:
    before = versions(partitions={"first": "2023-01", "last": "2023-06"})
    found = differing(before, versions(partitions={"first": "2023-01", "last": "2023-07"}))
    assert found == {
        "bronze/sessions_undated": ("partitions",),
        "gold/report": ("partitions",),
    }


def test_how_a_run_is_executed_changes_nothing(published: dict[str, str | None]) -> None:
    assert versions(publish=DATABASE, executor="forkserver", parallel_steps=2) == published
