"""The perk catalogue, `perks.toml`: each perk with its audience and the features that favour it.

Scores of customers and segments for these perks are computed in `segmentation/`.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from traveltide_assets.catalogue.rule_conditions import Condition
from traveltide_assets.schema.config import Headline, Share
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.schema.text_file import UnreadableText, read_text
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets.transforms.outcomes import OUTCOMES

Program = Literal["classic", "six_groups", "five_personas", "seven_segments"]
NO_OUTCOME = "none"
"""The outcome of a perk that no behaviour in the data speaks to. It is never tried."""
NO_OFFER = "none"
"""What a customer is offered who is offered nothing. No perk may have this id."""
PER_REDEMPTION = "redemption"
"""The unit of a cost that does not depend on how much of a perk is used."""


class PerkError(TravelTideError):
    """The perk catalogue is not valid; the message names the file and the entry."""


class PerksMissing(PerkError):
    """A strategy assigns perks that the catalogue lacks. The message names them."""


class StoredPerk(BaseModel):
    """A perk as a decided month keeps it: its texts, and the weights of the features for it.

    `programs` are the sets of perks it belongs to; releases of earlier versions do not say.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    audience: str
    headline: Headline
    features: dict[str, float] = Field(min_length=1)
    programs: tuple[Program, ...] = ()


class Perk(StoredPerk):
    """One perk: its title, its audience, and the weights of the features that favour it.

    `outcome` is the later behaviour that shows whether the right customers got the perk, or
    `NO_OUTCOME`.
    `programs` are the sets of perks it belongs to; a strategy assigns the perks of one program.

    The rest is optional. Only customers who meet all conditions of `eligible` are offered the perk.
    `cost_usd` is what it costs for each `cost_unit`: per redemption, or per unit of an outcome (a
    bag, a night, a dollar spent). `expected_redemption` is the share of customers with the offer
    who are expected to use it. `max_customers` and `max_cost_usd` bound who gets it in a month.
    """

    outcome: str
    programs: tuple[Program, ...] = Field(("classic",), min_length=1)
    eligible: tuple[Condition, ...] = ()
    cost_usd: float | None = Field(None, ge=0, allow_inf_nan=False)
    cost_unit: str = PER_REDEMPTION
    expected_redemption: Share | None = None
    max_customers: int | None = Field(None, ge=0)
    max_cost_usd: float | None = Field(None, ge=0, allow_inf_nan=False)

    @field_validator("id")
    @classmethod
    def _is_not_reserved(cls, name: str) -> str:
        if name == NO_OFFER:
            raise ValueError(f"{NO_OFFER!r} is what is offered to whoever is offered nothing")
        return name

    @field_validator("eligible")
    @classmethod
    def _depends_on_the_customer_alone(
        cls, conditions: tuple[Condition, ...]
    ) -> tuple[Condition, ...]:
        # A quantile would make it depend on who else is in the cohort, and random offers with it.
        if relative := [each.feature for each in conditions if each.quantile is not None]:
            raise ValueError(f"{', '.join(relative)}: eligibility takes a value, not a quantile")
        return conditions

    @field_validator("programs", mode="before")
    @classmethod
    def _has_a_new_name(cls, programs: object) -> object:
        if isinstance(programs, list) and "personas" in programs:
            raise ValueError("the program 'personas' is now called 'five_personas'")
        return programs

    def index_of(self, deviations: pd.DataFrame) -> pd.Series:
        """Index of the perk for each row: the weighted mean of its deviations, in SD."""
        return contributions(deviations, self).sum(axis=1)


def load_perks(path: Path, forbidden: Collection[str] = ()) -> tuple[Perk, ...]:
    """The perks of a catalogue file, in file order; `PerkError` if the file is not valid.

    The weights of `forbidden` features are left out. A perk needs at least one other weight.
    """
    try:
        entries = tomllib.loads(read_text(path).text).get("perk", [])
        perks = tuple(Perk.model_validate(entry) for entry in entries)
    except UnreadableText as error:
        raise PerkError(f"perk catalogue {error}") from error
    except (ValueError, TypeError) as error:
        raise PerkError(f"perk catalogue {path}: {error}") from error
    outcomes = {NO_OUTCOME, *(outcome.name for outcome in OUTCOMES)}
    known = {feature.name for feature in CATALOGUE if feature.type != "string"}
    for perk in perks:
        if unknown := sorted(perk.features.keys() - known):
            raise PerkError(
                f"perk catalogue {path}: {perk.id} weights unknown features: {', '.join(unknown)}"
            )
        if perk.outcome not in outcomes:
            raise PerkError(
                f"perk catalogue {path}: {perk.id} has the unknown outcome {perk.outcome}; "
                f"choose from {', '.join(sorted(outcomes))}"
            )
        if perk.cost_unit not in outcomes - {NO_OUTCOME} | {PER_REDEMPTION}:
            raise PerkError(
                f"perk catalogue {path}: {perk.id} has the unknown cost_unit {perk.cost_unit}; "
                f"choose {PER_REDEMPTION} or the outcome whose unit costs: "
                f"{', '.join(sorted(outcomes - {NO_OUTCOME}))}"
            )
        if banned := sorted({each.feature for each in perk.eligible} & set(forbidden)):
            raise PerkError(
                f"perk catalogue {path}: {perk.id} is for customers with a certain "
                f"{', '.join(banned)}, which policy.forbidden_features does not allow"
            )
        if not any(perk.features.values()):
            raise PerkError(f"perk catalogue {path}: all weights of {perk.id} are zero")
    identifiers = [perk.id for perk in perks]
    if not perks or len(set(identifiers)) < len(identifiers):
        raise PerkError(
            f"perk catalogue {path}: at least one perk is needed, and ids must be unique"
        )
    return tuple(_without(perk, forbidden, path) for perk in perks)


