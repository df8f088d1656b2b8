"""What stays in service when the lake changes, is away, or cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from traveltide_assets.serving import scorer
from traveltide_assets.serving.config import Config
from traveltide_assets.serving.scorer import NotUsable
from traveltide_assets.serving.service import AWAY, EMPTY, UNUSABLE, Service


def standing(running: Service) -> tuple[Any, str | None]:
    """What is in service, and what is wrong."""
    return running.snapshot, running.problem


@dataclass(frozen=True)
class Stored:
    """A snapshot without content."""

    state: Any
    scorer: None = None


class Lake:
    """A lake whose next look and load are given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state: Any = ("one",)
        self.looks: Callable[[], None] = lambda: None
        self.content: Callable[[], Any] = lambda: Stored(self.state)
        self.loads = 0
        monkeypatch.setattr(scorer, "look", self._look)
        monkeypatch.setattr(scorer, "load", self._load)

    def _look(self, _: Any) -> Any:
        self.looks()
        return self.state

    def _load(self, *_: Any) -> Any:
        self.loads += 1
        return self.content()


def fails(error: Exception) -> Callable[[], Any]:
    def raised() -> Any:
        raise error

    return raised


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch) -> Lake:
    return Lake(monkeypatch)


@pytest.fixture
def running(lake: Lake) -> Service:
    return Service(lake, Config(poll_seconds=2))  # type: ignore[arg-type]


def test_a_first_load_that_fails_is_tried_again_with_growing_pauses(
    lake: Lake, running: Service
) -> None:
    lake.content = fails(OSError("cut short"))
    pauses = []
    for _ in range(8):
        running.refresh()
        pauses.append(running._pause())
    assert standing(running) == (None, AWAY)
    assert pauses == [4, 8, 16, 32, 60, 60, 60, 60]
    lake.content = lambda: Stored(lake.state)
    running.refresh()
    assert standing(running) == (Stored(("one",)), None)
    assert running._pause() == 2


@pytest.mark.parametrize("error", [OSError("away"), ValueError("damaged"), MemoryError()])
def test_a_take_over_that_fails_leaves_the_old_and_is_tried_again(
    lake: Lake, running: Service, error: Exception
) -> None:
    running.refresh()
    lake.state, lake.content = ("two",), fails(error)
    running.refresh()
    assert standing(running) == (Stored(("one",)), AWAY)
    lake.content = lambda: Stored(lake.state)
    running.refresh()
    assert standing(running) == (Stored(("two",)), None)


def test_a_lake_that_is_empty_or_away_leaves_what_is_in_service(
    lake: Lake, running: Service
) -> None:
    running.refresh()
    confirmed = running.confirmed
    lake.state, lake.content = (), lambda: None
    running.refresh()
    assert standing(running) == (Stored(("one",)), EMPTY)
    lake.looks = fails(PermissionError("no"))
    running.refresh()
    assert standing(running) == (Stored(("one",)), AWAY)
    assert running.confirmed == confirmed
    lake.state, lake.looks = ("one",), lambda: None
    running.refresh()
    assert standing(running) == (Stored(("one",)), None)
    assert lake.loads == 2


def test_what_cannot_be_used_is_not_loaded_again_until_it_changes(
    lake: Lake, running: Service
) -> None:
    running.refresh()
    lake.state, lake.content = ("bad",), fails(NotUsable("parts do not fit"))
    for _ in range(3):
        running.refresh()
    assert standing(running) == (Stored(("one",)), UNUSABLE)
    assert lake.loads == 2
    lake.state, lake.content = ("good",), lambda: Stored(("good",))
    running.refresh()
    assert standing(running) == (Stored(("good",)), None)


def test_an_empty_lake_at_first_is_no_problem(lake: Lake, running: Service) -> None:
    lake.state, lake.content = (), lambda: None
    running.refresh()
    assert standing(running) == (None, None)
    assert running.age() is None


def test_the_age_is_since_the_last_look_that_confirmed_it(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr("traveltide_assets.serving.service.time.time", lambda: now[0])
    running = Service(lake, Config(max_age_seconds=60))  # type: ignore[arg-type]
    running.refresh()
    now[0] += 50
    running.refresh()
    assert running.age() == 0
    lake.looks = fails(OSError("away"))
    now[0] += 61
    running.refresh()
    assert (running.age(), running.stale) == (61, True)
    text = running.metrics.registry
    assert text.get_sample_value("traveltide_snapshot_age_seconds") == 61
    assert text.get_sample_value("traveltide_lake_problem", {"problem": AWAY}) == 1
    assert text.get_sample_value("traveltide_snapshot_loaded_timestamp_seconds") == 1_000
