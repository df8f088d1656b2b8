"""Long-running commands that a test starts, waits for and stops."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
SMALL = {
    "TRAVELTIDE_COHORT__MIN_SESSIONS": "2",
    "TRAVELTIDE_KMEANS__MAX_K": "4",
    "TRAVELTIDE_KMEANS__RESTARTS": "2",
    "TRAVELTIDE_EVIDENCE__MONTHS": "1",
    "TRAVELTIDE_EVIDENCE__CUTS": "1",
    "TRAVELTIDE_EVIDENCE__FOLDS": "2",
    "TRAVELTIDE_EVIDENCE__REFITS": "2",
    "TRAVELTIDE_EVIDENCE__RESAMPLES": "100",
    "TRAVELTIDE_EVIDENCE__PERMUTATIONS": "100",
    "TRAVELTIDE_PREDICTION__FOLDS": "2",
    "TRAVELTIDE_PREDICTION__REPEATS": "1",
    "TRAVELTIDE_PREDICTION__ITERATIONS": "10",
}
"""Settings with which a run of everything on a small source takes seconds."""


class Processes:
    """Shell commands in the background, in the root of the project, each with a log of its own."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self.environment = dict(environment)
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, command: str) -> None:
        log = self._logs / f"{len(list(self._logs.iterdir()))}.log"
        with log.open("wb") as output:
            self._running[command] = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, command: str) -> None:
        """End a started command, and whatever it has started, without a word of warning."""
        process = self._running.pop(command)
        kill_family(process.pid)
        process.wait()

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def wait(
        self, happened: Callable[[], bool], what: str, seconds: float = 300, every: float = 0.5
    ) -> None:
        """Wait for something that the processes do; all logs are shown where it does not happen."""
        deadline = time.monotonic() + seconds
        while not happened():
            ended = [p for p in self._running.values() if p.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = "\n".join(f.read_text()[-4000:] for f in sorted(self._logs.glob("*.log")))
                raise AssertionError(f"{what} did not happen in {seconds} s\n{logs}")
            time.sleep(every)

    def stop(self) -> None:
        """Stop every process, and whatever it has started."""
        for process in reversed(self._running.values()):
            _signal(process, signal.SIGTERM)
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            _signal(process, signal.SIGKILL)
            process.wait()
        self._running.clear()


def kill_family(pid: int) -> None:
    """End a process and whatever it has started without a word, as a power cut would."""
    parent = psutil.Process(pid)
    # What it starts from now on would not be among those listed, and would live on.
    parent.suspend()
    # A group would not do: Dagster's servers start processes in groups of their own.
    family = [parent, *parent.children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, timeout=60)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def answers(url: str) -> bool:
    """Whether a web server is there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def listens(port: int) -> bool:
    with socket.socket() as found:
        found.settimeout(1)
        return found.connect_ex(("127.0.0.1", port)) == 0
