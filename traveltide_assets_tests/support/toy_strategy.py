"""A strategy in one file, as somebody who adds one writes it: by whether an id is even."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from traveltide_assets.catalogue.perks import Perk, Program, of_program
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings


@dataclass(frozen=True)
class ToyStrategy:
    """Customers with an even id get the first perk, the others the second."""

    perks: tuple[Perk, ...]
    name: str = "toy"
    title: str = "Toy strategy"
    description: str = "Splits customers by whether their id is even"
    program: Program = "classic"
    learns_from_outcomes: bool = False
    extra_columns: tuple[Column, ...] = (Column("is_even", "boolean", "The id is even"),)

    @property
    def inputs(self) -> frozenset[str]:
        return frozenset()

    def reseeded(self, seed: int) -> ToyStrategy:
        return self

    def fit(self, history: History) -> ToyStrategy:
        return self

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        even = features["user_id"] % 2 == 0
        first, second = (perk.id for perk in self.perks[:2])
        return pd.DataFrame(
            {
                "user_id": features["user_id"].to_numpy(),
                "segment": even.map({True: "Even", False: "Odd"}).to_numpy(),
                "perk": even.map({True: first, False: second}).to_numpy(),
                "score": 1.0,
                "reason": "the id",
                "is_even": even.to_numpy(),
            }
        )


def build(name: str, settings: Settings, perks: tuple[Perk, ...]) -> ToyStrategy:
    return ToyStrategy(of_program(perks, "classic"))
