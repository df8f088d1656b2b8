"""The scoring service as an attack finds it: in a process of its own, over a small lake."""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.hardening.commands import MONTHS, command, environment, small_source, traveltide

CUSTOMERS = 600


@dataclass(frozen=True)
class Running:
    """A running service: its port, and its process with those that it started."""

    port: int
    process: psutil.Process
    log: Path

    def get(self, path: str, seconds: float = 30) -> tuple[int, bytes]:
        """Status and body of a GET."""
        return self.send("GET", path, seconds=seconds)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        seconds: float = 60,
        **headers: str,
    ) -> tuple[int, bytes]:
        """Status and body of the answer. `OSError` if there is none in time."""
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as response:  # noqa: S310
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    @property
    def memory_mb(self) -> int:
        """Memory of the service's own process."""
        return int(self.process.memory_info().rss / 1e6)

    @property
    def workers_mb(self) -> int:
        """Memory of the processes that it started, together."""
        total = 0
        for child in self.process.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += child.memory_info().rss
        return int(total / 1e6)


def lake_option(description: str | None) -> Path | None:
    """The lake given on the command line; None: a small one is to be made."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--lake", type=Path, help="a decided lake (default: a new one)")
    found: Path | None = parser.parse_args().lake
    return found


@contextmanager
def copied_lake(given: Path | None) -> Iterator[Path]:
    """A folder with a lake of its own: a copy of the given one, or that of a small run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given is not None:
            shutil.copytree(given, folder / "lake")
        else:
            source = small_source(folder / "source", CUSTOMERS)
            env = environment(folder, TRAVELTIDE_SOURCE=str(source))
            done = traveltide(env, "run", "--month", MONTHS[-1])
            if done.code != 0:
                raise RuntimeError(f"no lake: {done.output}")
        yield folder


@contextmanager
def serving(folder: Path, open_files: int | None = None, **settings: str) -> Iterator[Running]:
    """The service over the lake in a folder, once it is ready. `open_files` is its hard limit."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    changes = {f"TRAVELTIDE_SERVING__{name.upper()}": value for name, value in settings.items()}
    log = folder / "service.log"

    def limit() -> None:
        if open_files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

    with log.open("wb") as output:
        process = subprocess.Popen(
            command("serve", "--port", str(port)),
            env=environment(folder, **changes),
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=limit,
        )
    found = Running(port, psutil.Process(process.pid), log)
    try:
        _wait_until_ready(found)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(service: Running, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if service.get("/ready")[0] == 200 and len(service.process.children()) >= 2:
                return
        time.sleep(0.3)
    raise RuntimeError(f"the service is not ready: {service.log.read_text()}")


def features(number: int) -> dict[str, object]:
    """A customer described by features."""
    return {"features": {"total_sessions": 1 + number % 5, "age": 20 + number % 50}}


def history(price: float = 120.0, sessions: int = 1) -> dict[str, object]:
    """A customer described by raw rows, with a stay."""
    profile = {
        "birthdate": "1989-05-14",
        "married": False,
        "has_children": False,
        "home_country": "usa",
        "home_airport": "BNA",
        "home_airport_lat": 36.1,
        "home_airport_lon": -86.6,
        "sign_up_date": "2023-07-02",
    }
    session = {
        "session_start": "2023-07-03 18:04:00",
        "session_end": "2023-07-03 18:06:30",
        "trip_id": "t1",
        "flight_discount": False,
        "hotel_discount": False,
        "flight_booked": False,
        "hotel_booked": True,
        "page_clicks": 18,
        "cancellation": False,
    }
    stay = {
        "trip_id": "t1",
        "hotel_name": "NH - x",
        "nights": 7,
        "rooms": 1,
        "check_in_time": "2023-07-20 13:00:00",
        "check_out_time": "2023-07-27 11:00:00",
        "hotel_per_room_usd": price,
    }
    visits = [{**session, "trip_id": f"t{n}"} for n in range(1, sessions + 1)]
    return {"history": {"profile": profile, "sessions": visits, "hotels": [stay]}}


def as_json(content: object) -> bytes:
    """JSON as a request body."""
    return json.dumps(content).encode()
