"""The environment, `traveltide.toml` and the defaults become settings, or a message."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import pytest

from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TRAVELTIDE_")]:
        monkeypatch.delenv(name)
    return tmp_path


def test_without_anything_set_the_brief_holds() -> None:
    settings = load_settings()
    assert settings.source is None
    assert settings.lake == Path("lake-sample")
    assert settings.cohort.active_since == dt.date(2023, 1, 4)
    assert settings.cohort.min_sessions == 8
    assert settings.kmeans.k == 4
    assert (settings.partitions.first, settings.partitions.last) == ("2021-04", "2023-07")


def test_the_environment_sets_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAVELTIDE_SOURCE", "exports")
    settings = load_settings()
    assert settings.source == settings.source_location == Path("exports")


def test_two_underscores_reach_into_a_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAVELTIDE_COHORT__MIN_SESSIONS", "7")
    monkeypatch.setenv("TRAVELTIDE_COHORT__ACTIVE_SINCE", "2023-01-05")
    monkeypatch.setenv("TRAVELTIDE_KMEANS__K", "silhouette")
    monkeypatch.setenv("TRAVELTIDE_KMEANS__FEATURES", '["total_trips", "age"]')
    settings = load_settings()
    assert settings.cohort.min_sessions == 7
    assert settings.cohort.active_since == dt.date(2023, 1, 5)
    assert settings.kmeans.k == "silhouette"
    assert settings.kmeans.features == ("total_trips", "age")


@pytest.mark.parametrize(
    ("old", "new"), [("hierarchical", "six_groups"), ("personas", "five_personas")]
)
def test_a_strategy_of_an_earlier_version_names_the_one_that_replaces_it(
    monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    monkeypatch.setenv("TRAVELTIDE_STRATEGY", old)
    with pytest.raises(SettingsError, match=f"strategy: '{old}' is no longer .* '{new}' replaces"):
        load_settings()
    monkeypatch.setenv("TRAVELTIDE_STRATEGY", new)
    assert load_settings().strategy == new


def test_releases_wait_by_one_word_or_by_the_settings_of_the_section(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (load_settings().release.mode, load_settings().release.keep) == ("auto", 12)
    monkeypatch.setenv("TRAVELTIDE_RELEASE__KEEP", "3")
    monkeypatch.setenv("TRAVELTIDE_RELEASE", "manual")
    assert (load_settings().release.mode, load_settings().release.keep) == ("manual", 3)
    monkeypatch.setenv("TRAVELTIDE_RELEASE", "sometimes")
    with pytest.raises(SettingsError, match=r"release\.mode: Input should be 'auto' or 'manual'"):
        load_settings()
    monkeypatch.delenv("TRAVELTIDE_RELEASE")
    monkeypatch.setenv("TRAVELTIDE_RELEASE__MODE", "manual")
    assert load_settings().release.mode == "manual"
    monkeypatch.delenv("TRAVELTIDE_RELEASE__MODE")
    (elsewhere / "traveltide.toml").write_text('release = "manual"\n', encoding="utf-8")
    monkeypatch.delenv("TRAVELTIDE_RELEASE__KEEP")
    assert load_settings().release.mode == "manual"


def test_the_file_sets_a_setting(elsewhere: Path) -> None:
    (elsewhere / "traveltide.toml").write_text(
        'lake = "data/lake"\n[cohort]\nwindow_months = 6\n', encoding="utf-8"
    )
    settings = load_settings()
    assert settings.lake == Path("data/lake")
    assert settings.cohort.window_months == 6


def test_another_file_can_be_named(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "other.toml").write_text('lake = "other"\n', encoding="utf-8")
    monkeypatch.setenv("TRAVELTIDE_CONFIG", "other.toml")
    assert load_settings().lake == Path("other")


def test_the_environment_goes_before_the_file_and_the_file_before_the_defaults(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / "traveltide.toml").write_text(
        "[cohort]\nmin_sessions = 5\nminimum_age = 18\n", encoding="utf-8"
    )
    monkeypatch.setenv("TRAVELTIDE_COHORT__MIN_SESSIONS", "6")
    cohort = load_settings().cohort
    assert (cohort.min_sessions, cohort.minimum_age) == (6, 18)
    assert cohort.active_since == dt.date(2023, 1, 4)


def test_an_empty_source_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAVELTIDE_SOURCE", "")
    assert load_settings().source is None


def test_an_empty_day_lets_sessions_of_any_day_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAVELTIDE_COHORT__ACTIVE_SINCE", "")
    assert load_settings().cohort.active_since is None


def test_the_generated_sample_has_a_place_of_its_own_for_each_of_its_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    default = load_settings().source_location
    monkeypatch.setenv("TRAVELTIDE_SAMPLE__USERS", "500")
    assert load_settings().source_location != default


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TRAVELTIDE_COHORT__MIN_SESIONS", "7", "cohort.min_sesions"),
        ("TRAVELTIDE_COHORT__MIN_SESSIONS", "many", "cohort.min_sessions"),
        ("TRAVELTIDE_COHORT__MIN_SESSIONS", "0", "cohort.min_sessions"),
        ("TRAVELTIDE_COHORT__ACTIVE_SINCE", "yesterday", "cohort.active_since"),
        ("TRAVELTIDE_PARTITIONS__FIRST", "2023-13", "2023-13"),
        ("TRAVELTIDE_PARTITIONS__FIRST", "2023-08", "after the last month 2023-07"),
        ("TRAVELTIDE_KMEANS__K", "elbow", "kmeans.k"),
        ("TRAVELTIDE_KMEANS__FEATURES", "total_trips,age", "kmeans"),
        ("TRAVELTIDE_CHECKS__MAX_QUARANTINE_SHARE", "1.5", "checks.max_quarantine_share"),
        ("TRAVELTIDE_SPARK__MASTER", "localhost:7077", "spark.master"),
        ("TRAVELTIDE_SPARK__REMOTE", "localhost:15002", "spark.remote"),
        ("TRAVELTIDE_SPARK__REMOTE", "sc://h:1/;token=t", "SPARK_CONNECT_AUTHENTICATE_TOKEN"),
    ],
)
def test_a_wrong_value_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('lakes = "lake"', "lakes"),
        ("[cohort]\nsessions = 8", "cohort.sessions"),
        ("[kmeans]\nk = 0", "kmeans.k"),
        ("[kmeans\nk = 4", "traveltide.toml"),
    ],
)
def test_a_wrong_file_is_named(elsewhere: Path, text: str, said: str) -> None:
    (elsewhere / "traveltide.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert said in str(error.value)


def test_a_value_of_two_types_has_one_line_that_begins_with_the_name_of_its_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRAVELTIDE_KMEANS__K", "elbow")
    with pytest.raises(SettingsError) as error:
        load_settings()
    (line,) = str(error.value).splitlines()[1:]
    assert line.startswith("  kmeans.k: ")
    assert "integer" in line
    assert "'silhouette'" in line


def test_everything_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAVELTIDE_COHORT__MIN_SESSIONS", "0")
    monkeypatch.setenv("TRAVELTIDE_KMEANS__RESTARTS", "0")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert "cohort.min_sessions" in str(error.value)
    assert "kmeans.restarts" in str(error.value)


def test_a_misspelt_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAVELTIDE_SORCE", "somewhere")
    with pytest.raises(SettingsError, match="TRAVELTIDE_SORCE"):
        load_settings()


def test_a_configuration_file_that_is_named_must_exist(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRAVELTIDE_CONFIG", str(tmp_path / "absent.toml"))
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        load_settings()


def test_the_number_of_bootstraps_is_ignored_with_a_notice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRAVELTIDE_CHECKS__MAX_PSI", "0.5")
    expected = load_settings()
    monkeypatch.setenv("TRAVELTIDE_CHECKS__BOOTSTRAPS", "2")
    with pytest.warns(FutureWarning, match=r"checks\.bootstraps.*evidence\.refits"):
        assert load_settings() == expected


# `kmeans.seed`, which is called `seed` now


def test_the_old_name_of_the_seed_still_sets_it_from_the_environment_and_warns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRAVELTIDE_KMEANS__SEED", "3")
    monkeypatch.setenv("TRAVELTIDE_KMEANS__K", "5")
    with pytest.warns(FutureWarning, match=r"kmeans\.seed is now called seed"):
        settings = load_settings()
    assert settings.seed == 3
    assert settings.kmeans.k == 5, "the rest of the section stays"


def test_the_old_name_of_the_seed_still_sets_it_from_the_file_and_warns(elsewhere: Path) -> None:
    (elsewhere / "traveltide.toml").write_text("[kmeans]\nseed = 4\nk = 5\n", encoding="utf-8")
    with pytest.warns(FutureWarning, match=r"kmeans\.seed is now called seed"):
        settings = load_settings()
    assert settings.seed == 4
    assert settings.kmeans.k == 5


def test_the_old_name_of_the_seed_still_sets_it_by_keyword_and_warns() -> None:
    with pytest.warns(FutureWarning, match=r"kmeans\.seed is now called seed"):
        settings = Settings(kmeans={"seed": 5})
    assert settings.seed == 5


@pytest.mark.parametrize("place", ["environment", "file", "keyword"])
def test_the_seed_goes_before_its_old_name(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("TRAVELTIDE_KMEANS__SEED", "3")
    keywords: dict[str, Any] = {}
    if place == "environment":
        monkeypatch.setenv("TRAVELTIDE_SEED", "8")
    elif place == "file":
        (elsewhere / "traveltide.toml").write_text("seed = 8\n", encoding="utf-8")
    else:
        keywords["seed"] = 8
    with pytest.warns(FutureWarning, match=r"kmeans\.seed"):
        settings = Settings(**keywords)
    assert settings.seed == 8


def test_a_wrong_value_under_the_old_name_of_the_seed_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRAVELTIDE_KMEANS__SEED", "-1")
    with (
        pytest.warns(FutureWarning, match=r"kmeans\.seed"),
        pytest.raises(SettingsError, match="seed"),
    ):
        load_settings()


def test_without_the_old_name_of_the_seed_nothing_warns(recwarn: pytest.WarningsRecorder) -> None:
    assert load_settings().seed == 7
    assert not [warning for warning in recwarn if warning.category is FutureWarning]


# The file as editors write it


def test_a_byte_order_mark_does_no_harm(elsewhere: Path) -> None:
    (elsewhere / "traveltide.toml").write_bytes(b"\xef\xbb\xbfseed = 4\r\n")
    assert load_settings().seed == 4


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_a_file_that_is_not_utf8_is_named(elsewhere: Path, encoding: str) -> None:
    (elsewhere / "traveltide.toml").write_bytes("seed = 4 # Größe\n".encode(encoding))
    with pytest.raises(SettingsError, match=r"traveltide\.toml.*UTF-8") as error:
        load_settings()
    assert "TRAVELTIDE_CONFIG" in str(error.value)


@pytest.mark.parametrize("named", [True, False])
def test_a_folder_is_no_settings_file(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    (elsewhere / "traveltide.toml").mkdir()
    if named:
        monkeypatch.setenv("TRAVELTIDE_CONFIG", "traveltide.toml")
    with pytest.raises(SettingsError, match="it is a folder"):
        load_settings()


def test_a_dangling_link_is_no_settings_file(elsewhere: Path) -> None:
    (elsewhere / "traveltide.toml").symlink_to("absent.toml")
    with pytest.raises(SettingsError, match="no such file"):
        load_settings()


def test_a_settings_file_without_the_right_to_read_it_is_named(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / "traveltide.toml").write_text("seed = 4", encoding="utf-8")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read anything
    with pytest.raises(SettingsError, match="no right to read it"):
        load_settings()


def test_a_section_that_is_none_is_named(elsewhere: Path) -> None:
    (elsewhere / "traveltide.toml").write_text("automation = 3\nkmeans = 4", encoding="utf-8")
    with pytest.raises(SettingsError, match="automation"):
        load_settings()


# The lake


def test_the_sample_has_a_lake_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAVELTIDE_SOURCE", "exports")
    assert load_settings().lake == Path("lake")
    monkeypatch.delenv("TRAVELTIDE_SOURCE")
    assert load_settings().lake == Path("lake-sample")
    monkeypatch.setenv("TRAVELTIDE_LAKE", "mine")
    assert load_settings().lake == Path("mine")
