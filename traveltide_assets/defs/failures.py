"""Why a run failed, in words for people."""

from __future__ import annotations

import dagster as dg

_OURS = "traveltide_assets."


def root_cause(event: dg.DagsterEvent) -> str:
    """Why a step failed, in the error's own words.

    Of a chain of errors it is the first of ours, which is written for people and says what the
    errors beneath it said; without one of ours, the error that the others follow from.
    """
    chain = []
    error = event.step_failure_data.error
    while error is not None:
        chain.append(error)
        error = error.cause
    if not chain:
        return "unknown error"
    if chain[-1].cls_name == "OutOfMemoryException":
        # Behind its first line DuckDB advises SQL, which nobody can give it here.
        first_line = chain[-1].message.strip().partition("\n")[0]
        return f"{first_line.partition(': ')[-1]}; set TRAVELTIDE_MEMORY to more"
    said = [(error.message, error.cls_name or "") for error in chain]
    ours = [(text, kind) for text, kind in said if text.startswith(_OURS) or kind == "Failure"]
    return _words(*(ours or said[-1:])[0])


def _words(message: str, kind: str) -> str:
    """The message without the path of the error's class, which Dagster puts before it.

    The name of the class stays where the error is not made for people: `KeyError: 'x'`.
    """
    path, found, text = message.partition(f"{kind}: ")
    if not found or not text.strip():
        return message.strip()
    return (text if path.startswith((_OURS, "dagster.")) else f"{kind}: {text}").strip()
