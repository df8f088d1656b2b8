"""Of several runs one holds the lease, whatever they do; who lost it writes nothing."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from traveltide_assets.lake.config import Lease as Config
from traveltide_assets.lake.lease import KEY, Holder, LakeBusy, Lease, LeaseLost, this_machine
from traveltide_assets.lake.storage.base import Conflict, StorageError
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.schema.places import PlaceError
from traveltide_assets_tests.support.small_lake import SNAPSHOT, lake_in, things

STALE = 60
CONFIG = Config(wait_seconds=0, stale_seconds=STALE)
NOBODY = 2**22  # Above the largest process id that Linux gives.


class Clock:
    """A clock that only moves when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "lake")


def lease(folder: Folder, machine: str | None = None, clock: Clock | None = None) -> Lease:
    return Lease(folder, CONFIG, machine, clock or Clock())


def take(lease: Lease, owner: str) -> Holder | None:
    return lease.attempt(lease.claim(owner, "a job"))


def watch(lease: Lease, owner: str, clock: Clock, seconds: int) -> bool:
    """Look every few seconds whether the lease can be had."""
    for _ in range(seconds):
        if take(lease, owner) is None:
            return True
        clock.now += 1
    return False


def of_process(lease: Lease, owner: str, pid: int) -> Holder:
    return lease.claim(owner, "a job").model_copy(update={"pid": pid})


def quiet(_: str) -> None:
    pass


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until the test kills it."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


# Who holds it


def test_the_second_is_told_who_holds_it_until_the_first_lets_go(folder: Folder) -> None:
    first, second = lease(folder), lease(folder)
    assert take(first, "one") is None
    holder = take(second, "two")
    assert holder is not None
    assert (holder.owner, holder.pid) == ("one", os.getpid())
    assert "run one (a job) of process" in str(holder)
    first.release("one")
    assert first.holder is None
    assert take(second, "two") is None


def test_nothing_stays_in_the_lake_once_it_is_released(folder: Folder, tmp_path: Path) -> None:
    held = lease(folder)
    with held.held("one", "a job", quiet):
        assert [path.name for path in (tmp_path / "lake").iterdir()] == [KEY]
    assert list((tmp_path / "lake").iterdir()) == []


def test_who_waits_says_for_whom_and_ends_with_it(folder: Folder) -> None:
    assert take(lease(folder), "one") is None
    said: list[str] = []
    with (
        pytest.raises(LakeBusy, match=r"in use by run one \(a job\) of process \d+ on .*, since"),
        Lease(folder, Config(wait_seconds=1)).held("two", "a job", said.append),
    ):
        pass
    assert len(said) == 1
    assert said[0].startswith("waiting for run one (a job) of process")


def test_a_stopped_holder_keeps_it_and_the_message_says_how_to_continue_it(
    folder: Folder, process: subprocess.Popen[bytes]
) -> None:
    first = lease(folder)
    assert first.attempt(of_process(first, "one", process.pid)) is None
    process.send_signal(19)  # SIGSTOP
    while Path(f"/proc/{process.pid}/stat").read_text().split()[2] != "T":
        time.sleep(0.01)
    waiting = pytest.raises(LakeBusy, match=f"kill -CONT {process.pid}")
    with waiting, lease(folder).held("two", "a job", quiet):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b'{"owner": "one"}'])
def test_a_lease_that_cannot_be_understood_is_nobodys_and_says_what_to_do(
    folder: Folder, content: bytes
) -> None:
    folder.swap(KEY, content, None)
    with pytest.raises(StorageError, match=r"_lease\.json cannot be understood.*remove that file"):
        take(lease(folder), "one")


@pytest.mark.parametrize("trouble", [PlaceError("the disk is full"), OSError("gone")])
def test_a_sign_of_life_that_fails_is_given_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """Whatever a place refuses, the next beat tries once more, and the run goes on meanwhile."""
    swap, troubles = Folder.swap, [trouble, trouble]

    def sometimes(self: Folder, key: str, content: bytes | None, version: str | None) -> None:
        if version is not None and content is not None and troubles:
            raise troubles.pop()
        swap(self, key, content, version)

    monkeypatch.setattr(Folder, "swap", sometimes)
    # The shortest that the settings allow would take seconds.
    often = Lease(folder, Config.model_construct(wait_seconds=0, stale_seconds=cast("int", 0.2)))
    with often.held("one", "a job", quiet):
        first = often.holder
        deadline = time.monotonic() + 10
        while often.holder == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not troubles
        assert often.holder != first


