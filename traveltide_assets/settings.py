"""The one reader of the environment and of `traveltide.toml`."""

from __future__ import annotations

import datetime as dt
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as UnreadableSetting

from traveltide_assets.connections.notify import is_understood
from traveltide_assets.locations import (
    Location,
    PostgresLocation,
    S3Location,
    parse_location,
)
from traveltide_assets.months import is_month

PACKAGE = Path(__file__).parent
CLASSIC_FEATURES = (
    "total_sessions",
    "session_cancellation_rate",
    "discount_usage_rate",
    "total_nights",
    "total_checked_bags",
    "total_base_fare",
)
_PREFIX = "TRAVELTIDE_"
_CONFIG = "TRAVELTIDE_CONFIG"
Share = Annotated[float, Field(ge=0, le=1)]
# A line of a mail that also survives a spreadsheet, where some first characters make a formula.
Headline = Annotated[str, Field(max_length=150, pattern=r"^[^\s\x00-\x1f=+\-@][^\x00-\x1f\x7f]*$")]


class SettingsError(ValueError):
    """A setting is wrong; the message names it, its value and what is accepted."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _open_end(value: object) -> object:
    return None if value in ("", "open") else value


class Partitions(_Section):
    """Bounds of the monthly partitions, both included."""

    first: str = Field("2021-04", description="First month, `YYYY-MM`")
    last: Annotated[str | None, BeforeValidator(_open_end)] = Field(
        "2023-07",
        description="Last month, `YYYY-MM`, decided by default; `open`: the current month, "
        "whose partition holds what is known so far",
    )

    def include(self, month: str) -> bool:
        """Whether a month that has begun lies within the bounds."""
        return self.first <= month and (self.last is None or month <= self.last)

    @field_validator("first", "last")
    @classmethod
    def _is_month(cls, value: str | None) -> str | None:
        if value is not None and not is_month(value):
            raise ValueError(f"{value!r} is not a month written as YYYY-MM")
        return value

    @model_validator(mode="after")
    def _is_ordered(self) -> Partitions:
        if self.last is not None and self.first > self.last:
            raise ValueError(f"first month {self.first} is after the last month {self.last}")
        return self


class Cohort(_Section):
    """Who counts as an active customer; the defaults are the rule of the program's brief."""

    active_since: Annotated[dt.date | None, BeforeValidator(lambda day: day or None)] = Field(
        dt.date(2023, 1, 4), description="Only sessions from this day on count; empty: any day"
    )
    min_sessions: int = Field(8, ge=1, description="Fewest sessions of a customer")
    window_months: int | None = Field(
        None, ge=1, description="Only sessions of the last so many months count; none: no window"
    )
    minimum_age: int | None = Field(
        None, ge=0, description="Fewest completed years at the end of the month; none: any age"
    )


class KMeans(_Section):
    """The cluster model."""

    features: tuple[str, ...] = Field(
        CLASSIC_FEATURES, description="Features of the model, from the feature catalogue"
    )
    k: Annotated[int, Field(ge=1)] | Literal["silhouette"] = Field(
        4, description='Number of segments, or `"silhouette"`: the k of the highest silhouette'
    )
    max_k: int = Field(10, ge=2, description="Largest number of clusters tried for the elbow")
    seed: int = Field(7, ge=0, description="Seed of everything random in the model")
    restarts: int = Field(10, ge=1, description="Starts of each k-means; the best one stays")
    fit_rows: int = Field(
        100_000, ge=100, description="Customers that the model is fitted on at most, drawn by seed"
    )
    sample_rows: int = Field(
        4_000, ge=100, description="Customers that silhouette and its kin are computed on"
    )


StrategyName = Literal[
    "kmeans", "kmeans_wide", "hierarchical", "personas", "perk_affinity", "propensity"
]
STRATEGIES: tuple[StrategyName, ...] = get_args(StrategyName)


