"""Files of a release are damaged under the running service: no answer is wrong.

300 damages, to every file that the service reads of the current release, in turn. The service must
answer as before or say that it cannot, for as long as the damage lasts, whether it was running or
is started on it; and it must be well again once the file is.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from benchmarks.hardening.scoring import copied_lake, features, lake_option
from benchmarks.hardening.tally import Tally
from traveltide_assets.campaign.release_files import (
    ASSIGNMENTS,
    CAMPAIGN,
    CATALOGUE,
    PREDICTOR,
    SEGMENTS,
)
from traveltide_assets.lake.release import FOLDER, MANIFEST, Releases
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.resources import open_lake
from traveltide_assets.serving.app import build_app
from traveltide_assets.serving.service import Service
from traveltide_assets.settings import Settings

_DAMAGES = 300
_CUSTOMERS = 60
_SEED = 11
_WAIT = 60.0
Damage = Callable[[random.Random, bytes], bytes]


def _flip(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]


def _cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def _zeros(rng: random.Random, content: bytes) -> bytes:
    length = min(len(content), rng.choice((16, 512, 4_096)))
    at = rng.randrange(len(content) - length + 1)
    return content[:at] + bytes(length) + content[at + length :]


_KINDS: dict[str, Damage] = {"a bit flipped": _flip, "cut": _cut, "zeros": _zeros}


def _answers(client: TestClient, customers: list[int]) -> list[Any]:
    """What the service says, without the time. None for what it says it cannot answer."""
    asked: list[tuple[str, str, Any]] = [
        ("GET", f"/customers/{user}/perk", None) for user in customers
    ]
    asked += [("GET", "/perks", None)]
    asked += [("POST", "/perk", features(number)) for number in range(10)]
    found = [client.request(method, path, json=body) for method, path, body in asked]
    return [None if answer.status_code == 503 else answer.text for answer in found]


def _wrong(found: list[Any], right: list[Any]) -> int:
    return sum(one not in (None, other) for one, other in zip(found, right, strict=True))


def _files(lake: Path) -> list[Path]:
    """What the service reads: the record of the latest month, the manifest and five files."""
    release = Releases(Folder(lake)).current()
    folder = Path(release.uri())
    read = (MANIFEST, PREDICTOR, CATALOGUE, ASSIGNMENTS, SEGMENTS, CAMPAIGN)
    return [lake / FOLDER / f"{release.month}.json", *(folder / name for name in read)]


def _attempts(lake: Path) -> Iterator[tuple[str, Damage, Path]]:
    files = _files(lake)
    for number in range(_DAMAGES):
        kind = list(_KINDS)[number % len(_KINDS)]
        yield kind, _KINDS[kind], files[(number // len(_KINDS)) % len(files)]


def _customers(lake: Path, settings: Settings) -> list[int]:
    service = Service(open_lake(settings), settings.serving)
    service.refresh()
    if service.snapshot is None:
        raise RuntimeError(f"{lake} has no release")
    return [int(user) for user in service.snapshot.assigned.user_id[:_CUSTOMERS]]


def main() -> None:
    given = lake_option(__doc__)
    tally = Tally(f"{_DAMAGES} damages of what is served")
    rng = random.Random(_SEED)  # noqa: S311
    with copied_lake(given) as folder:
        lake = folder / "lake"
        settings = Settings(lake=lake, home=folder / "home", serving={"poll_seconds": 0.05})
        customers = _customers(lake, settings)
        app = build_app(open_lake(settings), settings)
        service: Service = app.state.service
        with TestClient(app) as client:
            right = _answers(client, customers)
            for kind, damage, file in _attempts(lake):
                sound = file.read_bytes()
                file.write_bytes(damage(rng, sound))
                # The running service looks at it; one that is started now has nothing else.
                service.refresh()
                running = _wrong(_answers(client, customers), right)
                fresh = Service(open_lake(settings), settings.serving)
                fresh.refresh()
                held, service.snapshot = service.snapshot, fresh.snapshot
                started = _wrong(_answers(client, customers), right)
                service.snapshot = held
                file.write_bytes(sound)
                service.refresh()
                well = _is_well(client)
                problem = f"{file.relative_to(lake)}: {running} and {started} wrong, well: {well}"
                tally.add(kind, running == started == 0 and well, problem)
            tally.add("all answers as at first", _answers(client, customers) == right)
    tally.show()


def _is_well(client: TestClient) -> bool:
    end = time.monotonic() + _WAIT
    while time.monotonic() < end:
        answer = client.get("/ready")
        if answer.status_code == 200 and json.loads(answer.text)["warning"] is None:
            return True
        time.sleep(0.05)
    return False


if __name__ == "__main__":
    main()