# Taking over


def test_a_holder_whose_process_ended_is_replaced_at_once(
    folder: Folder, process: subprocess.Popen[bytes]
) -> None:
    first = lease(folder)
    assert first.attempt(of_process(first, "one", process.pid)) is None
    assert take(lease(folder), "two") is not None
    process.kill()
    process.wait()
    assert take(lease(folder), "two") is None


def test_a_process_with_the_same_id_that_began_later_is_another(
    folder: Folder, process: subprocess.Popen[bytes]
) -> None:
    first = lease(folder)
    before = of_process(first, "one", process.pid).model_copy(update={"since": time.time() - 3_600})
    assert first.attempt(before) is None
    assert take(lease(folder), "two") is None


def test_a_holder_elsewhere_is_replaced_once_nothing_has_changed_for_long_enough(
    folder: Folder,
) -> None:
    clock = Clock()
    first, second = lease(folder, "here"), lease(folder, "there", clock)
    assert take(first, "one") is None
    for _ in range(3):
        assert not watch(second, "two", clock, STALE)
        first.renew("one")
    assert not watch(second, "two", clock, STALE)
    assert watch(second, "two", clock, 1)


def test_who_did_not_look_for_a_while_knows_nothing_of_that_time(folder: Folder) -> None:
    clock = Clock()
    first, second = lease(folder, "here"), lease(folder, "there", clock)
    assert take(first, "one") is None
    assert not watch(second, "two", clock, STALE // 2)
    clock.now += STALE
    assert not watch(second, "two", clock, STALE)
    assert watch(second, "two", clock, 1)


def test_clocks_of_two_machines_are_not_compared(folder: Folder) -> None:
    first = lease(folder, "here")
    ages_ago = first.claim("one", "a job").model_copy(update={"since": 0.0})
    assert first.attempt(ages_ago) is None
    assert take(lease(folder, "there"), "two") is not None


def test_a_process_id_means_nothing_on_another_machine(folder: Folder) -> None:
    first = lease(folder, "here")
    assert first.attempt(of_process(first, "one", NOBODY)) is None
    assert take(lease(folder, "there"), "two") is not None
    assert take(lease(folder, "here"), "two") is None


def test_of_two_who_take_over_one_gets_it(folder: Folder) -> None:
    first = lease(folder, "here")
    assert first.attempt(of_process(first, "one", NOBODY)) is None
    found = folder.look(KEY)
    assert found is not None
    assert take(lease(folder, "here"), "two") is None
    with pytest.raises(Conflict):
        folder.swap(KEY, b"three", found[1])
    holder = lease(folder).holder
    assert holder is not None
    assert holder.owner == "two"


def test_this_machine_is_the_same_for_every_process_of_it() -> None:
    code = "from traveltide_assets.lake.lease import this_machine; print(this_machine())"
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == this_machine()


# Fencing


def test_who_lost_the_lease_writes_and_removes_nothing(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "lake")
    first, second = lease(folder, "here"), lease(folder, "there", clock := Clock())
    assert take(first, "one") is None
    lake = lake_in(tmp_path)
    ours = lake.fenced(partial(first.check, "one"))
    ours.write(SNAPSHOT, things("a"))
    ours.write_text("gold/mails", "2023-07", "a.csv", "1")
    assert watch(second, "two", clock, STALE + 1)
    for write in (
        partial(ours.write, SNAPSHOT, things("b")),
        partial(ours.write_text, "gold/mails", "2023-07", "a.csv", "2"),
        partial(ours.remove, "gold/mails", "2023-07", "a.csv"),
        partial(ours.releases.add, "2023-07", {"report.html": b"2"}, {}, {}),
    ):
        with pytest.raises(LeaseLost, match="now held by run two") as lost:
            write()
        assert lost.value.permanent
    assert list(lake.frame(SNAPSHOT.path)["key"]) == ["a"]
    assert lake.read_bytes("gold/mails", "2023-07", "a.csv") == b"1"
    with pytest.raises(LeaseLost):
        first.renew("one")
    first.release("one")
    assert second.holder is not None


def test_a_run_whose_lease_was_removed_by_hand_writes_nothing(
    folder: Folder, tmp_path: Path
) -> None:
    held = lease(folder)
    assert take(held, "one") is None
    (tmp_path / "lake" / KEY).unlink()
    with pytest.raises(LeaseLost, match="was removed"):
        held.check("one")


def test_nobody_takes_over_between_the_check_and_the_write(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "lake")
    held = lease(folder, "here")
    assert take(held, "one") is None
    found = folder.look(KEY)
    assert found is not None
    code = f"""
from pathlib import Path
from typing import cast
from traveltide_assets.lake.storage.folder import Folder
print("ready", flush=True)
Folder(Path({str(tmp_path / "lake")!r})).swap("{KEY}", b"two", "{found[1]}")
print("done", flush=True)
"""
    stored = tmp_path / "lake" / "file"

    def start_other() -> None:
        held.check("one")
        other.append(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE))
        assert line_of(other[0]) == b"ready\n"
        time.sleep(0.5)
        assert held.holder is not None
        assert not stored.exists()

    other: list[subprocess.Popen[bytes]] = []
    with folder.fenced(start_other).replacing("file", None) as path:
        path.write_bytes(b"one")
    assert stored.exists()
    assert line_of(other[0]) == b"done\n"
    assert other[0].wait() == 0


