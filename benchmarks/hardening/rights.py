"""Missing rights, wrong places and wrong values: each ends at once, by a message with its setting.

As root, the command runs without root's right to read and write everything.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.hardening.commands import Done, command, environment, small_source, traveltide
from benchmarks.hardening.tally import Tally

_LESS = "-dac_override,-dac_read_search"
_AT_ONCE = 60
"""Seconds for the start of a process on a busy machine; a retry would take as long again."""


def without_rights(env: dict[str, str], *arguments: str) -> Done:
    """Run a command that may do what the owner of its files may, even as root."""
    if os.getuid() != 0:
        return traveltide(env, *arguments)
    done = subprocess.run(
        ["setpriv", f"--bounding-set={_LESS}", f"--inh-caps={_LESS}", *command(*arguments)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Done(done.returncode, done.stdout, 0)


def closed(place: Path) -> None:
    place.mkdir(mode=0)


def read_only(place: Path) -> None:
    place.mkdir(mode=0o500)


def a_file(place: Path) -> None:
    place.write_text("in the way", encoding="utf-8")


def main() -> None:
    tally = Tally("missing rights, wrong places, wrong values")
    spoils: tuple[Callable[[Path], None], ...] = (closed, read_only, a_file)
    with tempfile.TemporaryDirectory() as name:
        source = small_source(Path(name) / "source")

        def told(kind: str, done: Done, *words: str) -> None:
            missing = [word for word in words if word not in done.output]
            survived = done.code in (1, 2) and not missing and "Traceback" not in done.output
            problem = f"exit code {done.code}, {done.seconds:.0f} s: {done.last_line}"
            tally.add(kind, survived and done.seconds < _AT_ONCE, problem)

        for setting in ("LAKE", "HOME", "SOURCE"):
            for spoil in spoils:
                folder = Path(name) / f"{setting}-{spoil.__name__}"
                folder.mkdir()
                place = folder / setting.lower()
                spoil(place)
                env = environment(folder, TRAVELTIDE_SOURCE=str(source))
                env[f"TRAVELTIDE_{setting}"] = str(place)
                if setting != "HOME":
                    env["TRAVELTIDE_HOME"] = str(folder / "home")
                if setting == "SOURCE" and spoil is read_only:
                    place.chmod(0o300)
                told(f"{setting.lower()} {spoil.__name__}", without_rights(env, "run"), setting)
                if place.is_dir():
                    place.chmod(0o700)
        values = {
            ("memory", "run"): ({"TRAVELTIDE_MEMORY": "1KB"}, "TRAVELTIDE_MEMORY"),
            ("endpoint", "show"): (
                {"TRAVELTIDE_LAKE": "s3://lake", "AWS_ENDPOINT_URL": "localhost:9000"},
                "AWS_ENDPOINT_URL",
            ),
            ("host", "show"): (
                {
                    "TRAVELTIDE_LAKE": "s3://lake",
                    "AWS_ENDPOINT_URL": "http://no-such-host.invalid",
                    "AWS_ACCESS_KEY_ID": "key",
                    "AWS_SECRET_ACCESS_KEY": "secret",
                },
                "AWS_ENDPOINT_URL",
            ),
            ("port", "serve --port 70000"): ({}, "--port"),
            ("port", "serve --port http"): ({}, "--port"),
            ("host", "serve --host no-such-host.invalid"): ({}, "--host"),
            ("month", "show --month 2023-13"): ({}, "2023"),
            ("customer", "explain somebody"): ({}, "USER_ID"),
        }
        for (kind, line), (changes, word) in values.items():
            env = environment(Path(name) / kind, TRAVELTIDE_SOURCE=str(source)) | changes
            told(f"{kind}: {line}", traveltide(env, *line.split()), word)
    tally.show()


if __name__ == "__main__":
    main()
