"""S3 goes away for some seconds at many moments of a run: the run waits and ends as if nothing was.

Source and lake are in S3, behind a proxy that ends every connection without an answer while S3 is
away. The moments are spread over the requests of a whole run, checks included. At the end the lake
must hold the bytes of an undisturbed run, but for the lease and for the record of which release
was made current when.

    python -m benchmarks.hardening.s3_outage --moments 20 --seconds 20
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from benchmarks.hardening.commands import environment, small_source, traveltide
from benchmarks.hardening.tally import Tally
from traveltide_assets.connections.locations import S3Location
from traveltide_assets.lake.lease import KEY
from traveltide_assets.lake.release import FOLDER as RELEASES
from traveltide_assets_tests.support.s3_server import S3Server, proxy_of, running_s3

_HOLDS_TIMES = re.compile(rf"{re.escape(KEY)}|{RELEASES}/[^/]+\.json")


def attempt(
    server: S3Server, folder: Path, source: S3Location, away: int | None, seconds: float
) -> tuple[str, dict[str, bytes], int]:
    """Run once, with S3 away after so many requests: problem, content of the lake, requests."""
    lake = S3Location(server.bucket(), "lake")
    with proxy_of(server) as proxy:
        proxy.away, proxy.away_seconds = away, seconds
        env = environment(
            folder,
            **server.environment | {"AWS_ENDPOINT_URL": proxy.endpoint},
            TRAVELTIDE_SOURCE=str(source),
            TRAVELTIDE_LAKE=str(lake),
        )
        done = traveltide(env, "run", seconds=1_800)
        problem = "" if done.code == 0 else f"exit code {done.code}: {done.last_line}"
        found = server.contents(lake)
        kept = {key: content for key, content in found.items() if not _HOLDS_TIMES.fullmatch(key)}
        return problem, kept, len(proxy.requests)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20)
    chosen = parser.parse_args()
    tally = Tally("S3 away during a run")
    with tempfile.TemporaryDirectory() as name, running_s3(Path(name)) as server:
        folder = Path(name)
        source = S3Location(server.bucket(), "landing")
        server.upload(small_source(folder / "source"), source)
        problem, expected, requests = attempt(server, folder / "calm", source, None, 0)
        tally.add("never", not problem, problem)
        for number in range(chosen.moments):
            moment = number * requests // chosen.moments
            problem, found, _ = attempt(
                server, folder / str(number), source, moment, chosen.seconds
            )
            if not problem and found != expected:
                other = sorted(k for k in found | expected if found.get(k) != expected.get(k))
                problem = f"the lake differs from that of an undisturbed run: {', '.join(other)}"
            tally.add(f"for {chosen.seconds:g} s", not problem, f"at request {moment}: {problem}")
    tally.show()


if __name__ == "__main__":
    main()
