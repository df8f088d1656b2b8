"""The trained model as data: an ONNX graph and what is needed to use it. No pickle anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime as ort
import pandas as pd

from traveltide_assets.prediction import early, models
from traveltide_assets.prediction.config import Config
from traveltide_assets.prediction.models import Examples
from traveltide_assets.prediction.tables import CANDIDATE
from traveltide_assets.segmentation.affinities import DECIDING

_OPSET = 18


@dataclass(frozen=True)
class Predictor:
    """A model with its schema: `inputs` and `perks` name the columns of the graph, in order.

    `mean` and `spread` are the mean and standard deviation of each input (column) by number of
    sessions seen (row, from 1). `month` is the month that the model was trained on, `data_version`
    the version of that month's data.
    """

    kind: str
    onnx: bytes
    inputs: tuple[str, ...]
    perks: tuple[str, ...]
    mean: np.ndarray
    spread: np.ndarray
    strategy: str
    month: str
    data_version: str
    customers: int

    @cached_property
    def version(self) -> str:
        """Hash of everything that affects the answers of the model."""
        digest = hashlib.sha256(self.onnx)
        digest.update("|".join((*self.inputs, *self.perks)).encode())
        return digest.hexdigest()[:12]

    @cached_property
    def _session(self) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return ort.InferenceSession(self.onnx, options, providers=["CPUExecutionProvider"])

    @cached_property
    def _shares_output(self) -> str:
        return str(self._session.get_outputs()[1].name)

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """The probability of each perk (column) for each row of inputs (float32)."""
        return self._session.run([self._shares_output], {"inputs": inputs})[0]

    def reads(self, features: pd.DataFrame) -> bool:
        """Whether the features have every column that the model needs."""
        return {name.partition("=")[0] for name in self.inputs} <= set(features.columns)

    def to_frame(self) -> pd.DataFrame:
        """The predictor as one row. `from_frame` reads it back."""
        return pd.DataFrame(
            [
                {
                    "model_version": self.version,
                    "kind": self.kind,
                    "trained_on": self.month,
                    "strategy": self.strategy,
                    "data_version": self.data_version,
                    "customers": self.customers,
                    "perks": list(self.perks),
                    "inputs": list(self.inputs),
                    "mean": self.mean.ravel().tolist(),
                    "spread": self.spread.ravel().tolist(),
                    "onnx": self.onnx,
                }
            ]
        )[list(CANDIDATE.column_names)]

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Predictor | None:
        """The predictor in a stored table. None if the table is empty."""
        if frame.empty:
            return None
        row = frame.iloc[0]
        shape = (early.MOST_SESSIONS, len(row["inputs"]))
        return cls(
            kind=str(row["kind"]),
            onnx=bytes(row["onnx"]),
            inputs=tuple(row["inputs"]),
            perks=tuple(row["perks"]),
            mean=np.asarray(row["mean"], dtype=np.float64).reshape(shape),
            spread=np.asarray(row["spread"], dtype=np.float64).reshape(shape),
            strategy=str(row["strategy"]),
            month=str(row["trained_on"]),
            data_version=str(row["data_version"]),
            customers=int(row["customers"]),
        )


def learn(kind: str, examples: Examples, config: Config, seed: int, **facts: Any) -> Predictor:
    """A predictor of a kind, trained on all examples. `facts` are its remaining fields."""
    mean, spread = usual(examples)
    return Predictor(
        kind=kind,
        onnx=_as_onnx(models.fit(kind, examples, config, seed), len(examples.names)),
        inputs=examples.names,
        perks=examples.perks,
        mean=mean,
        spread=spread,
        customers=examples.customers,
        **facts,
    )


def usual(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each input (column) by sessions seen (row). 0 if unknown."""
    shape = (early.MOST_SESSIONS, len(examples.names))
    mean, spread = np.zeros(shape), np.zeros(shape)
    frame = pd.DataFrame(examples.inputs.astype(np.float64))
    for n, rows in frame.groupby(examples.sessions_seen):
        mean[n - 1] = rows.mean().fillna(0.0)
        spread[n - 1] = rows.std(ddof=0).fillna(0.0)
    return mean, spread


def reason(
    seen: int,
    inputs: Sequence[float | None],
    weights: Sequence[tuple[int, str, float]],
    mean: Sequence[float],
    spread: Sequence[float],
) -> str:
    """The inputs that speak for a perk, in words.

    `weights` holds position, name and weight of the perk's inputs. Deviations are from customers
    with the same number of sessions. Takes one row of plain floats, since the service asks for one
    row at a time.
    """
    found = []
    for place, name, weight in weights:
        value, unit = inputs[place], spread[place]
        if value is not None and value == value and unit > 0:
            deviation = (value - mean[place]) / unit
            if deviation * weight > 0:
                found.append((-deviation * weight, f"{name} ({deviation:+.2f} SD)"))
    found.sort()
    said = ", ".join(text for _, text in found[:DECIDING]) or "likely among similar customers"
    return f"first {seen} sessions: {said}" if seen > 1 else f"first session: {said}"


def _as_onnx(model: Any, width: int) -> bytes:
    # The import takes a second, and only training needs it.
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    graph = convert_sklearn(
        model,
        name="perk_predictor",
        initial_types=[("inputs", FloatTensorType([None, width]))],
        options={id(model): {"zipmap": False}},
        target_opset=_OPSET,
    )
    # They come from a set, so their order would differ between processes.
    graph.opset_import.sort(key=lambda opset: opset.domain)
    return graph.SerializeToString(deterministic=True)