def line_of(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def test_the_fence_travels_to_the_machines_of_a_cluster(folder: Folder) -> None:
    held = Lease(folder, CONFIG)
    assert take(held, "one") is None
    fence = pickle.loads(pickle.dumps(partial(held.check, "one")))  # noqa: S301
    fence()
    held.release("one")
    with pytest.raises(LeaseLost):
        fence()


class Machines(RuleBasedStateMachine):
    """Runs on several machines take, renew, pause, die and write in any order."""

    runs = st.integers(0, 4)

    @initialize()
    def begin(self) -> None:
        self.place = tempfile.TemporaryDirectory()
        self.folder = Folder(Path(self.place.name))
        self.clock = Clock()
        # Two runs on one machine, and three on others.
        self.leases = [lease(self.folder, str(max(n, 1)), self.clock) for n in range(5)]
        self.dead: set[int] = set()
        self.holding: int | None = None
        self.last_sign = 0.0

    def teardown(self) -> None:
        if hasattr(self, "place"):
            self.place.cleanup()

    def _sees_end_of(self, run: int) -> bool:
        assert self.holding is not None
        return max(run, 1) == max(self.holding, 1)

    @rule(run=runs)
    def attempt(self, run: int) -> None:
        if run in self.dead or run == self.holding:
            return
        found = self.leases[run]
        pid = os.getpid()
        if found.attempt(of_process(found, str(run), pid)) is None:
            if self.holding is not None:
                gone = self.holding in self.dead and self._sees_end_of(run)
                # Its own clock is the only one that it goes by.
                assert gone or self.clock.now - self.last_sign >= STALE
            self.holding, self.last_sign = run, self.clock.now

    @rule()
    def renew(self) -> None:
        if self.holding is not None and self.holding not in self.dead:
            self.leases[self.holding].renew(str(self.holding))
            self.last_sign = self.clock.now

    @rule()
    def die(self) -> None:
        """The holder's process ends: those of its machine see another process id, or none."""
        if self.holding is not None and self.holding not in self.dead:
            found = self.folder.look(KEY)
            assert found is not None
            holder = Holder.model_validate_json(found[0]).model_copy(update={"pid": NOBODY})
            self.folder.swap(KEY, holder.model_dump_json().encode(), found[1])
            self.last_sign = self.clock.now
            self.dead.add(self.holding)

    @rule()
    def release(self) -> None:
        if self.holding is not None and self.holding not in self.dead:
            self.leases[self.holding].release(str(self.holding))
            self.holding = None

    @rule(seconds=st.integers(1, 2 * STALE), run=runs)
    def wait(self, seconds: int, run: int) -> None:
        """Time passes, while a run looks every ten seconds."""
        for _ in range(0, seconds, 10):
            self.attempt(run)
            self.clock.now += 10

    @rule(run=runs)
    def write(self, run: int) -> None:
        """A write succeeds for the holder, and for nobody else."""
        try:
            self.leases[run].check(str(run))
            wrote = True
        except LeaseLost:
            wrote = False
        assert wrote == (run == self.holding)

    @invariant()
    def the_lake_says_who_holds_it(self) -> None:
        if hasattr(self, "leases"):
            holder = self.leases[0].holder
            assert (holder and holder.owner) == (
                None if self.holding is None else str(self.holding)
            )


TestMachines = Machines.TestCase
