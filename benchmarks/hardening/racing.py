"""Two and three runs at once on one lake, and runs that are paused, on a folder and on S3.

However they meet, the lake and the release must be of one decision in the end, and a run that did
not decide must say why. A process id namespace of its own stands for another machine: processes of
different ones do not see each other.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress

import psutil

from benchmarks.hardening.lakes import Place, place_in
from benchmarks.hardening.tally import Tally

_KINDS = ("folder", "s3")
_PAUSES = (0.15, 0.5, 0.85)
_ELSEWHERE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
State = tuple[Mapping[str, str], str | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--on", choices=_KINDS, nargs="+", default=_KINDS)
    options = parser.parse_args()
    tally = Tally("racing and paused runs")
    for kind in options.on:
        with place_in(kind) as place:
            _Race(place, kind, tally).attack()
    tally.show()


class _Race:
    def __init__(self, place: Place, kind: str, tally: Tally) -> None:
        self._place, self._kind, self._tally = place, kind, tally
        self._expected: dict[str, State] = {}
        self._changes = 0

    def attack(self) -> None:
        for decision in "ABA":  # What is promoted may depend on what was there before.
            before = self._place.versions()
            self._place.run(decision)
            self._changes = self._changed(before)
            self._expected[decision] = self._state()
        self._at_once("two at once", "BA")
        self._at_once("three at once, one does not wait", "BAB", TRAVELTIDE_LEASE__WAIT_SECONDS="0")
        for number, part in enumerate(_PAUSES):
            self._paused(part, *("AB", "BA")[number % 2])
        if _can_be_elsewhere():
            for number, part in enumerate(_PAUSES):
                self._paused_elsewhere(part, *("BA", "AB")[number % 2])
        else:
            print("no right to a process id namespace here: no other machine is tried")

    def _at_once(self, name: str, decisions: str, **last: str) -> None:
        """Start a run per decision at the same moment, the last one with other settings."""
        runs = [
            self._start(n, decision, **(last if n == len(decisions) - 1 else {}))
            for n, decision in enumerate(decisions)
        ]
        said = [self._end(n, run) for n, run in enumerate(runs)]
        done = {decisions[n] for n, (code, _) in enumerate(said) if code == 0}
        told = all(code == 0 or (code == 1 and "is in use by run" in text) for code, text in said)
        now = self._decision()
        self._add(name, now in done and told, f"{now} in the lake, of {done}: {said}")

    def _paused(self, part: float, paused: str, other: str) -> None:
        """Stop a run on its way; another one ends with who is stopped, and the first goes on."""
        first = self._start(0, paused)
        if not self._pause(first, part):
            return
        second = self._start(1, other, TRAVELTIDE_LEASE__WAIT_SECONDS="3")
        code, said = self._end(1, second)
        _signal(first, signal.SIGCONT)
        ended, text = self._end(0, first)
        told = code == 1 and "is in use by run" in said and "kill -CONT" in said
        now = self._decision()
        problem = f"{now} in the lake; {code}: {said}; the paused one {ended}: {text}"
        self._add("one paused", told and ended == 0 and now == paused, problem)

    def _paused_elsewhere(self, part: float, paused: str, other: str) -> None:
        """Stop a run of another machine; another one takes over, and the first must not go on.

        The other machine has a history of its own: the run that is stopped may have locked it.
        """
        history = str(self._place.folder / "elsewhere")
        first = self._start(0, paused, *_ELSEWHERE, DAGSTER_HOME=history)
        if not self._pause(first, part):
            return
        second = self._start(1, other, TRAVELTIDE_LEASE__STALE_SECONDS="6")
        code, said = self._end(1, second)
        _signal(first, signal.SIGCONT)
        ended, text = self._end(0, first)
        told = ended == 1 and "the lease of" in text and "Traceback" not in text
        now = self._decision()
        problem = f"{now} in the lake; {code}: {said}; the paused one {ended}: {text}"
        self._add("one paused elsewhere, taken over", told and code == 0 and now == other, problem)

    def _start(
        self, number: int, decision: str, *prefix: str, **changes: str
    ) -> subprocess.Popen[str]:
        log = self._place.folder / f"{number}.log"
        return self._place.start(decision, log, *prefix, **changes)

    def _pause(self, run: subprocess.Popen[str], part: float) -> bool:
        """Stop a run once it has replaced a part of its files. False if it has ended before."""
        before = self._place.versions()
        while self._changed(before) < part * self._changes and run.poll() is None:
            time.sleep(0.1)
        _signal(run, signal.SIGSTOP)
        if run.poll() is None:
            return True
        print(f"{self._kind}: a run had ended before it was paused")
        return False

    def _changed(self, before: Mapping[str, str]) -> int:
        return len({*self._place.versions().items()} - {*before.items()})

    def _end(self, number: int, run: subprocess.Popen[str]) -> tuple[int, str]:
        """The exit code of a run, and what it said."""
        code = run.wait(timeout=1_200)
        return code, (self._place.folder / f"{number}.log").read_text()

    def _state(self) -> State:
        return self._place.digests(), self._place.release()

    def _decision(self) -> str | None:
        """The decision whose bytes are in the lake; None if it is a mixture."""
        now = self._state()
        return next((name for name, state in self._expected.items() if state == now), None)

    def _add(self, name: str, survived: bool, problem: str) -> None:
        self._tally.add(f"{self._kind}: {name}", survived, problem)


def _can_be_elsewhere() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*_ELSEWHERE, "true"], check=False).returncode == 0


def _signal(run: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(run.pid)
        for process in [parent, *parent.children(recursive=True)]:
            process.send_signal(number)


if __name__ == "__main__":
    main()
