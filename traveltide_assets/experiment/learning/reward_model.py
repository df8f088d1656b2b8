"""The expected reward of each action given the features, cross-fitted.

It need not be right: the doubly robust estimates that use it are unbiased whatever it says, as long
as the propensities are right. The better it is, the narrower they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from traveltide_assets.experiment.learning.log import Log, LogError
from traveltide_assets.stats.threads import one_thread

_FEWEST_ROWS = 10
_RIDGES = tuple(10.0**power for power in range(6))


class Regressor(Protocol):
    """What is used of a scikit-learn regressor."""

    def fit(self, x: pd.DataFrame, y: np.ndarray) -> Any: ...
    def predict(self, x: pd.DataFrame) -> np.ndarray: ...


Model = Callable[[], Regressor]
"""Makes a new, unfitted regressor."""


def boosted_trees(seed: int = 0) -> Regressor:
    """Small boosted trees; texts are encoded, missing values are a branch of their own."""
    trees = HistGradientBoostingRegressor(
        learning_rate=0.05,
        max_iter=60,
        max_leaf_nodes=8,
        min_samples_leaf=40,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=seed,
    )
    return make_pipeline(_encoder(FunctionTransformer()), trees)


def linear() -> Regressor:
    """Ridge regression on standardised features; missing numbers are set to the median."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return make_pipeline(_encoder(numbers), RidgeCV(alphas=_RIDGES))


def _encoder(numbers: Any) -> Any:
    texts = make_column_selector(dtype_exclude=["number", "bool"])
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=20, sparse_output=False
    )
    return make_column_transformer((numbers, _known_numbers), (one_hot, texts))


def _known_numbers(features: pd.DataFrame) -> list[str]:
    """The columns of numbers to learn from: one without any value in these rows says nothing."""
    numbers = features.select_dtypes(["number", "bool"])
    return [name for name in numbers if numbers[name].notna().any()]


def fitted(log: Log, model: Model) -> tuple[Regressor, ...]:
    """One fitted model of the reward per action. Raises `LogError` if an action is too rare."""
    models = []
    for place, name in enumerate(log.actions):
        rows = log.action == place
        if rows.sum() < _FEWEST_ROWS:
            raise LogError(
                f"{name} was taken in {rows.sum()} of {len(log):,} rows; a model of its reward "
                f"needs {_FEWEST_ROWS}"
            )
        regressor = model()
        with one_thread():
            regressor.fit(log.features[rows], log.reward[rows])
        models.append(regressor)
    return tuple(models)


def predicted(models: tuple[Regressor, ...], features: pd.DataFrame) -> np.ndarray:
    """Rows by actions: the expected reward."""
    with one_thread():
        return np.column_stack([model.predict(features) for model in models])


def cross_fitted(log: Log, folds: np.ndarray, model: Model) -> np.ndarray:
    """Rows by actions: the expected reward, from models that saw nothing of the row's fold."""
    expected = np.empty((len(log), len(log.actions)))
    for fold in np.unique(folds):
        held_out = folds == fold
        models = fitted(log.rows(~held_out), model)
        expected[held_out] = predicted(models, log.features[held_out])
    return expected
