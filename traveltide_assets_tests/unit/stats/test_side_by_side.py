"""Calls in several processes return what they would in one."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from joblib import cpu_count
from threadpoolctl import threadpool_info

from traveltide_assets.prediction.training import TooFewCustomers
from traveltide_assets.stats.side_by_side import ALONE, Processes, ProcessLost, every_core

NUMBERS = [(number, number) for number in range(20)]
# Without the guard that multiprocessing asks for.
SCRIPT = """
import os
from traveltide_assets.stats.side_by_side import Processes
print(*Processes(2).each(os.getpid, [()] * 4), flush=True)
"""


def fail(message: str) -> None:
    raise TooFewCustomers(message)


def blocked() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, []))


def end_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def threads() -> list[int]:
    import sklearn  # noqa: F401 - it loads the pools

    return [pool["num_threads"] for pool in threadpool_info()]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_results_are_in_the_order_of_the_calls(number: int) -> None:
    processes = Processes(number, ["json"])
    assert processes.each(operator.mul, NUMBERS) == [number * number for number, _ in NUMBERS]
    assert processes.each(operator.mul, []) == []


def test_another_process_makes_the_calls_unless_there_is_one_or_the_frames_are_large() -> None:
    own = {os.getpid()}
    calls = [()] * 4
    assert own.isdisjoint(Processes(2).each(os.getpid, calls))
    assert set(Processes(2).each(os.getpid, calls, rows=10**6)) == own
    assert set(ALONE.each(os.getpid, calls)) == own


def test_an_error_is_the_same_as_in_this_process_and_the_next_calls_are_made() -> None:
    for processes in (ALONE, Processes(2)):
        with pytest.raises(TooFewCustomers, match="nobody"):
            processes.each(fail, [("nobody",)])
        assert processes.each(operator.mul, NUMBERS[:3]) == [0, 1, 4]


def test_a_process_that_is_killed_is_told_and_the_next_calls_are_made() -> None:
    processes = Processes(2)
    with pytest.raises(ProcessLost, match="SIGKILL") as told:
        processes.each(end_itself, [(), ()])
    assert not told.value.permanent
    assert processes.each(operator.mul, NUMBERS[:3]) == [0, 1, 4]


def test_each_process_uses_one_thread() -> None:
    (found,) = Processes(2).each(threads, [()])
    assert found
    assert set(found) == {1}


def test_no_more_processes_than_cores_or_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert every_core() == 1  # As for all tests; see conftest.py.
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "64")
    assert 1 <= every_core() <= min(cpu_count(), 4)


@pytest.mark.parametrize("given", ["script", "standard input"])
def test_a_script_is_not_run_again_and_its_processes_end_with_it(
    tmp_path: Path, given: str
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    arguments = ["script.py"] if given == "script" else ["-"]
    run = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        input=SCRIPT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    (line,) = run.stdout.splitlines()
    assert run.stderr == ""
    assert not any(psutil.pid_exists(int(process)) for process in line.split())


def test_the_processes_of_one_that_is_killed_end_as_well(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"{SCRIPT}\nimport time; time.sleep(600)")
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pids = {int(pid) for pid in run.stdout.readline().split()}
        left = [psutil.Process(pid) for pid in pids]
        run.kill()
    assert left
    assert psutil.wait_procs(left, timeout=60)[1] == []


def test_ctrl_c_is_for_this_process_alone() -> None:
    (ignored,) = Processes(2, ["json"]).each(blocked, [()])
    assert signal.SIGINT in ignored
    assert signal.SIGINT not in blocked()
