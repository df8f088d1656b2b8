"""Readable reasons for failed runs."""

from __future__ import annotations

import dagster as dg

_OURS = "traveltide_assets."


def root_cause(event: dg.DagsterEvent) -> str:
    """Why a step, or a run before its first step, failed, in the words of the error.

    In a chain of errors this is the first one of ours, because its message is written for people
    and includes those beneath it. Without one of ours, it is the error that caused the others.
    """
    chain = []
    failure = event.step_failure_data if event.is_step_failure else event.job_failure_data
    error = failure.error if failure else None
    while error is not None:
        chain.append(error)
        error = error.cause
    if not chain:
        return event.message or "unknown error"
    if chain[-1].cls_name == "OutOfMemoryException":
        # After the first line DuckDB suggests SQL settings, which cannot be set here.
        first_line = chain[-1].message.strip().partition("\n")[0]
        return f"{first_line.partition(': ')[-1]}; raise TRAVELTIDE_MEMORY"
    said = [(error.message, error.cls_name or "") for error in chain]
    ours = [(text, kind) for text, kind in said if text.startswith(_OURS) or kind == "Failure"]
    return _words(*(ours or said[-1:])[0])


def failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """The problems that the blocking checks of a run have found, in words."""
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    found = []
    for record in instance.get_records_for_run(run_id, of_type=kind).records:
        event = record.event_log_entry.dagster_event
        checked = event.event_specific_data if event else None
        if isinstance(checked, dg.AssetCheckEvaluation) and not checked.passed:
            problem = checked.metadata.get("problem")
            if problem is not None and checked.severity is dg.AssetCheckSeverity.ERROR:
                found.append(str(problem.value))
    return found


def _words(message: str, kind: str) -> str:
    """The message without the module path of the error's class, which Dagster puts before it.

    The class name stays if the error was not written for people, as in `KeyError: 'x'`.
    """
    path, found, text = message.partition(f"{kind}: ")
    if not found or not text.strip():
        return message.strip()
    return (text if path.startswith((_OURS, "dagster.")) else f"{kind}: {text}").strip()
