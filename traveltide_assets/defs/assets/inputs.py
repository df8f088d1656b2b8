"""The inputs outside the lake: source files, catalogue files, lists. Each has a data version.

Nothing here is materialised. Every run observes the files before its first step, and *Observe* in
the UI does so at any time. A changed file gets a new data version, and whatever was computed from
the old one shows as out of date. Sessions have one version per month.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.defs import tags
from traveltide_assets.defs.beta import relied_on
from traveltide_assets.evidence.decision import deciding
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.schema.sources import RAW
from traveltide_assets.segmentation.strategy import Strategy
from traveltide_assets.settings import Settings
from traveltide_assets.sources.base import FileSource, Source

Versions = Mapping[str | None, str]
"""Data versions by month. An input without months has a single one, under None."""

PERKS = dg.AssetKey(["inputs", "perk_catalogue"])
SUPPRESSION_LIST = dg.AssetKey(["inputs", "suppression_list"])
OUTCOMES = dg.AssetKey(["inputs", "experiment_outcomes"])
_NOT_SET = "not set"
_RULES = {file.stem: file for file in sorted(FOLDER.glob("*.toml")) if file.stem != "perks"}
_log = logging.getLogger(__name__)


def table_of(name: str) -> dg.AssetKey:
    """The key of a table of the source."""
    return dg.AssetKey(["inputs", name])


def rules_of(strategy: str) -> dg.AssetKey:
    """The key of a strategy's rule file."""
    return dg.AssetKey(["inputs", f"{strategy}_rules"])


def decided_by(strategies: Iterable[str]) -> list[dg.AssetKey]:
    """The catalogue files that strategies depend on: the perks, and the rule files they have."""
    return [PERKS, *(rules_of(name) for name in strategies if name in _RULES)]


def rivals_of(setting: str, strategies: Mapping[str, Strategy]) -> Mapping[str, Strategy]:
    """The strategies that may decide, given the setting `strategy`: one alone if it is named."""
    return {setting: strategies[setting]} if setting in strategies else strategies


def chosen_by(rivals: Collection[str]) -> dict[str, dg.AssetIn]:
    """The input that says which of several strategies decides. None if there is only one."""
    if len(rivals) == 1:
        return {}
    return {"decision": dg.AssetIn(["gold", "strategy_decision"], dagster_type=pd.DataFrame)}


def chosen(rivals: Collection[str], stored: Mapping[str, Any]) -> str:
    """The strategy that decides, by the input of `chosen_by`."""
    if len(rivals) == 1:
        (only,) = rivals
        return only
    return deciding(stored["decision"])


class Inputs:
    """Every input given by the settings and the source, with its current versions."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self._bounds = settings.partitions
        self._looks: dict[dg.AssetKey, Callable[[], Versions]] = {}
        self._words: dict[dg.AssetKey, str] = {}
        campaign, experiment = settings.campaign, settings.experiment
        self._add(PERKS, "The perk catalogue.", partial(_of_file, settings.perks_file))
        self._add(
            SUPPRESSION_LIST,
            "Customers who must not be contacted. `campaign.suppression_file` sets the file.",
            partial(_of_file, campaign.suppression_file),
        )
        self._add(
            OUTCOMES,
            "Measured outcomes of the experiment. `experiment.outcomes_file` sets the file.",
            partial(_of_file, experiment.outcomes_file),
        )
        for name, file in _RULES.items():
            self._add(rules_of(name), f"The rules of the strategy {name}.", partial(_of_file, file))
        if isinstance(source, FileSource):
            for name in RAW:
                look = partial(_of_table, source, name, self._bounds.months)
                self._add(table_of(name), f"The files of the source's {name}.", look)

    def _add(self, key: dg.AssetKey, words: str, look: Callable[[], Versions]) -> None:
        self._looks[key], self._words[key] = look, words

    def build(
        self, months: dg.PartitionsDefinition
    ) -> list[dg.AssetsDefinition | dg.SourceAsset | dg.AssetSpec]:
        """One asset per input. Database tables are not observable, since they have no version."""
        unversioned = [table_of(name) for name in RAW if table_of(name) not in self._looks]
        return [
            *(
                _observable(key, self._words[key], look, months)
                for key, look in self._looks.items()
            ),
            *(
                dg.AssetSpec(key, description="A table of the database.", group_name="inputs")
                for key in unversioned
            ),
        ]

    def observe_once(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
        """`observe` before the first step of a run, which may have a process per step.

        The run is tagged afterwards. A process that starts meanwhile observes as well, so that no
        step reads an input before its version is known.
        """
        stored = instance.get_run_by_id(run.run_id)
        # A re-executed run inherits the tags of the run it repeats, but observes anew.
        if stored is not None and stored.tags.get(tags.OBSERVED) != run.run_id:
            for error, names in self.observe(instance).items():
                # The step that reads the input will fail with this error; other steps need not.
                _log.info("cannot observe %s: %s", ", ".join(names), error)
            instance.add_run_tags(run.run_id, {tags.OBSERVED: run.run_id})

    def observe(self, instance: dg.DagsterInstance) -> Mapping[str, list[str]]:
        """Report every version that is new to the instance.

        The result maps each error to the inputs that cannot be observed because of it.
        """
        failed: dict[str, list[str]] = {}
        for key, look in self._looks.items():
            try:
                found = look()
            except (TravelTideError, OSError) as error:
                failed.setdefault(str(error), []).append(key.to_user_string())
                continue
            for month, version in found.items():
                if version != _known(instance, key, month):
                    version_tag = {tags.DATA_VERSION: version}
                    instance.report_runless_asset_event(
                        dg.AssetObservation(key, partition=month, tags=version_tag)
                    )
        return failed


def _observable(
    key: dg.AssetKey,
    description: str,
    look: Callable[[], Versions],
    months: dg.PartitionsDefinition,
) -> dg.SourceAsset:
    monthly = key == table_of("sessions")

    def observed() -> dg.DataVersion | dg.DataVersionsByPartition:
        found = look()
        if monthly:
            return dg.DataVersionsByPartition({str(m): v for m, v in found.items()})
        return dg.DataVersion(found[None])

    with relied_on():
        observable = dg.observable_source_asset(
            key=key,
            description=description,
            group_name="inputs",
            partitions_def=months if monthly else None,
        )
        return observable(observed)


def _known(instance: dg.DagsterInstance, key: dg.AssetKey, month: str | None) -> str | None:
    """The version that the instance observed last."""
    months = None if month is None else [month]
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=months)
    for record in instance.fetch_observations(wanted, limit=1).records:
        observation = record.asset_observation
        return observation.tags.get(tags.DATA_VERSION) if observation else None
    return None


def _of_file(file: Path | None) -> Versions:
    """The SHA-256 of a file's content. The step that reads the file reports a missing one."""
    if file is None or not file.is_file():
        return {None: _NOT_SET}
    return {None: hashlib.sha256(file.read_bytes()).hexdigest()}


def _of_table(source: FileSource, name: str, months: Callable[[], list[str]]) -> Versions:
    files = source.versions_of(name)
    if name != "sessions":
        return {None: _combined(files)}
    touched = source.months_of(files)
    return dict(_by_month(files, touched, months()))


def _by_month(
    files: Mapping[str, str], touched: Mapping[str, set[str]], months: list[str]
) -> Iterator[tuple[str | None, str]]:
    for month in months:
        yield month, _combined({f: version for f, version in files.items() if month in touched[f]})


def _combined(files: Mapping[str, str]) -> str:
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
