"""The base class of all settings sections, shared field types, and the bounds of the months.

Each package declares its own section as `Config` in its `config.py`; `settings.py` composes them.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from traveltide_assets.schema.months import FORMAT, is_month, span

Share = Annotated[float, Field(ge=0, le=1)]
# One line of an e-mail. It must also be safe in a spreadsheet, where a cell that starts with
# =, +, - or @ is read as a formula.
Headline = Annotated[str, Field(max_length=150, pattern=r"^[^\s\x00-\x1f=+\-@][^\x00-\x1f\x7f]*$")]


class Section(BaseModel):
    """A section of the settings: unknown keys are errors, and values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __hash__(self) -> int:
        # A setting may be a table of values, which has no hash of its own.
        return hash(self.model_dump_json())


def _open_end(value: object) -> object:
    return None if value in ("", "open") else value


class Partitions(Section):
    """First and last month of the monthly partitions, both inclusive."""

    first: str = Field(
        "2021-04",
        description="First month, `YYYY-MM`. If not set, the first of your source; that of the "
        "generated sample is the default",
    )
    last: Annotated[str | None, BeforeValidator(_open_end)] = Field(
        "2023-07",
        description="Last month, `YYYY-MM`; it is the one decided by default. With `open` it is "
        "the current month, and its partition holds the data known so far. If not set, the last of "
        "your source; that of the generated sample is the default",
    )

    def months(self) -> list[str]:
        """All months within the bounds, in order; without a last month, up to the current one."""
        return span(self.first, self.last or f"{dt.datetime.now(dt.UTC):{FORMAT}}")

    def include(self, month: str) -> bool:
        """Whether a month is within the bounds; without a last month, any month from `first` on."""
        return self.first <= month and (self.last is None or month <= self.last)

    @field_validator("first", "last")
    @classmethod
    def _is_month(cls, value: str | None) -> str | None:
        if value is not None and not is_month(value):
            raise ValueError(f"{value!r} is not a month written as YYYY-MM")
        return value

    @model_validator(mode="after")
    def _is_ordered(self) -> Partitions:
        # A last month that is not set may follow the source.
        if "last" in self.model_fields_set and self.last is not None and self.first > self.last:
            raise ValueError(f"first month {self.first} is after the last month {self.last}")
        return self
