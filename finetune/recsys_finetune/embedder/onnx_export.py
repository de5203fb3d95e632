"""The bag encoder as ONNX: table[input_ids], mean over the mask, unit length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from recsys_gateway.catalog.subword_hashing import SubwordHashing, dump_hashing

OPSET = 17
IR_VERSION = 8
"""Old on purpose: any ONNX Runtime or Triton of the last years reads them."""


def encoder_model(table: NDArray[np.float32]) -> onnx.ModelProto:
    """The graph for ``table``, float32 [buckets, d], which is stored as float16.

    Inputs: ``input_ids``, ``attention_mask``, int64 [batch, length]; output: ``sentence_embedding`` [batch, d].
    """
    half = numpy_helper.from_array(table.astype(np.float16), "table")
    last = numpy_helper.from_array(np.array([-1], np.int64), "last")
    middle = numpy_helper.from_array(np.array([1], np.int64), "middle")
    tiny = numpy_helper.from_array(np.array(1e-12, np.float32), "tiny")
    # The mean's divisor falls out of the unit length, so the sum is enough.
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["gathered"]),
        helper.make_node("Cast", ["gathered"], ["vectors"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "middle"], ["bag"], keepdims=0),
        helper.make_node("ReduceL2", ["bag"], ["length"], axes=[1], keepdims=1),
        helper.make_node("Max", ["length", "tiny"], ["divisor"]),
        helper.make_node("Div", ["bag", "divisor"], ["sentence_embedding"]),
    ]
    tokens = ["batch", "length"]
    graph = helper.make_graph(
        nodes,
        "subword_bag_encoder",
        [helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", table.shape[1]])],
        [half, last, middle, tiny],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="recsys")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def write_embedder(folder: Path, table: NDArray[np.float32], hashing: SubwordHashing) -> None:
    """``model.onnx`` and ``hashing.json`` in ``folder``, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(encoder_model(table), str(folder / "model.onnx"))
    (folder / "hashing.json").write_text(dump_hashing(hashing), encoding="utf-8")
