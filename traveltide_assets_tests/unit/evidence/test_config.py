"""The section `evidence` of the settings, with the name that one of its settings had before."""

from __future__ import annotations

import pytest

from traveltide_assets.evidence.config import Config
from traveltide_assets.settings import load_settings


def test_the_old_name_of_the_permutations_still_sets_them_and_warns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRAVELTIDE_EVIDENCE__SHUFFLES", "300")
    with pytest.warns(FutureWarning, match=r"evidence\.shuffles.*evidence\.permutations"):
        evidence = load_settings().evidence
    assert evidence == Config(permutations=300)


def test_the_new_name_of_the_permutations_wins_over_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRAVELTIDE_EVIDENCE__SHUFFLES", "300")
    monkeypatch.setenv("TRAVELTIDE_EVIDENCE__PERMUTATIONS", "500")
    with pytest.warns(FutureWarning, match=r"evidence\.shuffles"):
        assert load_settings().evidence.permutations == 500
