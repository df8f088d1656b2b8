"""The commands and their options. Their output belongs in `console.py`.

Nothing large is imported at the top, so that `traveltide --help` and shell completion stay fast.
Each command imports what it needs.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from traveltide_assets.stats.cycles import look_rarely

if TYPE_CHECKING:
    from rich.progress import Progress

    from traveltide_assets.sample import SampleSpec
    from traveltide_assets.settings import Settings

# The exit code of a process that Ctrl-C ended, by convention: 128 plus the number of the signal.
_INTERRUPTED = 130
RELEASED = click.option("--month", help="Month, as YYYY-MM.  [default: the latest released]")


class _Commands(click.Group):
    """Turns user errors into a one-line message, and Ctrl-C into exit code 130, not a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            _stop()
        # Python evaluates this clause, and so imports what it needs, only after an error.
        except _user_error() as error:
            _fail(str(error))
        except OSError as error:
            # A file, a port or a full disk: never a fault of the code, and a trace would say less.
            if error.filename is None and error.errno != errno.ENOSPC:
                raise
            _fail(f"{error.filename or 'output'}: {error.strerror}")


def _user_error() -> type[Exception]:
    """The base class of errors with a message that says what the user can change."""
    from traveltide_assets.schema.errors import TravelTideError

    return TravelTideError


def _fail(message: str) -> NoReturn:
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(message, err=True)
    sys.exit(1)


def _stop() -> NoReturn:
    click.echo("stopped", err=True)
    sys.exit(_INTERRUPTED)


