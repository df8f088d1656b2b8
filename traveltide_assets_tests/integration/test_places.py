"""Folders that cannot be used: each is told once, at once, with its place and its setting."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.processes import SMALL

_BOUNDS = {
    "TRAVELTIDE_PARTITIONS__FIRST": scenario.PARTITIONS["first"],
    "TRAVELTIDE_PARTITIONS__LAST": scenario.PARTITIONS["last"],
}
# Root may read and write everything; without these rights it is a user as any other.
_LESS = "-dac_override,-dac_read_search"
_WITHOUT_RIGHTS = ["setpriv", f"--bounding-set={_LESS}", f"--inh-caps={_LESS}"]
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="mounts need root")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return scenario.write_scenario(tmp_path / "source")


def traveltide(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with source, lake and home in a folder."""
    environment = {
        **{n: v for n, v in os.environ.items() if not n.startswith(("TRAVELTIDE", "DAGSTER"))},
        **SMALL,
        **_BOUNDS,
        "PYTHONPATH": ":".join(sys.path),
        "COLUMNS": "400",
        "TRAVELTIDE_SOURCE": str(folder / "source"),
        "TRAVELTIDE_LAKE": str(folder / "lake"),
        "TRAVELTIDE_HOME": str(folder / "home"),
        **changes,
    }
    command = [sys.executable, "-m", "traveltide_assets", *arguments]
    return subprocess.run(
        [*(_WITHOUT_RIGHTS if os.getuid() == 0 else []), *command],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=400,
    )


def assert_told(done: subprocess.CompletedProcess[str], *words: str) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "Traceback" not in said
    assert [word for word in words if word not in said] == [], said


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@needs_root
@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("lake", "TRAVELTIDE_LAKE"),
        ("home/staging", "TRAVELTIDE_HOME"),
        ("home/dagster", "TRAVELTIDE_HOME"),
    ],
)
def test_a_full_disk_is_named(source: Path, tmp_path: Path, name: str, setting: str) -> None:
    with small_disk(tmp_path / name, "8k"):
        done = traveltide(tmp_path, "run")
        assert_told(done, str(tmp_path / name), "full", setting)
        assert "source/" not in done.stderr, "the files of the source are not to blame"


def a_file(place: Path) -> None:
    place.write_text("in the way", encoding="utf-8")


def forbidden(place: Path) -> None:
    place.mkdir(mode=0o500)


@pytest.mark.parametrize("spoil", [a_file, forbidden])
@pytest.mark.parametrize(("name", "setting"), [("lake", "LAKE"), ("home", "HOME")])
def test_a_folder_that_cannot_be_written_is_told_at_once(
    source: Path, tmp_path: Path, spoil: Callable[[Path], None], name: str, setting: str
) -> None:
    spoil(tmp_path / name)
    done = traveltide(tmp_path, "run")
    assert_told(done, str(tmp_path / name), f"TRAVELTIDE_{setting}")


def test_no_right_to_see_the_source_does_not_read_as_if_it_were_absent(
    source: Path, tmp_path: Path
) -> None:
    source.chmod(0)
    done = traveltide(tmp_path, "run")
    source.chmod(0o700)
    assert_told(done, str(source), "permission denied", "TRAVELTIDE_SOURCE")
    assert "does not exist" not in done.stderr


def test_too_little_memory_is_told_with_its_setting(source: Path, tmp_path: Path) -> None:
    assert_told(traveltide(tmp_path, "run", TRAVELTIDE_MEMORY="1KB"), "TRAVELTIDE_MEMORY")


@pytest.mark.parametrize("port", ["taken", "70000", "http", "-1"])
def test_a_port_that_cannot_be_used_is_told(tmp_path: Path, port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = str(server.getsockname()[1])
        done = traveltide(tmp_path, "serve", "--port", taken if port == "taken" else port)
    assert done.returncode in (1, 2)
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr
