"""An S3 endpoint that accepts connections and never answers: every command ends in stated time."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.hardening.commands import environment, small_source, traveltide
from benchmarks.hardening.tally import Tally

_SECONDS = 150
"""One minute of attempts, the longest wait for one answer, and the start of a process."""


@contextmanager
def silent_endpoint() -> Iterator[str]:
    """The address of a socket that accepts connections; nobody reads what comes."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def main() -> None:
    tally = Tally("an S3 endpoint that never answers")
    with tempfile.TemporaryDirectory() as name, silent_endpoint() as endpoint:
        folder = Path(name)
        source = small_source(folder / "source")
        there = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }
        tries = {
            ("run", "the lake"): {"TRAVELTIDE_LAKE": "s3://lake", "TRAVELTIDE_SOURCE": str(source)},
            ("run", "the source"): {"TRAVELTIDE_SOURCE": "s3://source"},
            ("show", "the lake"): {"TRAVELTIDE_LAKE": "s3://lake"},
        }
        for (command, what), settings in tries.items():
            env = environment(folder / f"{command}-{what}", **there, **settings)
            done = traveltide(env, command, seconds=_SECONDS)
            told = done.code == 1 and "AWS_ENDPOINT_URL" in done.output
            problem = f"exit code {done.code} after {done.seconds:.0f} s: {done.last_line}"
            tally.add(f"{command}, {what}", told and "Traceback" not in done.output, problem)
    tally.show()


if __name__ == "__main__":
    main()
