"""What several tests of definitions use."""

import pytest

from traveltide_assets.engines.duckdb import DuckDB


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> DuckDB:
    """An engine that computes in this process."""
    return DuckDB(tmp_path_factory.mktemp("scratch"))
