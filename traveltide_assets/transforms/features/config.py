"""The section `policy` of the settings."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from pydantic import Field, field_validator

from traveltide_assets.schema.config import Section
from traveltide_assets.schema.sources import USERS
from traveltide_assets.transforms.features.catalogue import CATALOGUE


class Policy(Section):
    """What may not be used to decide about customers."""

    forbidden_features: tuple[str, ...] = Field(
        ("gender",),
        description="Features that no strategy, model or explanation may use. A column of users "
        "that is no feature may be named, too",
    )

    @field_validator("forbidden_features")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = {feature.name for feature in CATALOGUE} | {column.name for column in USERS}
        if unknown := sorted(set(names) - known):
            raise ValueError(f"neither features nor columns of users: {', '.join(unknown)}")
        return names

    def allowed(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names without those that are forbidden, in their order."""
        return tuple(name for name in names if name not in self.forbidden_features)

    def permitted(self, features: pd.DataFrame) -> pd.DataFrame:
        """A frame of features without the columns that are forbidden."""
        return features.drop(columns=list(self.forbidden_features), errors="ignore")
