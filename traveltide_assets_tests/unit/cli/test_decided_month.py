"""What the command line says if a month has not been decided."""

from __future__ import annotations

from pathlib import Path

import pytest

from traveltide_assets.cli.console import NothingDecided, decided_month
from traveltide_assets.resources import open_lake
from traveltide_assets.settings import Settings


@pytest.mark.parametrize("named", [True, False])
def test_only_the_lake_of_the_sample_is_called_generated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    if named:
        monkeypatch.setenv("TRAVELTIDE_LAKE", str(tmp_path / "mine"))
    settings = Settings()
    with pytest.raises(NothingDecided) as error:
        decided_month(settings, open_lake(settings), None)
    assert ("generated data" in str(error.value)) is not named
