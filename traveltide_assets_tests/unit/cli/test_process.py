"""The process of a command: its status, and what is left out at its end."""

import subprocess
import sys
from pathlib import Path

import pytest

_PROCESS = """
import atexit, sys
from traveltide_assets.cli import process

class Held:
    def __del__(self):
        print("taken apart")

held = Held()

def main(prog_name):
    print("done")
    atexit.register(print, "tidied up")
    {end}

process.main = main
process.start()
"""


def _ended(end: str) -> subprocess.CompletedProcess[str]:
    code = [sys.executable, "-c", _PROCESS.format(end=end)]
    return subprocess.run(code, capture_output=True, text=True)


@pytest.mark.parametrize("status", [0, 1, 2, 130])
def test_a_process_ends_with_the_status_of_its_command(status: int) -> None:
    assert _ended(f"sys.exit({status})").returncode == status


def test_what_was_said_is_kept_and_what_was_registered_is_called() -> None:
    assert _ended("sys.exit(0)").stdout.splitlines() == ["done", "tidied up"]


def test_an_error_that_nobody_caught_is_told_as_always() -> None:
    ended = _ended("raise KeyError('lost')")

    assert ended.returncode == 1
    assert ended.stderr.endswith("KeyError: 'lost'\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_that_the_shell_has_closed_is_left_alone(closed: str) -> None:
    code = [sys.executable, "-c", _PROCESS.format(end="sys.exit(3)")]
    ended = subprocess.run(
        ["bash", "-c", f'"$@" {closed}', "bash", *code], capture_output=True, text=True
    )

    assert ended.returncode == 3
    assert ended.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no disk that is full")
def test_output_to_a_full_disk_is_told_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "traveltide_assets", "sample", "source", "--users", "20"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True
        )

    assert ended.returncode == 1
    assert ended.stderr.lstrip() == "error: output: No space left on device\n"