class Evidence(_Section):
    """How the perks are tried on what customers did after a cut."""

    months: int = Field(3, ge=1, description="Length of the part of the history after the cut")
    folds: int = Field(5, ge=2, description="Folds of customers for strategies that learn")
    resamples: int = Field(1_000, ge=100, description="Bootstrap draws, and first shuffles")
    shuffles: int = Field(
        5_000, ge=100, description="Shuffles in all, where the first find a lift unlikely"
    )
    alpha: float = Field(
        0.025,
        gt=0,
        lt=1,
        description="Level of significance, over all strategies and perks; for lifts above 1 only",
    )
    min_customers: int = Field(50, ge=1, description="Fewer customers are too little data")
    min_opportunities: int = Field(100, ge=1, description="Fewer opportunities are, too")
    sample_rows: int = Field(
        20_000, ge=100, le=65_535, description="Customers the trial takes at most"
    )
    refits: int = Field(3, ge=2, description="Bootstrap refits for a strategy's stability")


class Campaign(_Section):
    """Who is written to."""

    holdout_share: Share = Field(
        0.1, description="Customers who get no invitation, so that its worth can be measured"
    )
    salt: str = Field("holdout", description="Another salt holds out other customers")
    suppression_file: Path | None = Field(
        None, description="CSV of the `user_id`s that must not be written to; none: nobody"
    )


class Experiment(_Section):
    """Personalised perk against a control offer, among the customers who are written to."""

    start: dt.date | None = Field(
        None, description="First day; none: everybody written to gets their perk"
    )
    weeks: int = Field(8, ge=1, description="Planned length; results before its end are a peek")
    ratio: float = Field(0.5, gt=0, lt=1, description="Share given their personalised perk")
    salt: str = Field("experiment", description="Another salt, another split")
    control_offer: str = Field(
        "control_offer",
        description="What the others are offered: a perk's id, or `control_offer`, no perk",
    )
    control_headline: Headline = Field(
        "Your next trip is waiting for you.", description="Headline of `control_offer`"
    )
    relative_effect: float = Field(
        0.1, gt=0, description="Smallest change worth finding, relative to the control offer"
    )
    power: float = Field(0.8, gt=0, lt=1, description="Chance to find it that is asked for")
    alpha: float = Field(0.05, gt=0, lt=1, description="Level of significance, over all tests")
    assumed_click_through: float = Field(
        0.03, gt=0, lt=1, description="Share who click the invitation, until it is measured"
    )
    assumed_sign_ups: float = Field(
        0.2, gt=0, lt=1, description="Share who sign up, until it is measured"
    )
    history_weeks: int = Field(
        26, ge=1, description="Weeks of sessions, at most, that the plan rests on"
    )
    outcomes_file: Path | None = Field(
        None, description="CSV of measured outcomes: `user_id` and metrics; none: sessions only"
    )
    max_imbalance: float = Field(
        0.1, ge=0, description="Difference of a feature between the halves, in SD, that warns"
    )
    mismatch_alpha: float = Field(
        0.001, gt=0, lt=1, description="P-value below which the sizes of the halves are a fault"
    )


class Checks(_Section):
    """Limits of the asset checks that warn."""

    max_quarantine_share: Share = Field(0.01, description="Rows refused, per table")
    max_orphan_share: Share = Field(0.01, description="Flights or stays no session names")
    max_cohort_change: float = Field(
        0.5, ge=0, description="Change of the cohort's size against the month before"
    )
    min_segment_share: Share = Field(0.02, description="Customers in the smallest segment")
    min_silhouette: float = Field(0.15, ge=-1, le=1, description="Silhouette of the chosen k")
    min_stability: float = Field(
        0.6, ge=-1, le=1, description="Mean adjusted Rand index of refits on bootstrap draws"
    )
    max_psi: float = Field(
        0.25, ge=0, description="Population stability index of a feature against last month"
    )
    bootstraps: int = Field(8, ge=2, description="Refits for the stability check")


class Postgres(_Section):
    """How patient we are with a PostgreSQL database."""

    connect_timeout_seconds: int = Field(10, ge=1, description="Longest wait for a connection")
    statement_timeout_seconds: int = Field(
        1_800, ge=1, description="Longest time a statement may take, extraction of a table included"
    )
    attempts: int = Field(
        6, ge=1, description="Attempts at an extraction whose connection breaks, 1, 2, 4, … s apart"
    )


class Spark(_Section):
    """The cluster that computes where `engine` is `spark`.

    Anything else is Spark's own to say, in `spark-defaults.conf`.
    """

    master: Annotated[str, Field(pattern=r"^(local(\[.+\])?|spark://.+|k8s://.+|yarn)$")] = Field(
        "local[*]", description="Its master: `spark://host:7077`, `k8s://…`, `yarn` or `local[4]`"
    )


