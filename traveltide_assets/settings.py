"""The one reader of the environment and of `traveltide.toml`."""

from __future__ import annotations

import datetime as dt
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PACKAGE = Path(__file__).parent
CLASSIC_FEATURES = (
    "total_sessions",
    "session_cancellation_rate",
    "discount_usage_rate",
    "total_nights",
    "total_checked_bags",
    "total_base_fare",
)
Share = Annotated[float, Field(ge=0, le=1)]


class SettingsError(ValueError):
    """A setting is wrong; the message names it, its value and what is accepted."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Partitions(_Section):
    """Bounds of the monthly partitions, `YYYY-MM`, both included."""

    first: str = "2021-04"
    last: str = "2023-07"

    @field_validator("first", "last")
    @classmethod
    def _is_month(cls, value: str) -> str:
        if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", value):
            raise ValueError(f"{value!r} is not a month written as YYYY-MM")
        return value

    @model_validator(mode="after")
    def _is_ordered(self) -> Partitions:
        if self.first > self.last:
            raise ValueError(f"first month {self.first} is after the last month {self.last}")
        return self


class Cohort(_Section):
    """Who counts as an active customer; the defaults are the rule of the program's brief."""

    active_since: dt.date | None = dt.date(2023, 1, 4)
    min_sessions: int = Field(8, ge=1)
    window_months: int | None = Field(None, ge=1)
    minimum_age: int | None = Field(None, ge=0)


class KMeans(_Section):
    """The cluster model. `k` is a number, or `"silhouette"` to let the rule choose it."""

    features: tuple[str, ...] = CLASSIC_FEATURES
    k: Annotated[int, Field(ge=1)] | Literal["silhouette"] = 4
    max_k: int = Field(10, ge=2)
    seed: int = 7
    restarts: int = Field(10, ge=1)
    sample_rows: int = Field(4_000, ge=100)


class Checks(_Section):
    """Thresholds of the asset checks that warn."""

    max_quarantine_share: Share = 0.01
    max_orphan_share: Share = 0.01
    max_cohort_change: float = Field(0.5, ge=0)
    min_segment_share: Share = 0.02
    min_silhouette: float = Field(0.15, ge=-1, le=1)
    min_stability: float = Field(0.6, ge=-1, le=1)
    max_psi: float = Field(0.25, ge=0)
    bootstraps: int = Field(8, ge=2)


class Sample(_Section):
    """The generated source used when none is configured."""

    users: int = Field(20_000, ge=1)
    seed: int = Field(7, ge=0)
    active_share: Share = 0.3
    affinity: Share = 0.0
    dirt: Share = 0.0


class Settings(BaseSettings):
    """Every setting of the system: environment before `traveltide.toml` before defaults.

    `TRAVELTIDE_SOURCE` sets `source`; nested ones join with two underscores, as in
    `TRAVELTIDE_COHORT__MIN_SESSIONS=7`.
    """

    model_config = SettingsConfigDict(
        env_prefix="TRAVELTIDE_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    source: Path | None = None
    lake: Path = Path("lake")
    home: Path = Path(".traveltide")
    perks_file: Path = PACKAGE / "catalogue" / "perks.toml"
    partitions: Partitions = Partitions()
    cohort: Cohort = Cohort()
    kmeans: KMeans = KMeans()
    checks: Checks = Checks()
    sample: Sample = Sample()

    @field_validator("source", mode="before")
    @classmethod
    def _blank_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def source_folder(self) -> Path:
        """The configured source, or the place of the generated sample."""
        if self.source is not None:
            return self.source
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
        file = Path(os.environ.get("TRAVELTIDE_CONFIG", "traveltide.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)


def load_settings() -> Settings:
    """Read the settings; `SettingsError` lists everything wrong with them."""
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
