"""Disks that are full, of several sizes: the message names the full disk, and the next run is well.

Needs root, to mount small file systems in memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.hardening.commands import environment, small_source, traveltide
from benchmarks.hardening.tally import Tally

# By place, the settings that may be named: Dagster's own folder lies in the home, too.
_DISKS = {
    "lake": ("TRAVELTIDE_LAKE",),
    "home": ("TRAVELTIDE_HOME", "DAGSTER_HOME"),
    "home/staging": ("TRAVELTIDE_HOME",),
    "home/dagster": ("TRAVELTIDE_HOME", "DAGSTER_HOME"),
}
_KILOBYTES = (16, 200, 600)


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[None]:
    """A file system of this size at a place."""
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def main() -> None:
    if os.getuid() != 0:
        sys.exit("full disks need root, to mount small ones")
    tally = Tally("full disks")
    with tempfile.TemporaryDirectory() as name:
        source = small_source(Path(name) / "source")
        for disk, settings in _DISKS.items():
            for kilobytes in _KILOBYTES:
                folder = Path(name) / f"{disk.replace('/', '-')}-{kilobytes}"
                env = environment(folder, TRAVELTIDE_SOURCE=str(source))
                with small_disk(folder / disk, kilobytes):
                    done = traveltide(env, "run")
                named = any(setting in done.output for setting in settings)
                told = done.code == 1 and named and "full" in done.output
                quiet = "Traceback" not in done.output and str(source) not in done.last_line
                problem = f"{kilobytes} kB: exit code {done.code}: {done.last_line}"
                # What the run keeps there may fit, too; then all its checks have passed.
                tally.add(disk, (told or done.code == 0) and quiet, problem)
        again = traveltide(env, "run")
        tally.add("with room again", again.code == 0, again.last_line)
    tally.show()


if __name__ == "__main__":
    main()