class Automation(_Section):
    """What runs by itself in a deployment."""

    running: bool = Field(
        False,
        description="Schedules and sensors run from the start; otherwise each is switched on "
        "in the UI",
    )
    monthly: str = Field(
        "0 4 1 * *", description="When the month just ended is refreshed, as cron, UTC"
    )
    daily: str = Field("0 5 * * *", description="When the current month is refreshed, as cron, UTC")
    landing_seconds: int = Field(
        60, ge=1, description="Seconds between two looks at the files of the source"
    )
    stale_hours: int = Field(
        48, ge=1, description="Gold older than this is stale, where the last month is open"
    )
    slow_minutes: int = Field(120, ge=1, description="A run longer than this raises an alert")
    webhook: SecretStr | None = Field(
        None,
        description="Where alerts are sent (from the environment only): `https://…`, which is "
        'posted `{"text": …}`, or a URL that Apprise knows, such as `slack://…`, `workflows://…` '
        "(Teams), `mailtos://…` or `jsons://…`. Empty: they are logged",
    )

    @field_validator("webhook")
    @classmethod
    def _is_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_understood(value):
            raise ValueError(
                "alerts are sent to an https:// URL, or to one that Apprise understands "
                "(https://appriseit.com/services/)"
            )
        return value


class Sample(_Section):
    """The generated source used when none is configured."""

    users: int = Field(20_000, ge=1, description="Number of users")
    seed: int = Field(7, ge=0, description="Same seed, same bytes")
    active_share: Share = Field(
        0.3, description="Share of active customers; 0.00588 in the real database"
    )
    affinity: Share = Field(
        0.0, description="0 as in the real data, 1: every customer has a planted favourite perk"
    )
    dirt: Share = Field(0.0, description="Share of rows damaged in known ways")


class Prediction(_Section):
    """Predicting the perk of new customers from their first sessions."""

    folds: int = Field(3, ge=2, description="Folds of customers for cross-validation")
    repeats: int = Field(2, ge=1, description="Repeats of the cross-validation")
    sample_customers: int = Field(
        3_000, ge=100, description="Customers that the cross-validation takes at most"
    )
    trees: int = Field(30, ge=1, description="Trees of the random forest")
    iterations: int = Field(25, ge=1, description="Rounds of gradient boosting")
    holdout: float = Field(
        0.2, gt=0, lt=1, description="Customers never learnt from, on whom models compete"
    )
    resamples: int = Field(1_000, ge=100, description="Bootstrap draws of the competition")
    min_customers: int = Field(100, ge=10, description="Fewer customers are too few to learn from")


class Serving(_Section):
    """The scoring service."""

    max_body_bytes: int = Field(33_554_432, ge=1_024, description="Largest body of a request")
    max_batch: int = Field(10_000, ge=1, description="Most customers in a request")
    timeout_seconds: float = Field(30, gt=0, description="A request that takes longer gets 504")
    poll_seconds: float = Field(5, gt=0, description="Pause between looks for a new model")


def _location(value: object) -> object:
    if value == "":
        return None
    return parse_location(value) if isinstance(value, str) else value


def _database(value: object) -> object:
    location = _location(value)
    if location is not None and not isinstance(location, PostgresLocation):
        raise ValueError("not written as postgresql://user:password@host:port/name")
    return location


