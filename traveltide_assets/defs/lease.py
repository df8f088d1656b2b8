"""How runs of Dagster hold the lease of the lake, from their first step to their last.

If the steps share a process, the resource `lake` holds the lease, because it is opened before the
first step and closed after the last. If each step has a process, the executor holds it in the
process of the run, and the steps only check it. `traveltide run` holds one lease for its two runs.
The tag `traveltide/lease` of a run names the owner of its lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import dagster as dg

from traveltide_assets.defs import tags
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.lease import Lease


def build_lake(lake: Lake, lease: Lease) -> dg.ResourceDefinition:
    """The lake as a resource of runs: it refuses writes of a run that has lost its lease."""

    def opened(context: dg.InitResourceContext) -> Iterator[Lake]:
        if context.run is None or context.instance is None:
            yield lake
            return
        say = _quiet if context.log is None else context.log.info
        with holding(lease, context.instance, context.run, say) as owner:
            yield lake.fenced(partial(lease.check, owner))

    return dg.ResourceDefinition(opened)


def holding_executor(executor: dg.ExecutorDefinition, lease: Lease) -> dg.ExecutorDefinition:
    """The executor, with the lease held in its process while it executes a run."""
    return dg.ExecutorDefinition(
        name=executor.name,
        config_schema=executor.config_schema,  # type: ignore[arg-type]
        requirements=dg.multiple_process_executor_requirements(),
        executor_creation_fn=lambda context: _Holding(_create(executor, context), lease),
        description=executor.description,
    )


class _Holding(dg.Executor):
    def __init__(self, executor: dg.Executor, lease: Lease) -> None:
        self._executor = executor
        self._lease = lease

    @property
    def retries(self) -> Any:
        return self._executor.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._executor.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        run, instance = plan_context.dagster_run, plan_context.instance
        with ExitStack() as stack:
            # While it waits, the run can be terminated.
            with dg.raise_execution_interrupts():
                stack.enter_context(holding(self._lease, instance, run, plan_context.log.info))
            yield from self._executor.execute(plan_context, execution_plan)


@contextmanager
def holding(
    lease: Lease, instance: dg.DagsterInstance, run: dg.DagsterRun, say: Callable[[str], None]
) -> Iterator[str]:
    """Hold the lease for a run, unless it is held for it already. Yields the owner.

    Raises `LakeBusy` after waiting too long, and `LeaseLost` if the lease that was held is another
    run's by now.
    """
    stored = instance.get_run_by_id(run.run_id) or run
    if stored.is_finished:
        # Dagster opens the resources again to read results. Writing would raise `LeaseLost`.
        yield run.run_id
        return
    owner = stored.tags.get(tags.LEASE)
    # A re-executed run inherits the tags of the run it repeats.
    inherited = run.parent_run_id is not None and owner != run.run_id
    if owner is not None and not inherited:
        lease.check(owner)
        yield owner
        return
    with lease.held(run.run_id, run.job_name, say):
        instance.add_run_tags(run.run_id, {tags.LEASE: run.run_id})
        yield run.run_id


def _create(executor: dg.ExecutorDefinition, context: dg.InitExecutorContext) -> dg.Executor:
    create = executor.executor_creation_fn
    assert create is not None  # noqa: S101
    return create(context)


def _quiet(_: str) -> None:
    pass
