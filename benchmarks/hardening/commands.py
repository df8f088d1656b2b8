"""Commands of the system as an attack runs them: in processes of their own, on a small source."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets_tests.support.processes import SMALL

MONTHS = ("2023-05", "2023-07")


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit code, None if it was killed after its time; its output."""

    code: int | None
    output: str
    seconds: float

    @property
    def last_line(self) -> str:
        return self.output.strip().rpartition("\n")[2]


def small_source(folder: Path, users: int = 300) -> Path:
    """A generated source of some hundred users, half of them active customers."""
    write_sample(folder, SampleSpec(users=users, seed=11, active_share=0.5))
    return folder


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """The environment of a small project whose lake and home are in a folder."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("TRAVELTIDE")}
    return {
        **inherited,
        **SMALL,
        "PYTHONPATH": ":".join(sys.path),
        "COLUMNS": "400",
        "DAGSTER_HOME": str(folder / "home" / "dagster"),
        "TRAVELTIDE_LAKE": str(folder / "lake"),
        "TRAVELTIDE_HOME": str(folder / "home"),
        "TRAVELTIDE_PARTITIONS__FIRST": MONTHS[0],
        "TRAVELTIDE_PARTITIONS__LAST": MONTHS[1],
        # It gives several perks on any source, so that there is a model to attack.
        "TRAVELTIDE_STRATEGY": "kmeans",
        **changes,
    }


def command(*arguments: str) -> list[str]:
    """The command `traveltide`, in this Python."""
    return [sys.executable, "-m", "traveltide_assets", *arguments]


def traveltide(env: dict[str, str], *arguments: str, seconds: float = 600) -> Done:
    """Run `traveltide` to its end, or kill it after so many seconds."""
    start = time.monotonic()
    try:
        done = subprocess.run(
            command(*arguments),
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as late:
        output = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        return Done(None, output, time.monotonic() - start)
    return Done(done.returncode, done.stdout, time.monotonic() - start)
