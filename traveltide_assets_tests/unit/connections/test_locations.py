"""Locations are read from a setting as written, and a password is never shown."""

from __future__ import annotations

import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from traveltide_assets.connections.config import Config
from traveltide_assets.connections.locations import PostgresLocation, S3Location, parse_location
from traveltide_assets.connections.postgres import PostgresError, connect
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


@pytest.mark.parametrize("scheme", ["postgres", "POSTGRES", "PostgreSQL"])
def test_the_scheme_of_a_database_is_read_in_any_case(scheme: str) -> None:
    location = parse_location(f"{scheme}://ana:s3cret@db/travel")
    assert isinstance(location, PostgresLocation)
    assert location.url == "postgresql://ana:s3cret@db/travel"
    assert parse_location("S3://landing/raw") == S3Location("landing", "raw")


@pytest.mark.parametrize(
    "name",
    [
        "lake [v2]",
        "postgres-exports",
        "postgres/exports",
        "/data/month=2023-07/lake",
        "/data/key=1/lake",
        "a.b/c d",
    ],
)
def test_a_folder_may_have_an_unusual_name(name: str) -> None:
    assert parse_location(name) == Path(name)


def test_a_folder_with_a_name_like_an_address_is_taken_where_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("data@2023", "host=db"):
        with pytest.raises(ValueError, match="must exist"):
            parse_location(name)
        (tmp_path / name).mkdir()
        assert parse_location(name) == Path(name)


@pytest.mark.parametrize("text", [" lake", "lake ", "'lake'", '"lake"', " ", "lake\n"])
def test_blanks_and_quotes_around_a_location_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="blanks or quotes"):
        parse_location(text)


# Secrets: three words with signs between them, so that a part of one is found as well

WORDS = ("Hush11", "Quiet22", "Whisper33")
SECRETS = st.tuples(
    st.text("@:/?#%&=[]+ \\'\"", max_size=2), st.text("@:/?#%&=;, ", max_size=2)
).map(lambda signs: f"{WORDS[0]}{signs[0]}{WORDS[1]}{signs[1]}{WORDS[2]}")
MALFORMED = st.sampled_from(
    [
        "postgresql://ana:first@{}@db/travel",
        "postgresql:ana:{}@db/travel",
        "postgresql:/ana:{}@db/travel",
        "postgres//ana:{}@db/travel",
        "postgres:{}",
        "postgresql;//ana:{}@db/travel",
        "postgresql://ana:{}",
        "postgresql://ana:{}/travel",
        "postgresql://ana:{}@db:port/travel",
        "postgresql://ana:{}@[::1/travel",
        "postgresql://ana:4711/{}@db/travel",
        "postgresql://ana:%zz{}@db/travel",
        "postgresql://ana:%00{}@db/travel",
        "postgresql://db/travel?password=first?password={}",
        "postgresql://db/travel?{}=1",
        "postgresql://db/travel&password={}",
        "postgresql://db/travel password={}",
        "postgresql+psycopg2://ana:{}@db/travel",
        "jdbc:postgresql://db/travel?user=ana&password={}",
        "mysql://ana:{}@db/travel",
        "{}://db/travel",
        " postgresql://ana:{}@db/travel",
        "'postgresql://ana:{}@db/travel'",
        '"postgresql://ana:{}@db/travel',
        "host=db user=ana password={}",
        "PASSWORD='{}' host=db",
        "s3://key:{}@landing",
        "s3://key:{}@landing/raw",
        "s3://landing/key:{}@raw",
        "s3://landing/raw?secret={}",
        "s3:key:{}@landing",
        "s3//key:{}@landing",
        "https://key:{}@s3.example/landing",
        "ana:{}@db/travel",
        "ana:{}",
        "//ana:{}@db/travel",
        "./ana:{}@db/travel",
    ]
)
NAMES = st.sampled_from(["SOURCE", "LAKE", "PUBLISH"])


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


@given(MALFORMED, SECRETS, NAMES, st.sampled_from([str, quote, lambda text: quote(text, safe="")]))
def test_no_part_of_a_secret_in_a_malformed_location_is_ever_shown(
    form: str, secret: str, name: str, written: type[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"TRAVELTIDE_{name}", written(form.format(secret)))
        with pytest.raises(SettingsError) as error:
            load_settings()
    assert name.lower() in str(error.value)
    assert not [word for word in WORDS if word in shown(error.value)]


@given(SECRETS, st.sampled_from(["//ana:{}@127.0.0.1:1/db", "//127.0.0.1:1/db?password={}"]))
@examples(max_examples=25)
def test_no_part_of_a_password_is_in_the_error_of_a_connection(secret: str, form: str) -> None:
    location = parse_location(f"postgresql:{form.format(quote(secret, safe=''))}")
    assert isinstance(location, PostgresLocation)
    with pytest.raises(PostgresError) as error, connect(location, Config()):
        pass
    seen = shown(error.value) + f"{location} {location!r}" + location.conceal(location.url)
    assert not [word for word in WORDS if word in seen]


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize(
    "value", ["localhost:8333", "s3.example", "http://", "http://key:Hush11@s3", "ftp://s3", " "]
)
def test_an_endpoint_that_is_no_url_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    load_settings()  # without S3, nobody asks for it
    monkeypatch.setenv("TRAVELTIDE_LAKE", "s3://landing/lake")
    with pytest.raises(SettingsError, match=f"{name} is not written as http") as error:
        load_settings()
    assert "Hush11" not in shown(error.value)


@pytest.mark.parametrize(
    "value", ["http://127.0.0.1:8333", "https://s3.example/x", "http://[::1]:1"]
)
def test_an_endpoint_is_a_url(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", value)
    monkeypatch.setenv("TRAVELTIDE_LAKE", "s3://landing/lake")
    assert load_settings().lake == S3Location("landing", "lake")


@pytest.mark.parametrize("name", ["TRAVELTIDE_SOURCE", "TRAVELTIDE_LAKE"])
def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    expected = load_settings()
    monkeypatch.setenv(name, "")
    assert load_settings() == expected
