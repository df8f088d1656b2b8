"""The folder of Dagster's history: it works, or a message names it and the setting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from traveltide_assets.defs.instance.home import open_instance
from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.settings import Settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "")  # restored afterwards, whatever a test leaves
    (tmp_path / "file").touch()


def used(settings: Settings | None = None) -> Path:
    """The folder that an instance was opened in."""
    with open_instance(settings or Settings()) as instance:
        assert instance.get_runs() == []
    return Path(os.environ["DAGSTER_HOME"])


@pytest.mark.parametrize("name", ["", "relative/home", "with blank", "with [v2]", "50%", "ö"])
def test_any_folder_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DAGSTER_HOME", name)
    assert used() == tmp_path / (name or ".traveltide/dagster")


@pytest.mark.parametrize("name", ["file", "file/below", "/proc/none", "a?b", "a%20b"])
@pytest.mark.parametrize("variable", ["DAGSTER_HOME", "TRAVELTIDE_HOME"])
def test_a_folder_that_cannot_be_used_is_named_with_its_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    settings = Settings()
    if variable == "DAGSTER_HOME":
        monkeypatch.setenv(variable, name)
    else:
        settings = Settings(home=Path(name))
    with pytest.raises(SettingsError) as error:
        used(settings)
    assert variable in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "storage: [",
        "- one",
        "nonsense: 1",
        "event_log_storage: {module: nowhere, class: Nothing}",
        "\x80",
    ],
)
def test_a_dagster_yaml_that_cannot_be_used_is_told_in_a_few_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text(text, encoding="latin-1")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with pytest.raises(SettingsError) as error:
        used()
    assert "DAGSTER_HOME" in str(error.value)
    assert len(str(error.value)) < 700 + len(str(tmp_path))


def test_a_damaged_history_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home" / "history").mkdir(parents=True)
    (tmp_path / "home" / "history" / "runs.db").write_bytes(b"no database" * 1000)
    monkeypatch.setenv("DAGSTER_HOME", "home")
    with pytest.raises(SettingsError, match="not a database"):
        used()


def test_a_folder_whose_history_is_on_a_server_need_not_be_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    text = "storage: {postgres: {postgres_url: 'postgresql://ana@127.0.0.1:1/dagster'}}"
    (tmp_path / "home" / "dagster.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", "home")
    with pytest.raises(SettingsError, match="DAGSTER_HOME"):
        used()
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["dagster.yaml"]
