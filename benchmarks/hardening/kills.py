"""kill -9 of a run at many points, on a folder and on S3, while others read the releases.

Runs for two decisions of one month take turns on one lake, and each is killed at another point of
its way. No reader may see parts of both decisions, or lose a customer. In the end a run of each
decision must leave the bytes that it left before.
"""

from __future__ import annotations

import argparse
import time

from benchmarks.hardening.lakes import Place, Prints, place_in, readers
from benchmarks.hardening.tally import Tally
from traveltide_assets_tests.support.processes import kill_family

_POINTS = {"folder": 30, "s3": 20}
_READS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--on", choices=list(_POINTS), nargs="+", default=list(_POINTS))
    parser.add_argument("--points", type=int, help="kills on each  [default: 30 and 20]")
    parser.add_argument("--reads", type=int, default=_READS, help="reads at least, in all")
    options = parser.parse_args()
    tally = Tally("kill -9 of a run")
    reads = 0
    for kind in options.on:
        with place_in(kind) as place:
            reads += _attack(place, kind, options.points or _POINTS[kind], tally)
    tally.add(f"{options.reads} reads in all", reads >= options.reads, f"only {reads}")
    tally.show()


def _attack(place: Place, kind: str, points: int, tally: Tally) -> int:
    """Returns the number of reads."""
    for decision in "AB":  # What is promoted may depend on what was there before.
        place.run(decision)
    expected: dict[str, tuple[dict[str, str], str | None]] = {}
    known: list[Prints] = []
    seconds = 0.0
    for decision in "AB":
        seconds = max(seconds, place.run(decision))
        expected[decision] = (place.digests(), place.release())
        known.append(place.prints())
    if any(known[0][reader] == known[1][reader] for reader in known[0]):
        raise RuntimeError("the two decisions are the same, so a mixture would not be seen")
    with readers(place, known) as seen:
        for point in range(points):
            name = f"{kind}: killed on its way"
            if _kill(place, "AB"[point % 2], seconds * (point + 0.5) / points):
                tally.add(name, place.prints() in known, "a mixture is released")
            else:
                print(f"{kind}: a run had ended before point {point}")
        for decision in "AB":
            place.run(decision)
            files, release = expected[decision]
            differing = sorted({*files.items()} ^ {*place.digests().items()})
            same = not differing and place.release() == release
            tally.add(f"{kind}: a run afterwards leaves the same bytes", same, str(differing))
    for reader, count in seen.reads.items():
        problems = [problem for problem in seen.problems if problem.startswith(reader)]
        first = "; ".join(problems[:3])
        tally.add(f"{kind}: {count} reads by {reader}", not problems, f"{len(problems)}: {first}")
    return sum(seen.reads.values())


def _kill(place: Place, decision: str, after: float) -> bool:
    """Start a run, and kill it so many seconds after it has taken the lease, if it still runs."""
    log = place.folder / "killed.log"
    process = place.start(decision, log)
    began = place.wait_for_lease(process)
    while time.monotonic() < began + after and process.poll() is None:
        time.sleep(0.02)
    if process.poll() is None:
        kill_family(process.pid)
        process.wait()
        return True
    if process.returncode != 0:
        raise RuntimeError(f"a run failed:\n{log.read_text()[-3000:]}")
    return False


if __name__ == "__main__":
    main()
