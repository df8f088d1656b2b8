"""The perks a marketer edits in `perks.toml`: what each is, whom it is for and what speaks for it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from traveltide_assets.schema.config import Headline
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets.transforms.outcomes import OUTCOMES

Program = Literal["classic", "personas"]


class PerkError(TravelTideError):
    """The perk catalogue is not valid; the message names the file and the entry."""


class Perk(BaseModel):
    """One perk: what it is called, whom it is for, and the weights of the features that say so.

    `outcome` is the later behaviour that shows whether the perk was the right one.
    `programs` are the sets of perks it is offered in; a strategy hands out the perks of one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    audience: str
    headline: Headline
    outcome: str
    programs: tuple[Program, ...] = Field(("classic",), min_length=1)
    features: dict[str, float] = Field(min_length=1)

    def index_of(self, deviations: pd.DataFrame) -> pd.Series:
        """How strongly each row speaks for the perk: its weighted mean deviation, in SD."""
        return contributions(deviations, self).sum(axis=1)


def load_perks(path: Path) -> tuple[Perk, ...]:
    """The perks of a catalogue file, in its order."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("perk", [])
        perks = tuple(Perk.model_validate(entry) for entry in entries)
    except (OSError, ValueError, TypeError) as error:
        raise PerkError(f"perk catalogue {path}: {error}") from error
    outcomes = {outcome.name for outcome in OUTCOMES}
    known = {feature.name for feature in CATALOGUE if feature.type != "string"}
    for perk in perks:
        if unknown := sorted(perk.features.keys() - known):
            raise PerkError(f"perk catalogue {path}: {perk.id} weighs unknown {unknown}")
        if perk.outcome not in outcomes:
            raise PerkError(
                f"perk catalogue {path}: {perk.id} has the unknown outcome {perk.outcome}; "
                f"choose from {', '.join(sorted(outcomes))}"
            )
        if not any(perk.features.values()):
            raise PerkError(f"perk catalogue {path}: all weights of {perk.id} are zero")
    identifiers = [perk.id for perk in perks]
    if not perks or len(set(identifiers)) < len(identifiers):
        raise PerkError(f"perk catalogue {path}: needs at least one perk, and each id once")
    return perks


def of_program(perks: tuple[Perk, ...], name: Program) -> tuple[Perk, ...]:
    """The perks offered in a program, in their order; `PerkError` if there is none."""
    members = tuple(perk for perk in perks if name in perk.programs)
    if not members:
        raise PerkError(f"perk catalogue: no perk belongs to the program {name!r}")
    return members


def titles(perks: Iterable[Perk]) -> dict[str, str]:
    """What the perks are called, by their ids."""
    return {perk.id: perk.title for perk in perks}


def features_of(perks: Iterable[Perk]) -> frozenset[str]:
    """The features that speak for any of the perks, or against."""
    return frozenset(name for perk in perks for name in perk.features)


def contributions(profile: pd.DataFrame, perk: Perk) -> pd.DataFrame:
    weights = pd.Series(perk.features)
    return profile[list(weights.index)] * weights / weights.abs().sum()


def to_frame(perks: Iterable[Perk]) -> pd.DataFrame:
    """One row per perk, in their order, as `gold/perk_catalogue` stores them."""
    rows = [
        {
            "perk": perk.id,
            "position": position,
            "title": perk.title,
            "audience": perk.audience,
            "headline": perk.headline,
            "features": list(perk.features),
            "weights": list(perk.features.values()),
        }
        for position, perk in enumerate(perks)
    ]
    return pd.DataFrame(rows)
