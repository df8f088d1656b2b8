"""Bodies up to the limit, of every shape: each costs bounded memory and time.

`/health` is asked all the while. Memory is that of the service's own process and of those that it
started for batches, at their peaks.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks.hardening.scoring import (
    Running,
    as_json,
    copied_lake,
    features,
    history,
    lake_option,
    serving,
)
from benchmarks.hardening.tally import Tally

_LIMIT = 33_554_432
_MOST_TOLD = 20
_LONGEST_HEALTH = 5.0
_LONGEST_ANSWER = 45.0
# What the service holds before any body, the bodies in flight (128 MiB) and their copies.
_OWN_MB = 1_000
_AT_ONCE = 40


def _bodies() -> Iterator[tuple[str, bytes, set[int]]]:
    """Name, body and the statuses that are right."""

    def batch(customer: bytes, number: int) -> bytes:
        return b'{"customers":[' + b",".join([customer] * number) + b"]}"

    yield "200,000 empty customers", batch(b"{}", 200_000), {422}
    yield "1,000,000 empty customers", batch(b"{}", 1_000_000), {413, 422}
    yield "10,000 empty customers", batch(b"{}", 10_000), {422}
    names = b",".join(b'"f%d":0' % n for n in range(1_000_000))
    yield "1,000,000 unknown fields", b'{"features":{' + names + b"}}", {413, 422}
    yield "the same in a customer", batch(b'{"features":{' + names + b"}}", 1), {413, 422}
    few = b",".join(b'"f%d":0' % n for n in range(90))
    yield "10,000 times 90 unknown", batch(b'{"features":{' + few + b"}}", 10_000), {413, 422}
    yield "33 MB of blanks", b" " * _LIMIT, {422}
    yield "33 MB of one text", b'{"features":"' + b"a" * (_LIMIT - 20) + b'"}', {422}
    yield "33 MB of one name", b'{"' + b"a" * (_LIMIT - 20) + b'":1}', {422}
    yield "33 MB of one number", b'{"features":' + b"9" * (_LIMIT - 20) + b"}", {422}
    yield "deeply nested", b"[" * 1_000_000, {413, 422}
    yield "a wide list of nothing", b"[" + b"0," * 16_000_000 + b"0]", {413, 422}
    yield "rows beyond the limit", as_json(history(sessions=90_000)), {413, 422}
    empty_rows = b'{"history":{"profile":{},"sessions":[' + b",".join([b"{}"] * 990) + b"]}}"
    yield "customers of empty rows", batch(empty_rows, 1_000), {422}
    yield "a full batch by features", as_json({"customers": [*map(features, range(10_000))]}), {200}
    yield "a batch of 2,000 by rows", batch(as_json(history()), 2_000), {200, 504}
    yield "a body beyond the limit", b" " * (_LIMIT + 1), {413}


class Watch:
    """Peaks while something happens: of memory, and of the wait for `/health`."""

    def __init__(self, service: Running) -> None:
        self._service = service
        self.own_mb = self.workers_mb = 0
        self.health = 0.0

    def _look(self) -> None:
        self.own_mb = max(self.own_mb, self._service.memory_mb)
        self.workers_mb = max(self.workers_mb, self._service.workers_mb)

    @contextmanager
    def watching(self) -> Iterator[None]:
        done = threading.Event()

        def memory() -> None:
            while not done.wait(0.05):
                self._look()

        def health() -> None:
            while not done.wait(0.2):
                start = time.monotonic()
                with contextlib.suppress(OSError):
                    self._service.get("/health", seconds=60)
                self.health = max(self.health, time.monotonic() - start)

        threads = [threading.Thread(target=memory), threading.Thread(target=health)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join()


def _one(tally: Tally, service: Running, name: str, body: bytes, right: set[int]) -> None:
    watch, start = Watch(service), time.monotonic()
    with watch.watching():
        try:
            status, text = service.send("POST", "/perk", body, seconds=120)
        except OSError:
            # The service may answer and close before the whole body is sent.
            status, text = (413, b"") if 413 in right else (0, b"")
    took = time.monotonic() - start
    told = text.count(b'"loc"')
    facts = (
        f"{status}, {len(text):,} bytes, {told} problems, {took:.1f} s, "
        f"/health {watch.health:.1f} s, {watch.own_mb} MB and {watch.workers_mb} MB"
    )
    print(f"  {name} ({len(body) / 1e6:.1f} MB): {facts}", flush=True)
    survived = (
        status in right
        and told <= _MOST_TOLD
        and took <= _LONGEST_ANSWER
        and watch.health <= _LONGEST_HEALTH
        and watch.own_mb <= _OWN_MB
    )
    tally.add(name, survived, facts)


def _many(tally: Tally, service: Running) -> None:
    """40 bodies of 32 MB at once."""
    body = b" " * (_LIMIT - 1)
    watch = Watch(service)
    statuses: list[int] = []

    def send(_: int) -> None:
        try:
            statuses.append(service.send("POST", "/perk", body, seconds=120)[0])
        except OSError:
            # Refused while it was still sending.
            statuses.append(503)

    with watch.watching(), ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(send, range(_AT_ONCE)))
    counted = {status: statuses.count(status) for status in sorted(set(statuses))}
    facts = f"{counted}, /health {watch.health:.1f} s, {watch.own_mb} MB and {watch.workers_mb} MB"
    print(f"  {_AT_ONCE} bodies of 32 MB at once: {facts}", flush=True)
    survived = set(counted) <= {422, 503, 504} and watch.own_mb <= _OWN_MB
    tally.add(f"{_AT_ONCE} bodies of 32 MB at once", survived, facts)


def main() -> None:
    tally = Tally("large bodies")
    with copied_lake(lake_option(__doc__)) as folder, serving(folder) as service:
        for name, body, right in _bodies():
            _one(tally, service, name, body, right)
        _many(tally, service)
        tally.add("it still answers", service.send("POST", "/perk", as_json(features(1)))[0] == 200)
        tally.add("a batch too", service.send("POST", "/perk", as_json(history()))[0] == 200)
    tally.show()


if __name__ == "__main__":
    main()
