"""A newcomer: a fresh clone whose environment is built, in which the pages' commands are typed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path

from traveltide_assets_tests.support.documents import Block
from traveltide_assets_tests.support.ports import free_ports
from traveltide_assets_tests.support.processes import ROOT, SMALL

# What a clone has, of which the pages speak.
_CLONE = (
    "LICENSE",
    "Makefile",
    "README.md",
    "benchmarks",
    "deploy",
    "pyproject.toml",
    "requirements.lock",
    "setup.py",
    "tools",
    "traveltide_assets",
    "workspace.yaml",
)
# A source on which everything takes seconds. The customer that the pages name is in it.
_SMALL = {**SMALL, "TRAVELTIDE_SAMPLE__USERS": "1500", "TRAVELTIDE_PARTITIONS__FIRST": "2023-04"}
# The ports of the pages may be taken on this machine.
_PORTS = ("8000", "3000")
_ADDRESS = re.compile(rf"(localhost:|127\.0\.0\.1:|--port )({'|'.join(_PORTS)})\b")


class Newcomer:
    """Follows blocks of the pages in a folder of their own; each page has a shell of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder / "clone"
        self._shells = folder / "shells"
        self._ports = dict(zip(_PORTS, map(str, free_ports(len(_PORTS))), strict=True))
        self._running: list[subprocess.Popen[bytes]] = []
        # `make` within `make` would say which folder it enters.
        inherited = ("TRAVELTIDE", "MAKE", "MFLAGS")
        own = {name: v for name, v in os.environ.items() if not name.startswith(inherited)}
        self.environment = {
            **own,
            **_SMALL,
            "PYTHONPATH": str(ROOT),
            "DAGSTER_CLI_DEV_PORT": self._ports["3000"],
            **(environment or {}),
        }
        self.environment.pop("DAGSTER_HOME", None)
        self.folder.mkdir(parents=True)
        self._shells.mkdir()
        for name in _CLONE:
            if (ROOT / name).exists():
                (self.folder / name).symlink_to(ROOT / name)
        self._link_environment()

    def _link_environment(self) -> None:
        """The environment of the tests as the one that `make` would build and find up to date."""
        venv = self.folder / ".venv"
        venv.mkdir()
        for name in ("bin", "lib", "include", "share"):
            if (Path(sys.prefix) / name).exists():
                (venv / name).symlink_to(Path(sys.prefix) / name)
        if (Path(sys.prefix) / "pyvenv.cfg").exists():
            shutil.copy(Path(sys.prefix) / "pyvenv.cfg", venv)
        (venv / "installed").touch()
        # Whoever edits pyproject.toml meanwhile must not have `make` build another environment.
        tomorrow = time.time() + 24 * 3600
        os.utime(venv / "installed", (tomorrow, tomorrow))

    def follow(self, blocks: Iterable[Block]) -> list[str]:
        """What the blocks of a page printed, in order. A block that fails raises AssertionError."""
        return [self._follow(block) for block in blocks]

    def _follow(self, block: Block) -> str:
        page = re.sub(r"\W", "_", block.page)
        shell, script = self._shells / page, self._shells / f"{page}_{block.line}"
        text = _typed(block) if block.language == "console" else block.text
        text = _ADDRESS.sub(lambda found: found[1] + self._ports[found[2]], text)
        if block.language == "python":
            script.write_text(text, encoding="utf-8")
            text = f".venv/bin/python {script}"
        known = f"source {shell}\n" if shell.exists() else ""
        if block.awaited:
            self._start(f"{known}exec {text}", self._address(block.awaited))
            return ""
        done = subprocess.run(
            ["bash", "-c", f"set -euo pipefail\n{known}{text}\nexport -p > {shell}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def _address(self, url: str) -> str:
        return _ADDRESS.sub(lambda found: found[1] + self._ports[found[2]], url)

    def _start(self, script: str, url: str) -> None:
        log = self._shells / "background.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(process)
        deadline = time.monotonic() + 180
        while not _answers(url):
            ended = process.poll() is not None or time.monotonic() > deadline
            assert not ended, f"{url} does not answer\n{log.read_text()[-3000:]}"
            time.sleep(0.5)

    def stop(self) -> None:
        """Stop what runs in the background, with all that it has started."""
        running = [process for process in self._running if process.poll() is None]
        for process in running:
            os.killpg(process.pid, signal.SIGTERM)
        for process in running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._running.clear()


def _typed(block: Block) -> str:
    """The commands of a console: what follows a `$`."""
    return "\n".join(line[2:] for line in block.text.splitlines() if line.startswith("$ "))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