def _without(perk: Perk, forbidden: Collection[str], path: Path) -> Perk:
    kept = {name: weight for name, weight in perk.features.items() if name not in forbidden}
    if not any(kept.values()):
        raise PerkError(
            f"perk catalogue {path}: policy.forbidden_features leaves {perk.id} without a feature. "
            "Give it another one, or remove the perk"
        )
    return perk.model_copy(update={"features": kept})


def alternatives(perks: Collection[StoredPerk], given: Iterable[str]) -> list[str]:
    """Perks of the first program that contains all assigned perks; all perks if no program does."""
    for program in get_args(Program):
        members = [perk.id for perk in perks if program in perk.programs]
        if set(given) <= set(members):
            return members
    return [perk.id for perk in perks]


def of_program(perks: tuple[Perk, ...], name: Program) -> tuple[Perk, ...]:
    """The perks of a program, in catalogue order; `PerksMissing` if it has none."""
    members = tuple(perk for perk in perks if name in perk.programs)
    if not members:
        raise PerksMissing(f"perk catalogue: no perk belongs to the program {name!r}")
    return members


def chosen(perks: tuple[Perk, ...], ids: Iterable[str], strategy: str) -> tuple[Perk, ...]:
    """The perks with these ids, in catalogue order; `PerksMissing` if one is not in the catalogue.

    `strategy` is the title of the one that assigns them, for the message.
    """
    wanted = set(ids)
    if missing := sorted(wanted - {perk.id for perk in perks}):
        raise PerksMissing(f"perk catalogue: {strategy} needs {', '.join(missing)}")
    return tuple(perk for perk in perks if perk.id in wanted)


def from_frame(rows: pd.DataFrame) -> tuple[StoredPerk, ...]:
    """The perks of a stored `perk_catalogue`, in its order."""
    return tuple(
        StoredPerk(
            id=row["perk"],
            title=row["title"],
            audience=row["audience"],
            headline=row["headline"],
            features=dict(zip(row["features"], map(float, row["weights"]), strict=True)),
            programs=tuple(row.get("programs", ())),
        )
        for row in rows.sort_values("position").to_dict("records")
    )


def catalogue_version(perks: Iterable[Perk]) -> str:
    """Hash of all that a perk catalogue says."""
    entries = [perk.model_dump(mode="json", exclude_unset=True) for perk in perks]
    said = json.dumps(entries, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def titles(perks: Iterable[Perk]) -> dict[str, str]:
    """Title of each perk, by its id."""
    return {perk.id: perk.title for perk in perks}


def features_of(perks: Iterable[Perk]) -> frozenset[str]:
    """All features that count for or against any of the perks."""
    return frozenset(name for perk in perks for name in perk.features)


def contributions(profile: pd.DataFrame, perk: Perk) -> pd.DataFrame:
    """Contribution of each feature (column) to the perk's index in each row, in SD."""
    weights = np.array(list(perk.features.values()), dtype="float64")
    values = profile[list(perk.features)].to_numpy() * weights / np.abs(weights).sum()
    return pd.DataFrame(values, index=profile.index, columns=list(perk.features))


def to_frame(perks: Iterable[Perk]) -> pd.DataFrame:
    """One row per perk, in catalogue order: the rows of `gold/perk_catalogue`."""
    rows = [
        {
            "perk": perk.id,
            "position": position,
            "title": perk.title,
            "audience": perk.audience,
            "headline": perk.headline,
            "features": list(perk.features),
            "weights": list(perk.features.values()),
            "programs": list(perk.programs),
        }
        for position, perk in enumerate(perks)
    ]
    return pd.DataFrame(rows)
