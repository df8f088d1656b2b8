"""The section `cleaning` of the settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from traveltide_assets.schema.config import Section

Word = Annotated[str, Field(min_length=1, max_length=40, pattern=r"\S")]


class Config(Section):
    """How the text of the source is read."""

    null_words: tuple[Word, ...] = Field(
        (),
        description="Words that stand for a missing value, in any column and in any case of "
        'letters, such as `["NULL", "N/A"]`. Without this setting a row with such a word is '
        "rejected. An empty value is always missing, and so is NaN in a number",
    )
