"""What `traveltide status` prints."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from traveltide_assets.cli.status import print_holder, print_status
from traveltide_assets.defs.staleness import Stale
from traveltide_assets.lake.config import Lease as Config
from traveltide_assets.lake.lease import Lease
from traveltide_assets.lake.storage.folder import Folder


def printed(*stale: Stale) -> str:
    console = Console(file=io.StringIO(), width=80)
    print_status(console, list(stale), stored=52)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_each_reason_is_named_once_with_its_assets_and_what_is_downstream_comes_last() -> None:
    perks = ("inputs/perk_catalogue has changed",)
    said = printed(
        Stale("silver/users_processed", None, (), ("bronze/users_raw",)),
        Stale("gold/kmeans_model", "2023-06", perks, ()),
        Stale("gold/kmeans_model", "2023-07", perks, ("gold/kmeans_model",)),
        Stale("gold/perk_signals", "2023-06", perks, ()),
        Stale("gold/perk_signals", "2023-07", perks, ()),
        Stale("gold/campaign", "2023-07", (), ("gold/kmeans_model",)),
    )
    assert said == (
        "4 of 52 stored assets are out of date:\n"
        "\n"
        "  inputs/perk_catalogue has changed\n"
        "    2023-06 to 2023-07: gold/kmeans_model, gold/perk_signals\n"
        "\n"
        "  downstream of these\n"
        "    silver/users_processed\n"
        "    2023-07: gold/campaign\n"
        "\n"
        "To bring them up to date: `traveltide run --month 2023-06` and `traveltide run\n"
        "--month 2023-07`.\n"
    )


def test_an_asset_with_two_reasons_is_named_under_both() -> None:
    said = printed(Stale("gold/report", "2023-07", ("changed: code", "gold/x has changed"), ()))
    assert said.count("2023-07: gold/report") == 2


@pytest.mark.parametrize(
    ("pid", "machine", "said"),
    [
        (None, None, "Its process is alive"),
        (2**22, None, "Its process is gone, so the next run takes the lake over"),
        (None, "another", "Its process cannot be seen from this machine"),
    ],
)
def test_the_run_that_holds_the_lake_is_named(
    tmp_path: Path, pid: int | None, machine: str | None, said: str
) -> None:
    lease, theirs = (Lease(Folder(tmp_path), Config(), name) for name in (None, machine))
    console = Console(file=io.StringIO(), width=400)
    print_holder(console, lease)
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
    claim = theirs.claim("1234567890", "ingest")
    theirs.attempt(claim.model_copy(update={"pid": pid or claim.pid}))
    print_holder(console, lease)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.startswith(f"In use by run 12345678 (ingest) of process {pid or claim.pid} on ")
    assert said in text
