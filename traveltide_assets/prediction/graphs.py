"""Models as ONNX graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from traveltide_assets.prediction.behaviour_model import EACH_N, Behaviour

_OPSET = 18
# Of ONNX's file format, as skl2onnx writes it for this opset.
_FORMAT = 8


def of_behaviour(model: Behaviour, width: int, seen: int) -> bytes:
    """The graph of `Behaviour.deviations` for rows of inputs with different n.

    `width` is the number of inputs, `seen` the position of the one that is n.
    """
    terms, perks = len(model.terms), model.average.shape[1]
    flat = model.weights.transpose(1, 0, 2).reshape(terms, -1)
    usual = (model.weights * model.share[:, :, None]).transpose(1, 0, 2).reshape(terms, -1)
    constants: dict[str, np.ndarray] = {
        "places": model.terms.place.astype(np.int64),
        "thresholds": model.terms.threshold.astype(np.float32),
        # A term that is unknown counts neither for its weight nor for the usual share of it.
        "weights": np.vstack([flat, -usual]).astype(np.float32),
        "seen_place": np.array([seen], dtype=np.int64),
        "each_n": np.array(EACH_N, dtype=np.float32),
        "cube": np.array([-1, len(EACH_N), perks], dtype=np.int64),
        "last": np.array([2], dtype=np.int64),
        "middle": np.array([1], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["inputs", "places"], ["values"], axis=1),
        helper.make_node("GreaterOrEqual", ["values", "thresholds"], ["holds"]),
        helper.make_node("IsNaN", ["values"], ["unknown"]),
        helper.make_node("Not", ["unknown"], ["known"]),
        helper.make_node("Cast", ["holds"], ["held"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["known"], ["told"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["held", "told"], ["both"], axis=1),
        helper.make_node("MatMul", ["both", "weights"], ["flat"]),
        helper.make_node("Reshape", ["flat", "cube"], ["by_n"]),
        helper.make_node("Gather", ["inputs", "seen_place"], ["seen"], axis=1),
        helper.make_node("Equal", ["seen", "each_n"], ["is_n"]),
        helper.make_node("Cast", ["is_n"], ["row_of_n"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["row_of_n", "last"], ["chosen"]),
        helper.make_node("Mul", ["by_n", "chosen"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["deviations"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "behaviour",
        [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("deviations", TensorProto.FLOAT, [None, perks])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = helper.make_operatorsetid("", _OPSET)
    made = helper.make_model(graph, opset_imports=[opset], ir_version=_FORMAT)
    return bytes(made.SerializeToString(deterministic=True))


def of_classifier(model: Any, width: int) -> bytes:
    """The graph of a fitted classifier of scikit-learn."""
    # Takes a second to load, and is needed here alone.
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    graph = convert_sklearn(
        model,
        name="history",
        initial_types=[("inputs", FloatTensorType([None, width]))],
        options={id(model): {"zipmap": False}},
        target_opset=_OPSET,
    )
    # They come from a set, so their order would differ between processes.
    graph.opset_import.sort(key=lambda opset: opset.domain)
    return bytes(graph.SerializeToString(deterministic=True))
