"""What `traveltide status` prints."""

from __future__ import annotations

import io

from rich.console import Console

from traveltide_assets.cli.status import print_status
from traveltide_assets.defs.staleness import Stale


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
