"""Processes for large questions: answered in turn, ended when late, replaced when gone."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import psutil
import pytest

from traveltide_assets.serving import workers as module
from traveltide_assets.serving.budget import Budget, NoRoom
from traveltide_assets.serving.config import Config
from traveltide_assets.serving.prometheus import Metrics
from traveltide_assets.serving.workers import Answer, Busy, Ended, Worker, Workers

DONE = Answer(200, 1, False, b"{}")


class Fake:
    """A process that works as its question says."""

    def __init__(self) -> None:
        self.alive = True

    @classmethod
    async def start(cls, _: Config) -> Fake:
        return cls()

    async def take(self, _: Any) -> None:
        """Any model will do."""

    async def ask(self, body: bytes) -> Answer:
        if body == b"slow":
            await asyncio.sleep(60)
        if body == b"dies":
            raise Ended
        return Answer(413, 0, True, b"{}") if body == b"huge" else DONE

    async def stop(self) -> None:
        self.alive = False


def ended(metrics: Metrics) -> float:
    reasons = ("TimeoutError", "Ended", "MemoryError", "CancelledError")
    found = (
        metrics.registry.get_sample_value("traveltide_workers_ended_total", {"reason": reason})
        for reason in reasons
    )
    return sum(value or 0 for value in found)


def run(monkeypatch: pytest.MonkeyPatch, scenario: Any, **settings: Any) -> float:
    """Run a scenario with a pool of fakes; the number of processes that were ended over it."""
    monkeypatch.setattr(module, "Worker", Fake)
    metrics = Metrics(lambda: None, ())

    async def with_pool() -> None:
        pool = Workers(Config(**{"workers": 1, "work_seconds": 0.05, **settings}), metrics)
        pool.start()
        await scenario(pool)
        await pool.stop()

    asyncio.run(with_pool())
    return ended(metrics)


@pytest.mark.parametrize(
    ("body", "error"), [(b"slow", TimeoutError), (b"dies", Ended), (b"huge", None)]
)
def test_a_process_that_is_late_or_gone_or_full_is_replaced(
    monkeypatch: pytest.MonkeyPatch, body: bytes, error: type[Exception] | None
) -> None:
    async def scenario(pool: Any) -> None:
        if error is None:
            assert (await pool.ask(None, body)).status == 413
        else:
            with pytest.raises(error):
                await pool.ask(None, body)
        # The one behind it does not suffer.
        assert await pool.ask(None, b"") == DONE

    assert run(monkeypatch, scenario) == 1


def test_a_question_that_nobody_waits_for_ends_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(pool: Any) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await pool.ask(None, b"slow")
        assert await pool.ask(None, b"") == DONE

    assert run(monkeypatch, scenario, work_seconds=30) == 1


def test_more_questions_than_may_wait_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(pool: Any) -> None:
        asked = [asyncio.create_task(pool.ask(None, b"slow")) for _ in range(4)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        kinds = [type(result) for result in results]
        assert kinds.count(Busy) >= 1
        assert kinds.count(TimeoutError) >= 2

    run(monkeypatch, scenario, max_waiting=2)


def test_a_process_that_ended_while_idle_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(pool: Any) -> None:
        await asyncio.sleep(0)
        worker = await pool._free.get()
        worker.alive = False
        pool._free.put_nowait(worker)
        assert await pool.ask(None, b"") == DONE

    assert run(monkeypatch, scenario) == 1


def test_bodies_share_a_budget_and_give_it_back() -> None:
    budget = Budget(100)
    one, other = budget.share(), budget.share()
    one.take(60)
    with pytest.raises(NoRoom):
        other.take(60)
    other.take(40)
    assert budget.held == 100
    one.give_back()
    one.give_back()
    assert budget.held == 40
    other.give_back()
    assert budget.held == 0


def test_ctrl_c_in_the_terminal_of_the_service_does_not_reach_its_processes() -> None:
    async def groups() -> set[int]:
        before = set(psutil.Process().children())
        worker = await Worker.start(Config())
        started = set(psutil.Process().children()) - before
        found = {os.getpgid(child.pid) for child in started}
        await worker.stop()
        return found

    found = asyncio.run(groups())
    assert found
    assert os.getpgrp() not in found
