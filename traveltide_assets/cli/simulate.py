"""The command `traveltide simulate`: months of offers and responses of generated customers.

As in `commands.py`, the command imports what it needs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from traveltide_assets.cli.commands import main, run_progress

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

_SHARE = click.FloatRange(0, 1)


@main.command(short_help="Play months of offers and responses on generated customers.")
@click.option(
    "--months",
    type=click.IntRange(1, 24),
    default=6,
    show_default=True,
    help="Months mailed. One more is decided, which reads the last",
)
@click.option(
    "--effect",
    type=click.Choice(["none", "traits", "perks"]),
    default="traits",
    show_default=True,
    help="What is planted: nothing; the perk wanted follows age and children; or it is the one "
    "that behaviour shows",
)
@click.option(
    "--users",
    type=click.IntRange(1),
    default=2_000,
    show_default=True,
    help="Customers, all active",
)
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Random seed")
@click.option(
    "--exploration",
    type=_SHARE,
    default=0.3,
    show_default=True,
    help="Share whose perk is drawn at random",
)
@click.option(
    "--holdout", type=_SHARE, default=0.1, show_default=True, help="Share who get nothing"
)
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("simulation"),
    show_default=True,
    help="Folder to write to: source, lake, table and picture",
)
def simulate(to: Path, **options: Any) -> None:
    """Play months of offers on generated customers whose responses follow a planted effect.

    Each month is ingested, decided, released, mailed, responded to and read, by the same runs as
    `traveltide run`. The setting `strategy` decides. Where it is not set, it is `learned`: the
    policy promoted by the month before, and what is recommended until one is. What the policy
    learned so far would bring is shown beside it. The same seed gives the same table.

    To be quick, the back-test and the newcomers' model get few resamples, folds and refits
    (`evidence.…`, `prediction.…`), so the intervals in these reports are rough. Source, lake, home,
    seed, release, exploration and holdout are those of the simulation. All other settings hold.
    """
    from traveltide_assets.cli import console
    from traveltide_assets.definitions import build_definitions
    from traveltide_assets.defs.simulation import Simulation, play

    # Its history belongs to its lake, and not to the one that is worked with otherwise.
    os.environ.pop("DAGSTER_HOME", None)
    with run_progress() as shown:
        months = play(Simulation(**options), to, build_definitions, *shown)
    write_results(months, to)
    print_months(console.on_stdout(), months)
    click.echo(f"{to / TABLE} and {to / PICTURE}")


_WORTH = ("value", "learned", "oracle", "best_single", "chance")
TABLE, PICTURE = "simulation.csv", "simulation.png"


def write_results(months: pd.DataFrame, to: Path) -> None:
    """Write the table, and its picture beside it."""
    from traveltide_assets.report import charts

    months.round(2).to_csv(to / TABLE, index=False)
    (to / PICTURE).write_bytes(charts.png(charts.loop(months)))


def print_months(console: Console, months: pd.DataFrame) -> None:
    """Print a line per month, and what the last verdict says."""
    from traveltide_assets.cli.console import grid, write

    write(
        console,
        "Expected revenue per customer over what sending nothing brings, in USD, as planted. "
        "`learned`: if the policy learned so far decided, promoted or not. Nobody is valued with a "
        "perk that they are not eligible for.",
    )
    table = grid(
        "month",
        "by",
        numbers=("decided", "learned", "oracle", "best one", "chance", "spent"),
    )
    for row in months.to_dict("records"):
        worth = ["-" if row[name] != row[name] else f"{row[name]:,.0f}" for name in _WORTH]
        table.add_row(row["month"], row["strategy"], *worth, f"{row['spent_usd']:,.0f}")
    console.print(table)
    said = (f"{row['month']} {row['verdict']}" for row in months.to_dict("records"))
    write(console, f"Verdicts on a learned policy: {'; '.join(said)}.")
    write(
        console,
        f"Spent on what was redeemed: {months['spent_usd'].sum():,.0f} USD. The last month is "
        "decided and not mailed.",
    )
    last = months.iloc[-1]
    if last["in_words"]:
        write(console, f"At the end of {last['month']}: {last['in_words']}")