class Settings(BaseSettings):
    """Every setting of the system: environment before `traveltide.toml` before defaults.

    `TRAVELTIDE_SOURCE` sets `source`; nested ones join with two underscores, as in
    `TRAVELTIDE_COHORT__MIN_SESSIONS=7`.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        # A value may be a URL with a password.
        hide_input_in_errors=True,
    )

    source: Annotated[
        Path | S3Location | PostgresLocation | None, BeforeValidator(_location), NoDecode
    ] = Field(
        None,
        description="Folder or `s3://bucket/prefix` of CSV or Parquet files, or "
        "`postgresql://…` (from the environment only); none: a generated sample",
    )
    lake: Annotated[Path | S3Location, BeforeValidator(_location), NoDecode] = Field(
        Path("lake"), description="Folder or `s3://bucket/prefix` of the lake"
    )
    publish: Annotated[PostgresLocation | None, BeforeValidator(_database), NoDecode] = Field(
        None,
        description="`postgresql://…` of a database that the perks are published to (from the "
        "environment only); none: nowhere",
    )
    publish_table: str = Field(
        "perk_assignments", min_length=1, max_length=63, description="The table published to"
    )
    home: Path = Field(
        Path(".traveltide"), description="Folder of run history, sample and staged files"
    )
    perks_file: Path = Field(PACKAGE / "catalogue" / "perks.toml", description="The perk catalogue")
    engine: Literal["duckdb", "spark"] = Field(
        "duckdb", description="What computes: DuckDB on this machine, or Spark on a cluster"
    )
    spark: Spark = Spark()
    strategy: StrategyName = Field(
        "kmeans", description="The strategy that decides the perks; the scorecard recommends one"
    )
    executor: Literal["in_process", "forkserver"] = Field(
        "in_process",
        description="Steps of a run: one after the other in one process, or each in a process "
        "of its own",
    )
    memory: Annotated[str, Field(pattern=r"^(\d+(\.\d+)? ?[KMGT]i?B|[1-9]\d?%)$")] = Field(
        "25%",
        description="Most memory of the engine, as `4GB` or a share of the machine's; what needs "
        "more is spilled to `home`",
    )
    parallel_steps: int = Field(2, ge=1, description="Steps at a time, with `forkserver`")
    partitions: Partitions = Partitions()
    cohort: Cohort = Cohort()
    kmeans: KMeans = KMeans()
    evidence: Evidence = Evidence()
    campaign: Campaign = Campaign()
    experiment: Experiment = Experiment()
    checks: Checks = Checks()
    postgres: Postgres = Postgres()
    automation: Automation = Automation()
    sample: Sample = Sample()
    prediction: Prediction = Prediction()
    serving: Serving = Serving()
    api_key: Annotated[SecretStr | None, BeforeValidator(lambda key: key or None)] = Field(
        None, description="Key that the scoring service asks for in `X-API-Key`; none: it asks not"
    )

    @property
    def source_location(self) -> Location:
        """The configured source, or the folder of the generated sample."""
        return self.sample_folder if self.source is None else self.source

    @property
    def sample_folder(self) -> Path:
        """The place of the generated sample."""
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
        return init_settings, env_settings, _File(settings_cls, _file())


class _File(TomlConfigSettingsSource):
    """`traveltide.toml`, which is no place for a secret, because files get shared."""

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        for name in ("source", "publish"):
            if str(values.get(name, "")).lower().startswith(("postgresql:", "postgres:")):
                raise SettingsError(
                    f"{name} in {_file()} is the URL of a database, which may hold a password: "
                    f"take it out of the file and set {_PREFIX}{name.upper()} in the environment"
                )
        if "webhook" in values.get("automation", {}):
            raise SettingsError(
                f"{_file()}: automation.webhook is a secret: set it as "
                "TRAVELTIDE_AUTOMATION__WEBHOOK in the environment"
            )
        return values


def _file() -> Path:
    return Path(os.environ.get(_CONFIG, "traveltide.toml"))


def load_settings() -> Settings:
    """Read the settings; `SettingsError` lists everything wrong with them."""
    known = {_PREFIX + name.upper() for name in Settings.model_fields}
    given = {name.split("__")[0] for name in os.environ if name.startswith(_PREFIX)}
    if unknown := sorted(given - known - {_CONFIG}):
        raise SettingsError(
            f"unknown in the environment: {', '.join(unknown)}; known: {', '.join(sorted(known))}"
        )
    if _CONFIG in os.environ and not _file().is_file():
        raise SettingsError(f"{_CONFIG}={_file()}: there is no such file")
    try:
        return Settings()
    except ValidationError as error:
        problems = "\n".join(
            f"  {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            for problem in error.errors()
        )
        raise SettingsError(
            "the settings (TRAVELTIDE_… or traveltide.toml) are not valid:\n" + problems
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{_file()} is not valid TOML: {error}") from error
    except UnreadableSetting as error:
        raise SettingsError(f"{error}: in the environment, a list is written as JSON") from error
