"""The only module that reads the environment and `traveltide.toml`.

Each section is declared beside the code it configures, as `Config` in the `config.py` of a package.
This module composes the sections and reads their values.
"""

from __future__ import annotations

import os
import re
import tomllib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as UnreadableSetting

from traveltide_assets.campaign.config import Config as Campaign
from traveltide_assets.campaign.config import Economics, Exploration
from traveltide_assets.catalogue import FOLDER
from traveltide_assets.connections.config import Config as Postgres
from traveltide_assets.connections.locations import (
    Location,
    PostgresLocation,
    S3Location,
    parse_location,
)
from traveltide_assets.defs.config import Automation, Checks
from traveltide_assets.engines.config import Config as Spark
from traveltide_assets.evidence.config import LEARNED, RECOMMENDED
from traveltide_assets.evidence.config import Config as Evidence
from traveltide_assets.experiment.config import Config as Experiment
from traveltide_assets.lake.config import Config as S3Limits
from traveltide_assets.lake.config import Lease, Release
from traveltide_assets.prediction.config import Config as Prediction
from traveltide_assets.sample.config import Config as Sample
from traveltide_assets.schema.config import Partitions
from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.schema.text_file import UnreadableText, read_text
from traveltide_assets.segmentation import registry
from traveltide_assets.segmentation.config import Config as KMeans
from traveltide_assets.segmentation.config import Decision, Traits
from traveltide_assets.serving.config import Config as Serving
from traveltide_assets.transforms.cleaning.config import Config as Cleaning
from traveltide_assets.transforms.config import Config as Cohort
from traveltide_assets.transforms.features.config import Policy

_PREFIX = "TRAVELTIDE_"
_CONFIG = "TRAVELTIDE_CONFIG"
_IN_SCENARIOS = frozenset(
    {"strategy", "perks_file", "policy", "campaign", "traits", "exploration", "economics"}
)
_LAKE, _SAMPLE_LAKE = Path("lake"), Path("lake-sample")
# The last ones win with boto3.
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
_ENDPOINT = re.compile(r"https?://(?:[\w.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:/[\w./~-]*)?", re.I)


def _location(value: object) -> object:
    if value == "":
        return None
    return parse_location(value) if isinstance(value, str) else value


def _lake(value: object, info: ValidationInfo) -> object:
    """The sample has a lake of its own, so that generated and real customers never mix."""
    location = _location(value)
    if location is None:
        return _SAMPLE_LAKE if info.data.get("source") is None else _LAKE
    if isinstance(location, PostgresLocation):
        raise ValueError("a lake is a folder or s3://bucket/prefix, not a database")
    return location


def _database(value: object) -> object:
    location = _location(value)
    if location is not None and not isinstance(location, PostgresLocation):
        raise ValueError("not written as postgresql://user:password@host:port/name")
    return location