@click.group(
    cls=_Commands,
    help="Give each active customer the one perk they most likely want, with the evidence for it.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="traveltide_assets", message="%(prog)s %(version)s")
def main() -> None:
    look_rarely()


@main.command(short_help="Ingest the source and decide a month.")
@click.option("--month", help="Month to decide, as YYYY-MM.  [default: the last of the settings]")
@click.option(
    "--replace",
    is_flag=True,
    help="If the lake is another source's, first remove all that it holds, releases included.",
)
@click.option(
    "--same-source",
    is_flag=True,
    help="If the lake is another source's, take it for this one: it is the same at another place.",
)
@click.option(
    "--scenario",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Decide by this scenario, as the desk's page What if saves it.",
)
def run(month: str | None, replace: bool, same_source: bool, scenario: Path | None) -> None:
    """Ingest every month of the source, then decide one month: a perk for every customer.

    A lake belongs to one source. With another one, a run ends before it writes anything.
    """
    from traveltide_assets.lake.ownership import Told
    from traveltide_assets.resources import (
        follow_source,
        follows_source,
        keep_private,
        open_claim,
        open_lake,
    )
    from traveltide_assets.sample import SampleSpec
    from traveltide_assets.settings import load_settings

    if replace and same_source:
        raise click.UsageError("--replace and --same-source exclude each other.")
    if scenario is not None:
        # The processes of the run read the settings as well.
        os.environ["TRAVELTIDE_SCENARIO"] = str(scenario.resolve())
    told = Told.REPLACE if replace else Told.SAME_SOURCE if same_source else None
    given = load_settings()
    keep_private(given)
    if told is None:
        open_claim(given, open_lake(given).storage).verify(ingesting=True)
    settings = follow_source(given, "always")
    month = _known_month(settings, month)
    if settings.source is None and not settings.sample_folder.exists():
        spec = SampleSpec(**settings.sample.model_dump())
        _write_sample(settings.sample_folder, spec, "csv")
    # Seconds of imports: what is wrong with the settings is told before.
    from traveltide_assets.cli import console
    from traveltide_assets.definitions import build_definitions
    from traveltide_assets.defs import run as pipeline
    from traveltide_assets.defs.instance.home import open_instance

    with run_progress() as shown, open_instance(settings) as dagster:
        outcome = pipeline.run(build_definitions(settings), settings, month, dagster, *shown, told)
    console.print_run(console.on_stdout(), settings, month, outcome, follows_source(given))


class _SampleOption(click.Option):
    """An option of a sample. Help and default come from the setting `sample.…`."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from traveltide_assets.settings import Settings

        fields = type(Settings.model_fields["sample"].default).model_fields
        self.help = fields[str(self.name)].description
        return super().get_help_record(ctx)

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        if call and ctx.resilient_parsing:  # Shell completion needs no default values.
            return None
        from traveltide_assets.settings import load_settings

        return getattr(load_settings().sample, str(self.name))


@main.command(short_help="Write a generated source to FOLDER.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--users", type=int, cls=_SampleOption, show_default=True)
@click.option("--seed", type=int, cls=_SampleOption, show_default=True)
@click.option("--active-share", type=float, cls=_SampleOption, show_default=True)
@click.option("--affinity", type=float, cls=_SampleOption, show_default=True)
@click.option("--dirt", type=float, cls=_SampleOption, show_default=True)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["csv", "parquet"]),
    default="csv",
    show_default=True,
    help="Format of the files",
)
def sample(folder: Path, file_format: str, **knobs: Any) -> None:
    """Write a generated source to FOLDER: users, sessions, flights and hotels.

    The defaults are the settings `sample.…`, which `traveltide run` also uses.
    """
    from traveltide_assets.sample import SampleSpec

    try:
        _write_sample(folder, SampleSpec(**knobs), file_format)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{knobs['users']:,} users in {folder}")


@main.command(short_help="Show the perks and segments of a month.")
@RELEASED
def show(month: str | None) -> None:
    """Show the perks of a month: which segment gets which perk, and why."""
    from traveltide_assets.cli import console
    from traveltide_assets.resources import load

    made = console.find_release(load(), month)
    console.print_decisions(console.on_stdout(), made)


@main.command(short_help="Explain why a customer got their perk.")
@click.argument("user_id", type=int)
@RELEASED
def explain(user_id: int, month: str | None) -> None:
    """Explain why the customer USER_ID got their perk."""
    from traveltide_assets.cli import console
    from traveltide_assets.resources import load

    made = console.find_release(load(), month)
    console.print_explanation(console.on_stdout(), made, user_id)


@main.command(short_help="Make a decided month, or an earlier release, current.")
@click.option("--month", help="Month to release, as YYYY-MM.  [default: the latest decided]")
@click.option("--to", "back_to", metavar="ID", help="Make this release current, as it was.")
@click.option("--mailed", metavar="ID", help="Note that the files of this release were sent.")
def release(month: str | None, back_to: str | None, mailed: str | None) -> None:
    """Release a decided month: readers and the mailing tool then see this decision.

    Campaign and report are made again with today's suppression list, and all blocking checks must
    hold. `--to ID` goes back to an earlier release, without customers suppressed since.
    """
    from traveltide_assets.cli import console, releases
    from traveltide_assets.definitions import build_definitions
    from traveltide_assets.defs import run as pipeline
    from traveltide_assets.defs.instance.home import open_instance
    from traveltide_assets.resources import load, open_lake

    if sum(given is not None for given in (month, back_to, mailed)) > 1:
        raise click.UsageError("give one of --month, --to and --mailed")
    settings = load()
    lake = open_lake(settings)
    if mailed is not None:
        sent = lake.releases.find(mailed)
        click.echo(f"Release {sent.id} of {sent.month}: mailed {lake.releases.mark_mailed(sent)}")
        return
    with open_instance(settings) as dagster:
        definitions = build_definitions(settings)
        if back_to is not None:
            made = releases.go_back(settings, lake.releases, back_to)
            pipeline.tell_of_release(definitions, settings, dagster, made)
        else:
            month = console.decided_month(settings, lake, month)
            with run_progress() as shown:
                pipeline.release(definitions, settings, month, dagster, *shown)
            made = lake.releases.current(month)
    releases.print_current(console.on_stdout(), lake.releases, made)


@main.command(short_help="List the releases.")
def releases() -> None:
    """List the releases of every month: which one is current, and which ones were mailed."""
    from traveltide_assets.cli import console
    from traveltide_assets.cli.releases import print_releases
    from traveltide_assets.resources import load, open_releases

    print_releases(console.on_stdout(), open_releases(load()))


@main.command(short_help="Write the files of the mailing tool.")
@RELEASED
@click.option(
    "--to", required=True, metavar="FOLDER", help="Folder or s3://bucket/prefix to write to."
)
def mailing(month: str | None, to: str) -> None:
    """Write the files that the mailing tool sends, of the current release of a month.

    Every file is verified, and nobody who is on today's suppression list is in one. The manifest is
    written last: without it, the folder is not complete.
    """
    from traveltide_assets.cli import console
    from traveltide_assets.cli.releases import export
    from traveltide_assets.resources import load

    export(console.on_stdout(), load(), month, to)


@main.command(short_help="Show what is out of date, and why.")
def status() -> None:
    """Show which stored assets are out of date, month by month, and what changed.

    This covers changes of code, catalogue files, settings and source files, and everything
    downstream of them. If a run is at work on the lake, it is named first.
    """
    from traveltide_assets.cli import console
    from traveltide_assets.cli.status import print_holder, print_status
    from traveltide_assets.definitions import build_definitions
    from traveltide_assets.defs import run as pipeline
    from traveltide_assets.defs.instance.home import open_instance
    from traveltide_assets.resources import load, open_claim, open_lake, open_lease

    settings = load("once")
    open_claim(settings, open_lake(settings).storage).verify(ingesting=True)
    with open_instance(settings) as dagster:
        stale, stored = pipeline.out_of_date(build_definitions(settings), settings, dagster)
    print_holder(console.on_stdout(), open_lease(settings))
    print_status(console.on_stdout(), stale, stored)


@main.command(short_help="Serve perks over HTTP.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
def serve(port: int, host: str) -> None:
    """Serve perks over HTTP: those assigned to active customers, and predictions for new ones."""
    from traveltide_assets.resources import asking_again, load, open_lake
    from traveltide_assets.serving import server

    settings = load()
    server.serve(open_lake(asking_again(settings)), settings, host, port)


@main.command(short_help="Print a script for shell completion.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete commands and options on Tab.

    \b
    bash:  add to ~/.bashrc:  eval "$(traveltide completion bash)"
    zsh:   add to ~/.zshrc:   eval "$(traveltide completion zsh)"
    fish:  traveltide completion fish > ~/.config/fish/completions/traveltide.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click cannot complete commands in {shell}")
    click.echo(found(main, {}, "traveltide", "_TRAVELTIDE_COMPLETE").source())


def _known_month(settings: Settings, month: str | None) -> str:
    from traveltide_assets.schema.errors import SettingsError

    months = settings.partitions.months()
    chosen = month or months[-1]
    if chosen not in months:
        raise SettingsError(
            f"--month {chosen}: choose a month from {months[0]} to {months[-1]} "
            "(partitions.first and partitions.last set the bounds)"
        )
    return chosen


def _write_sample(folder: Path, spec: SampleSpec, file_format: Any) -> None:
    from traveltide_assets.sample import write_sample

    with _progress() as bar:
        task = bar.add_task("generating a sample", total=spec.users)
        write_sample(folder, spec, file_format, lambda done, _: bar.update(task, completed=done))


@contextmanager
def run_progress() -> Iterator[tuple[Callable[[str, int, int], None], Callable[[str], None]]]:
    """Two functions: one shows the step of a run, and how many of how many are done; one tells."""
    with _progress() as bar:
        task = bar.add_task("starting", total=None)
        yield (
            lambda step, done, total: bar.update(
                task, description=step, completed=done, total=total
            ),
            # A line of its own is there also for who reads the output later.
            lambda text: bar.console.print(text, soft_wrap=True, markup=False, highlight=False),
        )


@contextmanager
def _progress() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True, markup=False, emoji=False),
        transient=True,
    ) as bar:
        yield bar
