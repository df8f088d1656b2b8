"""The pictures of the README and the docs, taken of the real thing: a run of the generated sample.

    python -m tools.pictures

The report, the desk and Dagster's asset graph are opened in a headless Chromium; `traveltide show`
is drawn as a terminal shows it. Run this again when one of them looks different.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, FloatRect, Page, ViewportSize, sync_playwright
from rich.console import Console
from rich.text import Text

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
LARGEST = 400_000
"""Bytes of a picture at most: a README with more of them loads slowly."""

_COMMAND = [sys.executable, "-m", "traveltide_assets"]
_COLUMNS = 80
_REPORT: ViewportSize = {"width": 1280, "height": 710}
_DESK: ViewportSize = {"width": 1280, "height": 880}
_DESK_PAGES = {
    "desk.png": "customers?family=married+with+children&age=35..44",
    "desk-what-if.png": "what-if?leave=free_checked_bag",
}
_GRAPH: ViewportSize = {"width": 2200, "height": 1080}
_START_SECONDS = 180
# Dagster draws the graph once it is laid out, and moves it into place.
_SETTLE = 4_000
_BOX_WIDTH, _MARGIN = 165, 16
# Rich names a font on another host, which a page that shows the picture does not load anyway.
_FONT_ELSEWHERE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description="Take the pictures of the docs.")
    parser.add_argument(
        "--project",
        type=Path,
        help="folder where `traveltide run` has been run; by default it is run in a new one",
    )
    chosen = parser.parse_args().project
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        sys.exit("no chromium on the path: `make browser` installs it")
    with tempfile.TemporaryDirectory() as folder:
        project = chosen or Path(folder)
        if chosen is None:
            _traveltide(project, "run")
        PICTURES.mkdir(parents=True, exist_ok=True)
        _take_terminal(project, PICTURES / "terminal.svg")
        with sync_playwright() as playwright:
            opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            _take_report(project, opened, PICTURES / "report.png")
            _take_desk(project, opened, PICTURES)
            _take_graph(project, opened, PICTURES / "asset-graph.png")
            opened.close()
    for picture in sorted(PICTURES.iterdir()):
        size = picture.stat().st_size
        print(f"{picture.name}: {size / 1000:.0f} kB")
        if size > LARGEST:
            sys.exit(f"{picture.name} is larger than {LARGEST / 1000:.0f} kB")


def _take_terminal(project: Path, picture: Path) -> None:
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), highlight=False)
    console.print("[bold green]$[/] [bold]traveltide show[/]\n")
    console.print(Text.from_ansi(_traveltide(project, "show", FORCE_COLOR="1")), soft_wrap=True)
    drawn = console.export_svg(title="TravelTide", unique_id="terminal")
    picture.write_text(_FONT_ELSEWHERE.sub("", drawn), encoding="utf-8")


def _take_report(project: Path, browser: Browser, picture: Path) -> None:
    file = project / _traveltide(project, "report").strip()
    page = browser.new_page(viewport=_REPORT, color_scheme="light")
    page.goto(file.resolve().as_uri())
    page.screenshot(path=picture)


def _take_desk(project: Path, browser: Browser, folder: Path) -> None:
    """Pages of the desk, each with something selected or changed."""
    page = browser.new_page(viewport=_DESK, color_scheme="light")
    with _desk(project) as url:
        for name, path in _DESK_PAGES.items():
            # The first time a page also reads the month, and says so in seconds.
            for _ in range(2):
                page.goto(f"{url}/{path}")
                page.wait_for_selector("html[data-drawn]", state="attached")
            page.screenshot(path=folder / name)


def _take_graph(project: Path, browser: Browser, picture: Path) -> None:
    """The lineage with its groups folded, without the panels around it.

    The window is wide, because Dagster fits the graph to it and leaves small boxes without detail.
    """
    page = browser.new_page(viewport=_GRAPH, color_scheme="light")
    with _webserver(project) as url:
        page.goto(f"{url}/asset-groups")
        page.get_by_label("zoom_out").wait_for(timeout=1000 * _START_SECONDS)
        page.get_by_text("Hide navigation").click()
        page.reload()
        page.get_by_label("zoom_out").wait_for()
        page.wait_for_timeout(_SETTLE)
        page.screenshot(path=picture, clip=_around_groups(page))


def _around_groups(page: Page) -> FloatRect:
    """The part of the page that holds every folded group: each has a mark at its right end."""
    marks = [box for mark in page.get_by_label("unfold_more").all() if (box := mark.bounding_box())]
    left = min(box["x"] for box in marks) - _BOX_WIDTH
    top = min(box["y"] for box in marks) - _MARGIN
    return {
        "x": left,
        "y": top,
        "width": max(box["x"] + box["width"] for box in marks) + _MARGIN - left,
        "height": max(box["y"] + box["height"] for box in marks) + _MARGIN - top,
    }


@contextmanager
def _webserver(project: Path) -> Iterator[str]:
    """Dagster's UI on what the run of the project has left; its address."""
    command = [sys.executable, "-m", "dagster_webserver", "-m", "traveltide_assets.definitions"]
    with _served(project, [*command, "--host", "127.0.0.1"], "server_info") as url:
        yield url


@contextmanager
def _desk(project: Path) -> Iterator[str]:
    """The desk on the releases of the project; its address."""
    with _served(project, [*_COMMAND, "desk", "--no-open"], "health") as url:
        yield url


@contextmanager
def _served(project: Path, command: list[str], answers: str) -> Iterator[str]:
    """A server in the project, once it answers a path; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=project,
        env=_environment() | {"DAGSTER_HOME": str(project.resolve() / ".traveltide" / "dagster")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/{answers}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _traveltide(project: Path, *arguments: str, **environment: str) -> str:
    return subprocess.run(
        [*_COMMAND, *arguments],
        cwd=project,
        env=_environment() | {"COLUMNS": str(_COLUMNS)} | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def _environment() -> dict[str, str]:
    """The environment without settings: the pictures show the defaults."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRAVELTIDE_") and name != "DAGSTER_HOME"
    }


if __name__ == "__main__":
    main()