class Settings(BaseSettings):
    """Every setting of the system.

    The environment takes precedence over `traveltide.toml`, and both over the defaults.
    `TRAVELTIDE_SOURCE` sets `source`. The names of nested settings are joined with two underscores,
    as in `TRAVELTIDE_COHORT__MIN_SESSIONS=7`.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        # A value may be a URL that contains a password.
        hide_input_in_errors=True,
    )

    source: Annotated[
        Path | S3Location | PostgresLocation | None, BeforeValidator(_location), NoDecode
    ] = Field(
        None,
        description="Folder or `s3://bucket/prefix` of CSV or Parquet files, or "
        "`postgresql://…` (from the environment only). Unset: a generated sample",
    )
    lake: Annotated[Path | S3Location, BeforeValidator(_lake), NoDecode] = Field(
        None,
        validate_default=True,
        description="Folder or `s3://bucket/prefix` of the lake, which belongs to one source. "
        f"Unset: `{_LAKE}`, or `{_SAMPLE_LAKE}` for the generated sample",
    )
    publish: Annotated[PostgresLocation | None, BeforeValidator(_database), NoDecode] = Field(
        None,
        description="`postgresql://…` of the database to publish the perks to (from the "
        "environment only). Unset: perks are not published",
    )
    publish_table: str = Field(
        "perk_assignments", min_length=1, max_length=63, description="Table to publish to"
    )
    home: Path = Field(
        Path(".traveltide"), description="Folder for the run history, the sample and staged files"
    )
    umask: Annotated[str, Field(pattern=r"^0?[0-7]{3}$")] = Field(
        "077",
        description="Permissions withheld from the files of lake and home: with `077` only "
        "the user who runs this may use them, with `027` the group may read them, with `007` also "
        "write",
    )
    perks_file: Path = Field(FOLDER / "perks.toml", description="File of the perk catalogue")
    scenario: Path | None = Field(
        None,
        description="File of a scenario, as the desk saves it: it takes precedence over "
        "environment and `traveltide.toml`",
    )
    scenarios: Path = Field(Path("scenarios"), description="Folder where the desk saves scenarios")
    engine: Literal["duckdb", "spark", "sail"] = Field(
        "duckdb",
        description="Compute engine: DuckDB on this machine, Spark on a cluster, or Sail, which "
        "does what Spark does, on this machine and without Java",
    )
    spark: Spark = Spark()
    strategy: str = Field(
        RECOMMENDED,
        description="Strategy that decides the perks. `recommended`: the one that the scorecard "
        "recommends. `learned`: the policy that the policy scorecard promoted, and until there is "
        "one, what is recommended",
    )
    seed: int = Field(7, ge=0, description="Random seed of every step. The sample has its own")
    executor: Literal["in_process", "forkserver"] = Field(
        "in_process",
        description="How the steps of a run are executed: one after the other in one process, or "
        "each in its own process",
    )
    memory: Annotated[str, Field(pattern=r"^(\d+(\.\d+)? ?[KMGT]i?B|[1-9]\d?%)$")] = Field(
        "25%",
        description="Memory limit of the engine, as `4GB` or as a share of the machine's memory. "
        "Larger work spills to disk, in `home`",
    )
    parallel_steps: int = Field(2, ge=1, description="Steps run at the same time with `forkserver`")
    lease: Lease = Lease()
    partitions: Partitions = Partitions()
    cleaning: Cleaning = Cleaning()
    cohort: Cohort = Cohort()
    policy: Policy = Policy()
    kmeans: KMeans = KMeans()
    traits: Traits = Traits()
    decision: Decision = Decision()
    evidence: Evidence = Evidence()
    campaign: Campaign = Campaign()
    exploration: Exploration = Exploration()
    economics: Economics = Economics()
    experiment: Experiment = Experiment()
    checks: Checks = Checks()
    release: Release = Release()
    postgres: Postgres = Postgres()
    s3: S3Limits = S3Limits()
    automation: Automation = Automation()
    sample: Sample = Sample()
    prediction: Prediction = Prediction()
    serving: Serving = Serving()
    api_key: Annotated[SecretStr | None, BeforeValidator(lambda key: key or None)] = Field(
        None,
        description="API key clients must send in `X-API-Key`. Leave empty to disable "
        "authentication.",
    )

    @field_validator("strategy")
    @classmethod
    def _is_registered(cls, value: str) -> str:
        if value in registry.RENAMED:
            raise ValueError(
                f"{value!r} is no longer a strategy: {registry.RENAMED[value]!r} replaces it"
            )
        if value not in (RECOMMENDED, LEARNED, *registry.names()):
            raise ValueError(
                f"{value!r} is not a strategy; choose {RECOMMENDED}, {LEARNED}, "
                f"{', '.join(registry.names())}"
            )
        return value

    @field_validator("evidence")
    @classmethod
    def _falls_back_to_a_strategy(cls, value: Evidence) -> Evidence:
        if value.fallback not in registry.names():
            raise ValueError(
                f"fallback: {value.fallback!r} is not a strategy; choose "
                f"{', '.join(registry.names())}"
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _takes_old_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`kmeans.seed` was the seed of everything before `seed` was."""
        kmeans = values.get("kmeans")
        if not isinstance(kmeans, dict) or "seed" not in kmeans:
            return values
        warnings.warn("the setting kmeans.seed is now called seed", FutureWarning, stacklevel=2)
        rest = {name: value for name, value in kmeans.items() if name != "seed"}
        return {"seed": kmeans["seed"], **values, "kmeans": rest}

    @model_validator(mode="after")
    def _clusters_what_is_permitted(self) -> Settings:
        permitted = self.policy.allowed(self.kmeans.features)
        if forbidden := sorted(set(self.kmeans.features) - set(permitted)):
            raise ValueError(
                f"kmeans.features: {', '.join(forbidden)} may not be used, because "
                "policy.forbidden_features says so. Name other features"
            )
        return self

    @model_validator(mode="after")
    def _months_are_ordered(self) -> Settings:
        """The last month of a source follows it, so it is not known here."""
        first, last = self.partitions.first, self.partitions.last
        if self.source is None and last is not None and first > last:
            raise ValueError(f"partitions: first month {first} is after the last month {last}")
        return self

    @model_validator(mode="after")
    def _knows_the_endpoint(self) -> Settings:
        """boto3 raises a bare `ValueError` in the middle of a run."""
        if any(isinstance(place, S3Location) for place in (self.source, self.lake)):
            for name in _ENDPOINTS:
                if not _ENDPOINT.fullmatch(os.environ.get(name) or "http://unset"):
                    raise ValueError(
                        f"{name} is not written as http://host:port or https://host. Credentials "
                        "do not belong in it, but in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    )
        return self

    @property
    def source_location(self) -> Location:
        """The configured source, or the folder of the generated sample."""
        return self.sample_folder if self.source is None else self.source

    @property
    def s3_endpoint(self) -> str | None:
        """The S3 server, if it is not that of AWS."""
        given = (os.environ.get(name) for name in reversed(_ENDPOINTS))
        return next(filter(None, given), None)

    @property
    def sample_folder(self) -> Path:
        """The folder of the generated sample."""
        sample = self.sample
        name = "-".join(
            f"{knob}{value:g}"
            for knob, value in (
                ("users", sample.users),
                ("seed", sample.seed),
                ("active", sample.active_share),
                ("affinity", sample.affinity),
                ("dirt", sample.dirt),
            )
        )
        return self.home / "sample" / name

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = _File(settings_cls, given := _file_values())
        scenario = InitSettingsSource(settings_cls, _scenario_values(given))
        return init_settings, scenario, _Environment(settings_cls), file


class _Environment(EnvSettingsSource):
    """The environment, where `TRAVELTIDE_RELEASE=manual` is short for the mode of the section."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        if field_name == "release" and value.isalpha():
            return {"mode": value}
        return super().decode_complex_value(field_name, field, value)


class _File(InitSettingsSource):
    """`traveltide.toml`. Secrets in it are rejected, because files get shared."""

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        for name in ("source", "publish"):
            text = str(values.get(name, "")).strip(" '\"").lower()
            if text.startswith(("postgresql:", "postgres:")):
                raise SettingsError(
                    f"{name} in {_file()} is a database URL, which may contain a password. "
                    f"Remove it from the file and set {_PREFIX}{name.upper()} in the environment"
                )
        automation = values.get("automation")
        if isinstance(automation, dict) and "webhook" in automation:
            raise SettingsError(
                f"{_file()}: automation.webhook is a secret. Set it as "
                "TRAVELTIDE_AUTOMATION__WEBHOOK in the environment"
            )
        return values


def _file() -> Path:
    return Path(os.environ.get(_CONFIG) or "traveltide.toml")


def _file_values() -> dict[str, Any]:
    """What the file says. A file that is named must be there."""
    path = _file()
    named = bool(os.environ.get(_CONFIG))
    return tomllib.loads(read_text(path).text) if named or os.path.lexists(path) else {}


def _scenario_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the scenario sets that the environment names, or else `traveltide.toml`.

    It may set what is decided, and nothing about where and how. Its catalogue lies beside it.
    """
    named = os.environ.get(f"{_PREFIX}SCENARIO") or given.get("scenario")
    if not named:
        return {}
    file = Path(str(named))
    values = tomllib.loads(read_text(file).text)
    if unknown := sorted(set(values) - _IN_SCENARIOS):
        raise SettingsError(
            f"scenario {file}: it may not set {', '.join(unknown)}; it may set "
            f"{', '.join(sorted(_IN_SCENARIOS))}"
        )
    if "perks_file" in values:
        values["perks_file"] = file.parent / str(values["perks_file"])
    return values


def load_settings() -> Settings:
    """Read the settings. Raises `SettingsError`, which lists every problem found."""
    known = {_PREFIX + name.upper() for name in Settings.model_fields}
    given = {name.split("__")[0] for name in os.environ if name.startswith(_PREFIX)}
    if unknown := sorted(given - known - {_CONFIG}):
        raise SettingsError(
            f"unknown environment variables: {', '.join(unknown)} "
            f"(known: {', '.join(sorted(known))})"
        )
    try:
        return Settings()
    except UnreadableText as error:
        raise SettingsError(f"settings file: {error} ({_CONFIG} names another file)") from error
    except ValidationError as error:
        problems = "\n".join(f"  {problem}" for problem in _problems(error))
        raise SettingsError(
            "invalid settings (TRAVELTIDE_… or traveltide.toml):\n" + problems
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{_file()} is not valid TOML: {error}") from error
    except UnreadableSetting as error:
        raise SettingsError(f"{error}: write lists in the environment as JSON") from error


def _problems(error: ValidationError) -> Iterator[str]:
    """A line per setting: its name, and what is wrong with it.

    A value that may be of two types has a problem with each of them. Pydantic adds the type to the
    name (`kmeans.k.constrained-int`), where nobody would look for the setting.
    """
    found: dict[str, list[str]] = {}
    for problem in error.errors():
        parts = [str(part) for part in problem["loc"]]
        name = ".".join(part for part in parts if part.isidentifier() or part.isdigit())
        found.setdefault(name, []).append(problem["msg"].removeprefix("Value error, "))
    for name, messages in found.items():
        yield f"{name}: {'; or: '.join(messages)}" if name else "; ".join(messages)
