"""The command `traveltide report`: where the report lies, and copies of it to open and to send.

As in `commands.py`, the command imports what it needs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from traveltide_assets.cli.commands import RELEASED, main


@main.command(short_help="Find, copy, print or open the report of a month.")
@RELEASED
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Copy the report to this file. If it ends in .pdf, Chromium prints the report to it.",
)
@click.option("--explorer", is_flag=True, help="The explorer that lies beside the report instead.")
@click.option("--open", "opened", is_flag=True, help="Open it in the browser.")
def report(month: str | None, to: Path | None, explorer: bool, opened: bool) -> None:
    """Print where the report of a month is stored; copy it to a file or open it in the browser.

    A PDF is printed from the released page and is no part of the release: its bytes depend on the
    version of Chromium.
    """
    import webbrowser

    from traveltide_assets.campaign import release_files
    from traveltide_assets.cli import console
    from traveltide_assets.lake.release import NotReleased
    from traveltide_assets.resources import load
    from traveltide_assets.schema.places import explained

    made = console.find_release(load(), month)
    name = release_files.EXPLORER if explorer else release_files.REPORT
    if name not in made.names:
        raise NotReleased(f"release {made.id} was made before the explorer was part of a release")
    file, where = made.path(name), made.uri(name)
    if to is not None:
        with explained(to, "--to"):
            to.parent.mkdir(parents=True, exist_ok=True)
            file = _copied(file, to)
        where = str(file)
    click.echo(where)
    if opened and not webbrowser.open(file.resolve().as_uri()):
        click.echo(
            f"No browser was found on this machine. Open this file in one: {file.resolve()}",
            err=True,
        )


def _copied(file: Path, to: Path) -> Path:
    """The copy: a PDF if it is to be one and there is a Chromium, otherwise the page."""
    from traveltide_assets.report import printing

    if to.suffix.lower() != ".pdf":
        return Path(shutil.copyfile(file, to))
    browser = printing.browser()
    if browser is not None:
        printing.print_page(browser, file, to)
        return to
    page = to.with_suffix(".html")
    click.echo(
        "No Chromium was found, so no PDF is printed (CHROMIUM may name one). This is the page, to "
        f"be printed in a browser: {page}",
        err=True,
    )
    return Path(shutil.copyfile(file, page))
