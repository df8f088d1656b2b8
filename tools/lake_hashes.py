"""The net under every refactoring: the SHA-256 of each file of the lake, and the asset graph.

    python -m tools.lake_hashes before.txt --real FOLDER
    python -m tools.lake_hashes after.txt --real FOLDER
    diff before.txt after.txt

The pipeline decides two months of a sample with dirt in it, with an experiment under way, and two
months of a source of your own with `--real`. It is deterministic, so whatever differs was changed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg

_RUN = [sys.executable, "-c", "from traveltide_assets.cli import main; main()", "run"]
_MONTHS = ("2023-06", "2023-07")
_SAMPLE = {
    "TRAVELTIDE_SAMPLE__USERS": "3000",
    "TRAVELTIDE_SAMPLE__DIRT": "0.02",
    "TRAVELTIDE_EXPERIMENT__START": "2023-07-01",
    "TRAVELTIDE_EVIDENCE__RESAMPLES": "200",
    "TRAVELTIDE_EVIDENCE__PERMUTATIONS": "400",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=Path, help="Text file to write the list to")
    parser.add_argument("--real", type=Path, help="Folder of a source to hash as well")
    options = parser.parse_args()
    lines = [f"graph {line}" for line in graph()]
    lines += [f"sample {line}" for line in lake(_SAMPLE)]
    if options.real:
        real = {"TRAVELTIDE_SOURCE": str(options.real.resolve())}
        lines += [f"real {line}" for line in lake(real)]
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} lines in {options.output}")


def lake(settings: Mapping[str, str]) -> Iterator[str]:
    """A line per file of the lake that the settings lead to: its SHA-256 and its path."""
    with tempfile.TemporaryDirectory() as folder:
        ours = {name: text for name, text in os.environ.items() if "TRAVELTIDE" not in name}
        environment = {**ours, **settings, "DAGSTER_HOME": f"{folder}/dagster"}
        environment["TRAVELTIDE_LAKE"] = "lake"
        environment["PYTHONPATH"] = os.getcwd()
        for month in _MONTHS:
            subprocess.run([*_RUN, "--month", month], cwd=folder, env=environment, check=True)
        root = Path(folder) / "lake"
        # The records of releases hold the time, and no digest is made of a lock.
        records = root / "releases"
        for file in sorted(path for path in root.rglob("[!.]*") if path.is_file()):
            if file.parent == records:
                continue
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            yield f"{digest} {file.relative_to(root)}"


def graph() -> Iterator[str]:
    """A line per asset, check, job, schedule and sensor: its name and what it hangs on."""
    from traveltide_assets.definitions import build_definitions
    from traveltide_assets.settings import load_settings

    repository = build_definitions(load_settings()).get_repository_def()
    nodes = {node.key: node for node in repository.asset_graph.asset_nodes}
    for key, node in sorted(nodes.items()):
        parents = ", ".join(
            f"{parent.to_user_string()}{_offsets(node.partition_mappings.get(parent))}"
            for parent in sorted(node.parent_keys)
        )
        months = "monthly" if node.partitions_def else "whole"
        policy = node.backfill_policy.policy_type.name if node.backfill_policy else "-"
        yield f"asset {key.to_user_string()} [{node.group_name}, {months}, {policy}] <- {parents}"
    for check in sorted(repository.asset_graph.asset_check_keys, key=str):
        declared = repository.asset_graph.get(check)
        waits = ", ".join(sorted(parent.to_user_string() for parent in declared.parent_entity_keys))
        blocking = "blocking" if declared.blocking else "warning"
        yield f"check {check.asset_key.to_user_string()} {check.name} [{blocking}] <- {waits}"
    for job in sorted(job.name for job in repository.get_all_jobs()):
        yield f"job {job}"
    for schedule in sorted(repository.schedule_defs, key=lambda each: each.name):
        yield f"schedule {schedule.name} {schedule.cron_schedule} -> {schedule.job_name}"
    for sensor in sorted(repository.sensor_defs, key=lambda each: each.name):
        yield f"sensor {sensor.name}"


def _offsets(mapping: dg.PartitionMapping | None) -> str:
    """The months of a parent that an asset reads, relative to its own."""
    if not isinstance(mapping, dg.TimeWindowPartitionMapping):
        return ""
    return f" ({mapping.start_offset}..{mapping.end_offset})"


if __name__ == "__main__":
    main()
