"""`traveltide`: run the pipeline, write a sample, show and explain the perks."""

from __future__ import annotations

import shutil
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.settings import Settings, SettingsError, load_settings

_console = Console()
_errors = Console(stderr=True)


class _Commands(click.Group):
    """Ends with a message instead of a traceback where the fault is the user's to mend."""

    def invoke(self, ctx: click.Context) -> Any:
        from traveltide_assets.cli.console import NothingDecided
        from traveltide_assets.pipeline import PipelineFailed
        from traveltide_assets.segmentation.perks import PerkError
        from traveltide_assets.storage import StorageError

        try:
            return super().invoke(ctx)
        except (
            SettingsError,
            PerkError,
            PipelineFailed,
            StorageError,
            NothingDecided,
        ) as error:
            # A message may hold brackets, which are no markup, and paths, which are not to break.
            _errors.print(
                f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True
            )
            sys.exit(1)


@click.group(cls=_Commands, help="One reward perk per customer, with the evidence for it.")
def main() -> None:
    pass


@main.command()
@click.option("--month", help="Decide this month, YYYY-MM; the last one by default.")
def run(month: str | None) -> None:
    """Ingest every month of the source and decide one: perks for every customer."""
    from traveltide_assets import pipeline
    from traveltide_assets.cli import console
    from traveltide_assets.definitions import build_definitions

    settings = load_settings()
    month = _known_month(settings, month)
    if settings.source is None:
        _generate(settings)
    with _progress() as bar, pipeline.instance(settings) as dagster:
        task = bar.add_task("starting", total=None)
        outcome = pipeline.run(
            build_definitions(settings),
            settings,
            month,
            dagster,
            lambda step, done, total: bar.update(
                task, description=step, completed=done, total=total
            ),
        )
    console.print_run(_console, settings, month, outcome)


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--users", default=20_000, show_default=True, help="Number of users.")
@click.option("--seed", default=7, show_default=True)
@click.option(
    "--active-share",
    default=SampleSpec.active_share,
    show_default=True,
    help="Share of active customers; the default is the real database's.",
)
@click.option(
    "--affinity", default=0.0, show_default=True, help="0 as in reality, 1: planted perks."
)
@click.option("--dirt", default=0.0, show_default=True, help="Share of rows damaged in known ways.")
@click.option("--format", "file_format", type=click.Choice(["csv", "parquet"]), default="csv")
def sample(
    folder: Path,
    users: int,
    seed: int,
    active_share: float,
    affinity: float,
    dirt: float,
    file_format: str,
) -> None:
    """Write a generated source to FOLDER."""
    try:
        _write_sample(folder, SampleSpec(users, seed, active_share, affinity, dirt), file_format)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _console.print(f"{users:,} users in {folder}", highlight=False)


@main.command()
@click.option("--month", help="YYYY-MM; the latest decided by default.")
def show(month: str | None) -> None:
    """Show the latest perks and segments."""
    from traveltide_assets.cli import console

    console.print_decisions(_console, load_settings(), month)


@main.command()
@click.argument("user_id", type=int)
@click.option("--month", help="YYYY-MM; the latest decided by default.")
def explain(user_id: int, month: str | None) -> None:
    """Explain why customer USER_ID got this perk."""
    from traveltide_assets.cli import console

    console.print_explanation(_console, load_settings(), user_id, month)


@main.command()
@click.option("--month", help="YYYY-MM; the latest decided by default.")
@click.option(
    "--to", type=click.Path(dir_okay=False, path_type=Path), help="Write the report to this file."
)
@click.option("--open", "opened", is_flag=True, help="Open the report in the browser.")
def report(month: str | None, to: Path | None, opened: bool) -> None:
    """Show where the report is, write it to a file or open it in the browser."""
    from traveltide_assets.cli import console

    file, where = console.find_report(load_settings(), month)
    if to is not None:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)
        file, where = to, str(to)
    if opened:
        webbrowser.open(file.resolve().as_uri())
    click.echo(where)


@main.command()
@click.option("--port", default=8000, show_default=True, help="Port to listen on.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
def serve(port: int, host: str) -> None:
    """Serve perks over HTTP: of assigned customers, and predicted for new ones."""
    from traveltide_assets.cli.console import open_lake
    from traveltide_assets.serving import app

    settings = load_settings()
    app.serve(open_lake(settings)[0], settings, host, port)


def _known_month(settings: Settings, month: str | None) -> str:
    from traveltide_assets.partitions import months_within

    months = months_within(settings.partitions)
    chosen = month or months[-1]
    if chosen not in months:
        raise SettingsError(
            f"--month {chosen}: choose a month from {months[0]} to {months[-1]} "
            "(partitions.first and partitions.last set the bounds)"
        )
    return chosen


def _generate(settings: Settings) -> None:
    folder, knobs = settings.sample_folder, settings.sample
    if folder.exists():
        return
    spec = SampleSpec(knobs.users, knobs.seed, knobs.active_share, knobs.affinity, knobs.dirt)
    _write_sample(folder, spec, "csv")


def _write_sample(folder: Path, spec: SampleSpec, file_format: Any) -> None:
    with _progress() as bar:
        task = bar.add_task("generating a sample", total=spec.users)
        write_sample(folder, spec, file_format, lambda done, _: bar.update(task, completed=done))


@contextmanager
def _progress() -> Iterator[Progress]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=_errors,
        transient=True,
    ) as bar:
        yield bar
