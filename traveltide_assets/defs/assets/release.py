"""The release of a month: the last asset, after every blocking check."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import dagster as dg

from traveltide_assets.campaign import mailing, release_files, released
from traveltide_assets.campaign.suppression import read_suppressed
from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.defs import provenance, tags
from traveltide_assets.defs.checks.check import Check, Context, Severity
from traveltide_assets.defs.checks.every_table import is_basic
from traveltide_assets.defs.checks.steps import check_key, context_of, every_step
from traveltide_assets.defs.describe import counts
from traveltide_assets.defs.gate import Gate
from traveltide_assets.defs.partitions import MONTHLY
from traveltide_assets.defs.retries import permanent_errors_end_the_step
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.manifest import sha256
from traveltide_assets.lake.ownership import notice_of
from traveltide_assets.lake.release import Release
from traveltide_assets.report import FILE, PATH
from traveltide_assets.schema.errors import NotStored, TravelTideError
from traveltide_assets.schema.table import Table
from traveltide_assets.settings import Settings

KEY = dg.AssetKey(["gold", "release"])
# They read later sessions and responses than the decision does: for the plan and the readout of an
# experiment, and for what earlier campaigns did.
_READ_LATER = {
    *("gold/experiment_plan", "gold/experiment_readout", "gold/experiment_looks"),
    *("gold/campaign_outcomes", "gold/campaign_readout", "gold/policy_scorecard"),
    *("gold/learned_policy", "gold/report"),
}


class CheckFailed(TravelTideError):
    """A blocking check does not hold for what would be released. The message names it."""


@dataclass(frozen=True)
class _Months:
    """What a release needs to know of the graph: gold's keys, and what reads what of its month."""

    keys: tuple[dg.AssetKey, ...]
    same_month: Mapping[str, tuple[str, ...]]
    last: tuple[dg.AssetKey, ...]

    @classmethod
    def of(cls, gold: Iterable[dg.AssetsDefinition]) -> "_Months":
        specs = [spec for asset in gold for spec in asset.specs]
        # In a stable order, because they are part of the code version.
        keys = tuple(sorted(spec.key for spec in specs))
        same = {
            "/".join(spec.key.path): tuple(
                sorted(
                    "/".join(dep.asset_key.path)
                    for dep in spec.deps
                    if dep.partition_mapping is None and dep.asset_key in keys
                )
            )
            for spec in sorted(specs, key=lambda spec: spec.key)
        }
        read = {dep.asset_key for spec in specs for dep in spec.deps if dep.asset_key != spec.key}
        last = tuple(key for key in keys if key not in read)
        return cls(keys, same, last)


def build(
    gold: Iterable[dg.AssetsDefinition],
    tables: Mapping[str, Table],
    every_month: dg.PartitionsDefinition,
) -> dg.AssetsDefinition:
    """The asset `gold/release`. `gold` are the assets of a month."""
    months = _Months.of(gold)
    copied = released.tables()
    of_gold, of_ingestion = blocking(tables)
    of_warning = warning(tables)
    needed = {*months.last, *(dg.AssetKey(path.split("/")) for path in copied.values())}

    @dg.asset(
        key_prefix="gold",
        kinds={"json"},
        partitions_def=MONTHLY,
        deps=sorted({*needed, dg.AssetKey(PATH.split("/"))}),
    )
    def release(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        lake: dg.ResourceParam[Lake],
        # The checks read these two.
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
        gate: dg.ResourceParam[Gate],
    ) -> dg.MaterializeResult[None]:
        """The month's decision as others act on it: an immutable copy, checked, with a manifest.

        It is made current at once, or, with `release.mode = "manual"`, by `traveltide release`.
        """
        month = context.partition_key
        now = settings.release.mode == "auto" or tags.RELEASE in context.run.tags
        with permanent_errors_end_the_step():
            expected = lake.releases.record(month).current
            stored = {
                name: lake.path(path, month).read_bytes() for name, path in copied.items()
            } | {
                release_files.REPORT: lake.read_bytes(PATH, month, FILE),
                release_files.EXPLORER: lake.read_bytes(PATH, month, release_files.EXPLORER),
            }
            _belong(stored[release_files.REPORT], stored[release_files.EXPLORER], month)
            facts = mailing.read_facts(lake, month)
            checked = context_of(context.op_execution_context, tables, every_month)
            made = provenance.of_month(context.instance, months.keys, month)
            copies = {
                copied.get(name, PATH): sha256(content)
                for name, content in stored.items()
                if name != release_files.EXPLORER
            }
            _compare(context.instance, lake, made, months, copies, month)
            known = provenance.passed(context.instance, map(check_key, of_gold), made)
            outcomes = {
                **_recorded(context.instance, of_ingestion, month),
                **_judge(of_gold, checked, known),
            }
            warned = _warned(of_warning, checked)
            content = released.compose(stored, facts)
            released.check(content, read_suppressed(settings.campaign.suppression_file))
            published = lake.releases.add(
                month,
                content.files,
                content.decision,
                content.customers,
                live=now,
                inputs={path: asset.data for path, asset in made.items()},
                code={path: asset.code for path, asset in made.items()},
                checks=outcomes,
                warnings=warned,
                notice=notice_of(lake.storage),
            )
            if now:
                lake.releases.point(published, expected)
            swept = lake.releases.sweep(month, settings.release.keep)
        return dg.MaterializeResult(
            metadata=described(published, lake.releases.record(month).current, swept),
            data_version=dg.DataVersion(published.id),
        )

    return release


