"""Every page of the desk, for the customers of a lake and for many more of the same kind.

The releases of the latest two months are copied, and their customers repeated under new ids until
there are as many as asked for. Prints the seconds of each page when a month is opened for the first
time and afterwards (median), its size, and a line per goal. What is measured is the service's own
time: pages are asked for within the process.

    python -m benchmarks.desk --lake lake-sample --customers 1000000
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pandas as pd
from starlette.testclient import TestClient

from traveltide_assets.campaign.release_files import ASSIGNMENTS, FEATURES, MOVES, PROFILES, SAMPLE
from traveltide_assets.lake.release import Release, Releases
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.report import summaries
from traveltide_assets.report.dimensions import FAMILIES
from traveltide_assets.resources import open_lake
from traveltide_assets.serving.app import build_app
from traveltide_assets.serving.desk.pages import NAVIGATION
from traveltide_assets.settings import Settings

_REPEATS = 5
_LIMITS = {False: 1.0, True: 2.0}
"""Seconds that a page may take, by whether there are many customers."""
_MANY = 100_000
_LARGEST_PAGE = 1_000_000
_WHAT_IF_LIMIT = 2.0
_COUNTS = ("customers", "idle")


def copied(release: Release, to: Releases, times: int) -> None:
    """Make a release current that holds each customer of another so many times."""
    most = release.frame(ASSIGNMENTS, ["user_id"])["user_id"].max()
    files = {}
    for file in release.manifest.files:
        content = release.read(file.name)
        if file.name.endswith(".parquet") and "/" not in file.name:
            content = _repeated(file.name, content, times, int(most))
        files[file.name] = content
    # As a release of so many would hold it.
    files[SAMPLE] = _written(summaries.sample(pd.read_parquet(BytesIO(files[FEATURES]))))
    manifest = release.manifest
    customers = {name: count * times for name, count in manifest.customers.items()}
    made = to.add(release.month, files, manifest.decision, customers)
    to.point(made, None)


def _repeated(name: str, content: bytes, times: int, most: int) -> bytes:
    table = pd.read_parquet(BytesIO(content))
    if "user_id" in table:
        copies = pd.concat([table] * times, ignore_index=True)
        copies["user_id"] += np.repeat(np.arange(times), len(table)) * (most + 1)
    elif name in (MOVES, PROFILES):
        copies = table.assign(
            **{count: table[count] * times for count in table if count in _COUNTS}
        )
    else:
        return content
    return _written(copies)


def _written(table: pd.DataFrame) -> bytes:
    written = BytesIO()
    # Row groups as large as those of the tables that DuckDB writes.
    table.to_parquet(written, index=False, row_group_size=122_880)
    return written.getvalue()


def pages(lake: Path, month: str) -> list[tuple[str, str]]:
    """The pages by name and address: each, a selection, one customer, and two scenarios."""
    user = Releases(Folder(lake)).current(month).frame(ASSIGNMENTS, ["user_id"])["user_id"].iloc[0]
    shown = [(label, path) for path, label in NAVIGATION]
    return [
        *shown,
        ("Customers: families selected", f"/customers?{urlencode({'family': FAMILIES[-1]})}"),
        ("One customer: found", f"/customer?id={user}"),
        ("What if: a perk left out", "/what-if?leave=exclusive_discounts"),
        ("What if: held out", "/what-if?holdout=20"),
    ]


def measured(lake: Path, home: Path, many: bool) -> bool:
    """Print a line per page; whether every goal is met."""
    settings = Settings(lake=lake, home=home, serving={"timeout_seconds": 600})
    month = Releases(Folder(lake)).current().month
    client = TestClient(
        build_app(open_lake(settings), settings),
        base_url="http://127.0.0.1:8000",
        client=("127.0.0.1", 50_000),
    )
    kept = True
    print(f"{'page':32} {'first, s':>9} {'then, s':>9} {'kB':>7}")
    for name, address in pages(lake, month):
        seconds = []
        for _ in range(1 + _REPEATS):
            began = time.perf_counter()
            answer = client.get(address)
            seconds.append(time.perf_counter() - began)
            if answer.status_code != 200:
                sys.exit(f"{address} answered {answer.status_code}: {answer.text[:500]}")
        then, size = statistics.median(seconds[1:]), len(answer.content)
        limit = _WHAT_IF_LIMIT if address.startswith("/what-if") else _LIMITS[many]
        missed = max(seconds[0], then) > limit or size > _LARGEST_PAGE
        kept &= not missed
        print(
            f"{name:32} {seconds[0]:9.2f} {then:9.2f} {size / 1_000:7.0f}"
            f"{f'  missed: {limit:g} s' if missed else ''}"
        )
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lake", type=Path, required=True, help="folder of a lake with releases")
    parser.add_argument("--customers", type=int, default=1_000_000)
    chosen = parser.parse_args()
    ours = Releases(Folder(chosen.lake))
    months = ours.months()[-2:]
    size = len(ours.current(months[-1]).frame(ASSIGNMENTS, ["user_id"]))
    kept = True
    for times in (1, max(1, round(chosen.customers / size))):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for month in months:
                copied(ours.current(month), Releases(Folder(folder / "lake")), times)
            print(f"\n{size * times:,} customers")
            kept &= measured(folder / "lake", folder / "home", size * times >= _MANY)
    sys.exit(0 if kept else "a goal is missed")


if __name__ == "__main__":
    main()
