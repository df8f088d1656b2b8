"""The process of a command: its status, and what is left out at its end."""

import subprocess
import sys

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
