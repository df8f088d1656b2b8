"""What attacks on runs share: a small lake in a folder or in S3, two ways to decide its month, and
readers of the releases who know both decisions.

The two decisions differ in their strategy, so that segments, perks and offers of one do not pass
for those of the other.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, cast

from benchmarks.hardening.commands import MONTHS, command, environment, small_source
from traveltide_assets.lake.lease import KEY
from traveltide_assets.lake.release import FOLDER as RELEASES
from traveltide_assets.lake.storage.base import Storage
from traveltide_assets_tests.support.s3_server import running_s3

MONTH = MONTHS[1]
DECISIONS = {"A": "kmeans", "B": "perk_affinity"}
"""The strategies of the two decisions, by name."""
Prints = Mapping[str, str]
"""What a reader of a release gets, as a digest by the kind of reader."""


@dataclass(frozen=True)
class Place:
    """A small project with its source; its lake is in a folder or in S3."""

    folder: Path
    variables: Mapping[str, str]

    def environment(self, decision: str = "A", **changes: str) -> dict[str, str]:
        return environment(
            self.folder,
            TRAVELTIDE_SOURCE=str(self.folder / "source"),
            TRAVELTIDE_STRATEGY=DECISIONS[decision],
            **{**self.variables, **changes},
        )

    def start(
        self, decision: str, log: Path, *prefix: str, **changes: str
    ) -> subprocess.Popen[str]:
        """Start `traveltide run` for a decision, with its output in a file."""
        with log.open("w") as output:
            return subprocess.Popen(
                [*prefix, *command("run", "--month", MONTH)],
                env=self.environment(decision, **changes),
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def run(self, decision: str) -> float:
        """`traveltide run` to its end. Returns for how many seconds it held the lease."""
        log = self.folder / f"{decision}.log"
        process = self.start(decision, log)
        began = self.wait_for_lease(process)
        if process.wait() != 0:
            raise RuntimeError(f"the run of {decision} failed:\n{log.read_text()[-3000:]}")
        return time.monotonic() - began

    def wait_for_lease(self, process: subprocess.Popen[str]) -> float:
        """Wait until a run holds the lease, or has ended. Returns the time by a steady clock."""
        storage = self.storage()
        while storage.look(KEY) is None and process.poll() is None:
            time.sleep(0.1)
        return time.monotonic()

    def versions(self) -> dict[str, str]:
        """The version of every file of the tables in the lake."""
        found = self.storage().versions()
        return {k: v for k, v in found.items() if k != KEY and not k.startswith(RELEASES)}

    def storage(self) -> Storage:
        from traveltide_assets.resources import open_storage

        os.environ.update(self.variables)
        settings = _settings(self.environment())
        return open_storage(settings.lake, self.folder / "cache", "TRAVELTIDE_LAKE")

    def digests(self) -> dict[str, str]:
        """The SHA-256 of every file of the lake. Records of releases hold times, so they are not
        among them."""
        storage = self.storage()
        versions = {k: v for k, v in storage.versions().items() if not k.startswith(RELEASES)}
        files = storage.files(versions)
        return {
            key: hashlib.sha256(file.read_bytes()).hexdigest()
            for key, file in zip(versions, files, strict=True)
        }

    def release(self) -> str | None:
        """The id of the current release."""
        return _open(self.environment()).releases.record(MONTH).current

    def prints(self) -> Prints:
        """What readers get now."""
        with tempfile.TemporaryDirectory() as folder:
            return _Reader(self.environment(), Path(folder)).read_all()


@contextmanager
def place_in(kind: str) -> Iterator[Place]:
    """A project in a temporary folder. Its lake is in that `folder`, or in `s3` on a server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small_source(folder / "source")
        if kind == "folder":
            yield Place(folder, {})
            return
        (folder / "server").mkdir()
        with running_s3(folder / "server") as server:
            lake = {"TRAVELTIDE_LAKE": f"s3://{server.bucket()}/lake"}
            yield Place(folder, {**server.environment, **lake})


@dataclass
class Seen:
    """What the readers saw: the reads of each kind, and what was of no decision."""

    reads: dict[str, int]
    problems: list[str]


@contextmanager
def readers(place: Place, known: list[Prints]) -> Iterator[Seen]:
    """Read releases in another process until the end of the block: as the service, as `show`, and
    as somebody who takes the mailing files. Each read must be one of the known decisions."""
    spawn = multiprocessing.get_context("spawn")
    ended, told = spawn.Event(), spawn.Queue()
    process = spawn.Process(target=_read_until, args=(place.environment(), known, ended, told))
    process.start()
    seen = Seen({}, [])
    try:
        yield seen
    finally:
        ended.set()
        seen.reads, seen.problems = told.get(timeout=120)
        process.join()


def _read_until(
    env: dict[str, str],
    known: list[Prints],
    ended: Event,
    told: Queue[tuple[dict[str, int], list[str]]],
) -> None:
    os.nice(5)
    reads = dict.fromkeys(known[0], 0)
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        reader = _Reader(env, Path(folder))
        while not ended.is_set():
            for kind in reads:
                try:
                    found = reader.read(kind)
                except Exception as error:  # noqa: BLE001 -- whatever a reader meets is counted
                    problems.append(f"{kind}: {type(error).__name__}: {error}")
                else:
                    if found not in [each[kind] for each in known]:
                        problems.append(f"{kind}: neither decision")
                reads[kind] += 1
    told.put((reads, problems))


class _Reader:
    def __init__(self, env: dict[str, str], folder: Path) -> None:
        self._lake = _open(env)
        self._mails = folder / "mails"

    def read_all(self) -> Prints:
        return {kind: self.read(kind) for kind in ("service", "show", "mailing")}

    def read(self, kind: str) -> str:
        made = {"service": self._service, "show": self._show, "mailing": self._mailing}[kind]()
        return hashlib.sha256(made.encode()).hexdigest()

    def _service(self) -> str:
        from traveltide_assets.serving.scorer import load

        snapshot = load(self._lake, lambda month: cast(Any, None))
        if snapshot is None:
            return "nothing"
        answers = snapshot.assigned.answers.astype(str).to_csv(index=False)
        return f"{snapshot.catalogue}\n{snapshot.assigned.user_id.tolist()}\n{answers}"

    def _show(self) -> str:
        from rich.console import Console

        from traveltide_assets.cli.console import print_decisions

        text = io.StringIO()
        print_decisions(Console(file=text, width=100), self._lake.releases.current(MONTH))
        return text.getvalue()

    def _mailing(self) -> str:
        from traveltide_assets.campaign.released import export
        from traveltide_assets.lake.storage.folder import Folder

        export(self._lake.releases.current(MONTH), Folder(self._mails))
        files = sorted(path for path in self._mails.iterdir() if path.suffix in (".csv", ".json"))
        return "\n".join(f"{path.name} {path.read_text()}" for path in files)


def _settings(env: Mapping[str, str]) -> Any:
    from traveltide_assets.settings import load_settings

    ours = {name: text for name, text in env.items() if name.startswith(("TRAVELTIDE", "AWS"))}
    os.environ.update(ours)
    return load_settings()


def _open(env: Mapping[str, str]) -> Any:
    from traveltide_assets.resources import open_lake

    return open_lake(_settings(env))
