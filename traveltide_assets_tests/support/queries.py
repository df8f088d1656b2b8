"""The queries that a test has an engine answer."""

from __future__ import annotations

from typing import Any

import pytest
from ibis.backends.duckdb import Backend


def answered(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The expressions that DuckDB computes from now on, in order."""
    asked: list[object] = []
    answer = Backend.to_pyarrow

    def counted(backend: Backend, expression: Any, **how: Any) -> Any:
        asked.append(expression)
        return answer(backend, expression, **how)

    monkeypatch.setattr(Backend, "to_pyarrow", counted)
    return asked
