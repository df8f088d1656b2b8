"""The trained predictor as data: two ONNX graphs and what is needed to use them. No pickle.

The first graph says what a newcomer will do later, and so which perk they get. The second says
which perk the strategy would give them after a full history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime as ort
import pandas as pd

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.prediction import behaviour_model, models
from traveltide_assets.prediction.behaviour_model import EACH_N, Behaviour, Terms
from traveltide_assets.prediction.config import Config
from traveltide_assets.prediction.models import Examples
from traveltide_assets.prediction.tables import CANDIDATE
from traveltide_assets.segmentation.affinities import DECIDING

SEEN_INPUT = "total_sessions"


@dataclass(frozen=True)
class Predictor:
    """A model of behaviour with its schema, and the model of the perk by full history.

    `inputs` and `perks` name the columns of the first graph, in order; `outcomes` are the
    behaviours that the perks reward. `month` is the month that it was trained on, `data_version`
    the version of that month's data.
    """

    behaviour: Behaviour
    onnx: bytes
    inputs: tuple[str, ...]
    perks: tuple[str, ...]
    outcomes: tuple[str, ...]
    history_kind: str
    history_onnx: bytes
    history_perks: tuple[str, ...]
    strategy: str
    month: str
    data_version: str
    customers: int

    @property
    def kind(self) -> str:
        return self.behaviour.kind

    @cached_property
    def version(self) -> str:
        """Hash of everything that affects the answers of the model."""
        digest = hashlib.sha256(self.onnx)
        digest.update(self.history_onnx)
        for table in (self.behaviour.average, self.behaviour.spread):
            digest.update(np.ascontiguousarray(table, dtype="<f8").tobytes())
        names = (*self.inputs, *self.perks, *self.outcomes, *self.history_perks)
        digest.update("|".join(names).encode())
        return digest.hexdigest()[:12]

    @cached_property
    def signal(self) -> np.ndarray:
        """Whether anything foretells the behaviour that a perk rewards, by n and perk."""
        return self.behaviour.signal

    @cached_property
    def _behaviour(self) -> ort.InferenceSession:
        return _session(self.onnx)

    @cached_property
    def _history(self) -> ort.InferenceSession:
        return _session(self.history_onnx)

    @cached_property
    def _shares_output(self) -> str:
        return str(self._history.get_outputs()[1].name)

    def deviations(self, inputs: np.ndarray) -> np.ndarray:
        """Expected deviation from the average, in SD, for each row (float32) and perk (column)."""
        return self._behaviour.run(None, {"inputs": inputs})[0]

    def history_shares(self, inputs: np.ndarray) -> np.ndarray:
        """The probability of each perk by full history (column) for each row of inputs."""
        return self._history.run([self._shares_output], {"inputs": inputs})[0]

    def given(self, inputs: np.ndarray) -> np.ndarray:
        """The position of the perk for each row of inputs."""
        seen = inputs[:, self.inputs.index(SEEN_INPUT)].astype(np.int64)
        return behaviour_model.best_perk(self.deviations(inputs), self.signal[seen])

    def reads(self, features: pd.DataFrame) -> bool:
        """Whether the features have every column that the model needs."""
        return {name.partition("=")[0] for name in self.inputs} <= set(features.columns)

    def to_frame(self) -> pd.DataFrame:
        """The predictor as one row. `from_frame` reads it back."""
        model = self.behaviour
        row = {
            "model_version": self.version,
            "kind": model.kind,
            "trained_on": self.month,
            "strategy": self.strategy,
            "data_version": self.data_version,
            "customers": self.customers,
            "perks": list(self.perks),
            "outcomes": list(self.outcomes),
            "inputs": list(self.inputs),
            "term_input": model.terms.place.tolist(),
            "term_threshold": model.terms.threshold.astype(np.float64).tolist(),
            "weights": model.weights.ravel().tolist(),
            "share": model.share.ravel().tolist(),
            "average": model.average.ravel().tolist(),
            "spread": model.spread.ravel().tolist(),
            "onnx": self.onnx,
            "history_kind": self.history_kind,
            "history_perks": list(self.history_perks),
            "history_onnx": self.history_onnx,
        }
        return pd.DataFrame([row])[list(CANDIDATE.column_names)]

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Predictor | None:
        """The predictor in a stored table.

        None if the table is empty, or of a version of this package that predicted something else.
        """
        if frame.empty or not set(CANDIDATE.column_names) <= set(frame.columns):
            return None
        row = frame.iloc[0]
        perks, ns = len(row["perks"]), len(EACH_N)
        model = Behaviour(
            kind=str(row["kind"]),
            terms=Terms(
                np.asarray(row["term_input"], dtype=np.int64),
                np.asarray(row["term_threshold"], dtype=np.float32),
            ),
            weights=_numbers(row["weights"]).reshape(ns, -1, perks),
            share=_numbers(row["share"]).reshape(ns, -1),
            average=_numbers(row["average"]).reshape(ns, perks),
            spread=_numbers(row["spread"]).reshape(ns, perks),
        )
        return cls(
            behaviour=model,
            onnx=bytes(row["onnx"]),
            inputs=tuple(row["inputs"]),
            perks=tuple(row["perks"]),
            outcomes=tuple(row["outcomes"]),
            history_kind=str(row["history_kind"]),
            history_onnx=bytes(row["history_onnx"]),
            history_perks=tuple(row["history_perks"]),
            strategy=str(row["strategy"]),
            month=str(row["trained_on"]),
            data_version=str(row["data_version"]),
            customers=int(row["customers"]),
        )


def history_graph(kind: str, examples: Examples, config: Config, seed: int) -> bytes:
    """The second graph: a model of a kind, trained on examples."""
    from traveltide_assets.prediction import graphs

    return graphs.of_classifier(models.fit(kind, examples, config, seed), len(examples.names))


def learn(
    model: Behaviour,
    perks: Sequence[Perk],
    history_kind: str,
    history_onnx: bytes,
    examples: Examples,
    **facts: Any,
) -> Predictor:
    """A predictor of a fitted model of behaviour, and of the perk by full history.

    `perks` are those of the model of behaviour. The second model was trained on `examples`. `facts`
    are the remaining fields.
    """
    from traveltide_assets.prediction import graphs

    names = examples.names
    return Predictor(
        behaviour=model,
        onnx=graphs.of_behaviour(model, len(names), names.index(SEEN_INPUT)),
        inputs=names,
        perks=tuple(perk.id for perk in perks),
        outcomes=tuple(perk.outcome for perk in perks),
        history_kind=history_kind,
        history_onnx=history_onnx,
        history_perks=examples.perks,
        customers=examples.customers,
        **facts,
    )


@dataclass(frozen=True)
class Speaking:
    """A term with a weight for some perk after n sessions: plain numbers, for one row at a time."""

    place: int
    name: str
    threshold: float
    share: float
    weight: float


def speaking(model: Predictor, n: int, perk: int) -> tuple[Speaking, ...]:
    """The terms that count for or against a perk after n sessions."""
    terms, weights, share = model.behaviour.terms, model.behaviour.weights, model.behaviour.share
    return tuple(
        Speaking(
            int(terms.place[t]),
            model.inputs[terms.place[t]],
            float(terms.threshold[t]),
            float(share[n, t]),
            float(weights[n, t, perk]),
        )
        for t in np.flatnonzero(weights[n, :, perk])
    )


def reason(seen: int, inputs: Sequence[float | None], terms: Sequence[Speaking]) -> str:
    """The inputs that speak for a perk, in words, and by how many SD of the behaviour each does.

    Takes one row of plain numbers, since the service asks for one row at a time.
    """
    counted: dict[str, float] = {}
    for term in terms:
        value = inputs[term.place]
        if value is not None and value == value:
            part = term.weight * ((value >= term.threshold) - term.share)
            counted[term.name] = counted.get(term.name, 0.0) + part
    # Below a hundredth it would read as nothing.
    found = sorted((-part, name) for name, part in counted.items() if part >= 0.005)
    said = ", ".join(f"{name} ({-part:+.2f} SD)" for part, name in found[:DECIDING])
    return f"{_known(seen)}: {said or 'nothing known speaks for a perk'}"


def _known(seen: int) -> str:
    if seen == 0:
        return "profile"
    return f"profile and first {seen} sessions" if seen > 1 else "profile and first session"


def _session(graph: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _numbers(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)
