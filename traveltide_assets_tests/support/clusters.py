"""Customers, and the segment and perk that the cluster model gives them."""

from __future__ import annotations

import ibis
import pandas as pd

from traveltide_assets.catalogue.perks import Perk, load_perks, of_program
from traveltide_assets.segmentation import cluster_model
from traveltide_assets.segmentation.cluster_model import Model
from traveltide_assets.segmentation.config import Config as KMeans
from traveltide_assets.segmentation.kmeans import fit
from traveltide_assets.settings import Settings

PERKS = load_perks(Settings().perks_file)

CLASSIC = of_program(PERKS, "classic")
SEED = Settings().seed


def segment(features: pd.DataFrame, model: Model, perks: tuple[Perk, ...]) -> pd.DataFrame:
    """What the engine says of the customers, in their order."""
    found = cluster_model.segment(ibis.memtable(features), model, perks, features).to_pandas()
    return features[["user_id"]].merge(found, on="user_id", validate="one_to_one")


def decided(
    features: pd.DataFrame,
    settings: KMeans,
    previous: Model | None = None,
    perks: tuple[Perk, ...] = CLASSIC,
    seed: int = SEED,
) -> pd.DataFrame:
    model = fit(features, settings, seed, perks, previous)
    return segment(features, model, perks).set_index("user_id")
