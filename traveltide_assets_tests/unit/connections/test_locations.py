"""Locations are read from a setting as written, and a password is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from traveltide_assets.connections.locations import PostgresLocation, S3Location, parse_location
from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.settings import load_settings


@pytest.mark.parametrize("text", ["s3://landing/raw/2023", "s3://landing/raw/2023/"])
def test_a_place_in_s3_has_bucket_and_prefix(text: str) -> None:
    assert parse_location(text) == S3Location("landing", "raw/2023")
    assert str(parse_location(text)) == "s3://landing/raw/2023"


def test_a_bucket_alone_is_a_place() -> None:
    assert parse_location("s3://landing") == S3Location("landing")


def test_a_folder_is_a_path() -> None:
    assert parse_location("exports/2023") == Path("exports/2023")


@pytest.mark.parametrize("text", ["s3://", "s3:///raw", "s3://Not_A_Bucket/x", "gs://bucket/x"])
def test_what_is_no_location_is_refused_with_what_is_accepted(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAVELTIDE_SOURCE", text)
    with pytest.raises(SettingsError, match=r"s3://"):
        load_settings()


def test_a_database_never_shows_its_user_and_password() -> None:
    location = parse_location("postgresql://ana:s3cret@db.example:5433/travel?sslmode=require")
    assert isinstance(location, PostgresLocation)
    assert str(location) == repr(location) == "postgresql://db.example:5433/travel"
    assert "s3cret" in location.url


def test_settings_never_show_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAVELTIDE_SOURCE", "postgresql://ana:s3cret@db/travel")
    assert "s3cret" not in repr(load_settings())


def test_a_lake_is_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAVELTIDE_LAKE", "postgresql://ana:s3cret@db/travel")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert "s3cret" not in str(error.value)
