"""What the stored data of a month was made of, as Dagster recorded it, and whether it is a mixture.

Dagster records with each materialisation the versions of the inputs that it read. A month is a
mixture if one of its assets was made of another version of an input than the one that is there now,
or if two of its assets read different versions of silver. Where Dagster has no record, as after its
history was deleted, there is nothing to compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from traveltide_assets.defs import tags
from traveltide_assets.schema.errors import TravelTideError

_OUTCOMES = {"SUCCEEDED": "passed", "FAILED": "failed"}


class Mixed(TravelTideError):
    """The assets of a month do not belong to one run of the pipeline. The message names them."""


@dataclass(frozen=True)
class Made:
    """A stored asset of a month: its versions, the SHA-256 of its file, and what it read.

    `read` has, by input, the version that was read and the event that had reported it.
    """

    path: str
    event: int
    data: str
    code: str
    sha256: str | None
    read: Mapping[str, tuple[str, int | None]]


def of_month(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey], month: str
) -> dict[str, Made]:
    """What Dagster recorded last about assets of a month, by path."""
    found = {}
    for key in keys:
        wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[month])
        for record in instance.fetch_materializations(wanted, limit=1).records:
            if record.asset_materialization is not None:
                path = "/".join(key.path)
                found[path] = _made(path, record.storage_id, record.asset_materialization)
    return found


def _made(path: str, event: int, reported: dg.AssetMaterialization) -> Made:
    said = reported.tags or {}
    versions = _after(tags.INPUT_VERSION, said)
    events = _after(tags.INPUT_EVENT, said)
    digest = reported.metadata.get("sha256")
    return Made(
        path,
        event,
        said.get(tags.DATA_VERSION, ""),
        said.get(tags.CODE_VERSION, ""),
        None if digest is None else str(digest.value),
        {
            name: (version, int(events[name]) if events.get(name, "").isdigit() else None)
            for name, version in versions.items()
        },
    )


def _after(prefix: str, said: Mapping[str, str]) -> dict[str, str]:
    return {n.removeprefix(prefix): v for n, v in said.items() if n.startswith(prefix)}


def mixture(
    instance: dg.DagsterInstance,
    made: Mapping[str, Made],
    same_month: Mapping[str, Iterable[str]],
    digests: Mapping[str, str],
) -> list[str]:
    """Why the assets of a month do not belong together; empty if they do.

    `same_month` are the inputs of each asset that it reads for the same month, `digests` the
    SHA-256 of the files that are stored now.
    """
    return [
        *_replaced(made, digests),
        *_outdated(instance, made, same_month),
        *_of_two_silvers(made),
    ]


def _replaced(made: Mapping[str, Made], digests: Mapping[str, str]) -> Iterator[str]:
    for path, digest in digests.items():
        if path in made and made[path].sha256 not in (None, digest):
            yield f"{path} was replaced by another run"


def _outdated(
    instance: dg.DagsterInstance,
    made: Mapping[str, Made],
    same_month: Mapping[str, Iterable[str]],
) -> Iterator[str]:
    for path, asset in made.items():
        for name in same_month.get(path, ()):
            _, event = asset.read.get(name, ("", None))
            now = made.get(name)
            if now is None or event is None or event == now.event:
                continue
            if _version_at(instance, name, event) != now.data:
                yield f"{path} was made of another {name}"


def _version_at(instance: dg.DagsterInstance, path: str, event: int) -> str | None:
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(path.split("/")), storage_ids=[event])
    for record in instance.fetch_materializations(wanted, limit=1).records:
        reported = record.asset_materialization
        return (reported.tags or {}).get(tags.DATA_VERSION) if reported else None
    return None


def _of_two_silvers(made: Mapping[str, Made]) -> Iterator[str]:
    """Inputs in silver that assets of the month read in different versions."""
    readers: dict[str, dict[str, list[str]]] = {}
    for path, asset in made.items():
        for name, (version, _) in asset.read.items():
            if name.startswith("silver/"):
                readers.setdefault(name, {}).setdefault(version, []).append(path)
    for name, versions in readers.items():
        if len(versions) > 1:
            sides = " and ".join(", ".join(sorted(paths)) for paths in versions.values())
            yield f"{sides} read different versions of {name}"


def last_outcomes(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetCheckKey], month: str
) -> dict[str, str]:
    """The last recorded outcome of each check, `passed` or `failed`, if there is one.

    A check that a run evaluated for a later month alone says nothing about the month.
    """
    found = {}
    for key, record in _latest(instance, keys).items():
        outcome = _OUTCOMES.get(record.status.value)
        if outcome and (record.partition is None or record.partition <= month):
            found[_name(key)] = outcome
    return found


def passed(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetCheckKey], made: Mapping[str, Made]
) -> set[str]:
    """The checks that last passed on the very materialisation that `made` has of their asset."""
    found = set()
    for key, record in _latest(instance, keys).items():
        asset = made.get("/".join(key.asset_key.path))
        if asset is not None and _OUTCOMES.get(record.status.value) == "passed":
            evaluated = record.event and record.event.asset_check_evaluation
            target = evaluated.target_materialization_data if evaluated else None
            if target is not None and target.storage_id == asset.event:
                found.add(_name(key))
    return found


def _latest(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetCheckKey]
) -> Mapping[dg.AssetCheckKey, Any]:
    return instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))


def _name(key: dg.AssetCheckKey) -> str:
    return f"{key.asset_key.to_user_string()}:{key.name}"