def blocking(tables: Mapping[str, Table]) -> tuple[list[Check], list[Check]]:
    """The blocking checks of gold, with those of silver against bronze; and all others.

    A release evaluates the former on the lake as it is. The latter read the source, or every row
    of silver and bronze, so it goes by their last outcome.
    """
    checks = [
        (step, check)
        for step in every_step(tables)
        for check in step.checks
        if check.blocking and check.severity is Severity.ERROR
    ]
    evaluated = [
        check
        for step, check in checks
        if tables[check.table].layer == "gold"
        or (tables[check.table].layer == "silver" and not is_basic(check) and not step.reads_source)
    ]
    return evaluated, [check for _, check in checks if check not in evaluated]


def warning(tables: Mapping[str, Table]) -> list[Check]:
    """The checks of gold that only warn. Those of ingestion are told when it is ingested."""
    return [
        check
        for step in every_step(tables)
        for check in step.checks
        if check.severity is Severity.WARNING and tables[check.table].layer == "gold"
    ]


def described(release: Release, current: str | None, swept: Sequence[str] = ()) -> dict[str, Any]:
    """Metadata of a release for the UI."""
    manifest = release.manifest.model_dump(mode="json")
    return {
        "release": release.id,
        "current": release.id == current,
        "path": dg.MetadataValue.path(release.uri()),
        "manifest": dg.MetadataValue.json(manifest),
        "customers": counts(release.manifest.customers, "customers"),
        "files": dg.MetadataValue.md(
            "\n".join(f"- `{file.name}`" for file in release.manifest.files)
        ),
        **({"removed": ", ".join(swept)} if swept else {}),
    }


def _judge(checks: Sequence[Check], context: Context, known: Container[str]) -> dict[str, str]:
    """The outcome of each check on what is stored now; `CheckFailed` if one does not hold.

    A run evaluates them as well, but it does not stop an asset that is materialised alone, and
    lists and settings may have changed since. Contracts and keys are matters of the file alone:
    those `known` to have passed on this very file are not evaluated again.
    """
    outcomes, failed = {}, []
    for check in checks:
        name = f"{check.table}:{check.name}"
        if is_basic(check) and name in known:
            outcomes[name] = "passed"
            continue
        try:
            outcome = check.outcome(_for_month(context, check.table))
        except NotStored:
            if not check.table.startswith("silver/"):
                raise
            # Bronze and silver may be deleted when a month has been decided.
            outcomes[name] = "not evaluated: silver or bronze is not in the lake"
            continue
        holds = outcome.passed or outcome.only_warns
        outcomes[name] = "passed" if holds else "failed"
        if not holds:
            failed.append(f"{name} ({outcome.facts['problem']})")
    _stop_if(failed, context.month)
    return outcomes


def _warned(checks: Sequence[Check], context: Context) -> dict[str, str]:
    """The problem of each check that warns of what is stored now."""
    found = {}
    for check in checks:
        try:
            outcome = check.outcome(_for_month(context, check.table))
        except NotStored:
            found[f"{check.table}:{check.name}"] = "not evaluated: a table is not in the lake"
            continue
        if not outcome.passed:
            found[f"{check.table}:{check.name}"] = str(outcome.facts["problem"])
    return found


def _recorded(instance: dg.DagsterInstance, checks: Sequence[Check], month: str) -> dict[str, str]:
    """The last recorded outcome of each check; `CheckFailed` if one did not hold."""
    found = provenance.last_outcomes(instance, map(check_key, checks), month)
    _stop_if([name for name, outcome in found.items() if outcome == "failed"], month)
    return found


def _stop_if(failed: Sequence[str], month: str) -> None:
    if failed:
        raise CheckFailed(
            f"{month} is not released, because blocking checks do not hold: {'; '.join(failed)}. "
            f"The release before stays. Mend it, and run `traveltide run --month {month}`"
        )


def _for_month(context: Context, path: str) -> Context:
    """The context for a table: a month is decided from all months of silver up to it."""
    if not (path.startswith("silver/") and context.tables[path].partitioned):
        return context
    months = tuple(month for month in context.lake.months(path) if month <= context.month)
    if not months:
        raise NotStored(f"{path} is not in the lake")
    return replace(context, months=months)


def _compare(
    instance: dg.DagsterInstance,
    lake: Lake,
    made: Mapping[str, provenance.Made],
    months: _Months,
    copies: Mapping[str, str],
    month: str,
) -> None:
    """`Mixed` if the month's assets are not those of one run of the pipeline.

    `copies` are the SHA-256 of what was read to be released.
    """
    tables = {*made, *copies} - {PATH}
    digests = {path: lake.digest(path, month) for path in sorted(tables)}
    digests[PATH] = lake.digest(PATH, month, FILE)
    decided = {
        path: replace(asset, read=_without_silver(asset.read)) if path in _READ_LATER else asset
        for path, asset in made.items()
    }
    found = provenance.mixture(instance, decided, months.same_month, digests)
    found += [
        f"{path} was replaced while it was released"
        for path, digest in copies.items()
        if digests.get(path, digest) != digest
    ]
    if found:
        raise provenance.Mixed(
            f"{month} is not released, because its parts are of different runs: "
            f"{'; '.join(chain(found[:5], ['…'] if len(found) > 5 else []))}. Another run decided "
            f"it meanwhile, or a part was made again alone. Run `traveltide run --month {month}`"
        )


def _belong(report: bytes, beside: bytes, month: str) -> None:
    """`Mixed` if the explorer is not the one that the report was written with."""
    if sha256(beside).encode() not in report:
        raise provenance.Mixed(
            f"{month} is not released, because its {release_files.EXPLORER} is of another run than "
            f"its report. Run `traveltide run --month {month}`"
        )


def _without_silver(read: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in read.items() if not name.startswith("silver/")}
