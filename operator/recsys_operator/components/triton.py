"""Triton as the embedder: its command line, its model repository, and probes that go through the model."""

from __future__ import annotations

import json

from recsys_operator.components.manifest import Manifest
from recsys_operator.components.retrieval_access import EMBEDDER, TRITON_GRPC_PORT

HTTP_PORT = 8000
METRICS_PORT = 8002
REPOSITORY = "/repository"
MODEL_FOLDER = f"{REPOSITORY}/{EMBEDDER}/1"
CONFIG_FILE = "config.pbtxt"
CONFIG_PATH = f"{REPOSITORY}/{EMBEDDER}/{CONFIG_FILE}"
MAX_BATCH = 64

MODEL_CONFIG = f"""\
name: "{EMBEDDER}"
backend: "onnxruntime"
max_batch_size: {MAX_BATCH}
input [
  {{ name: "input_ids", data_type: TYPE_INT64, dims: [ -1 ] }},
  {{ name: "attention_mask", data_type: TYPE_INT64, dims: [ -1 ] }}
]
output [
  {{ name: "sentence_embedding", data_type: TYPE_FP32, dims: [ -1 ] }}
]
dynamic_batching {{ max_queue_delay_microseconds: 1000 }}
"""
"""A sentence encoder as the gateway calls it: one row of token ids a text, one vector a text. A model with other
inputs or outputs is refused by Triton when it loads, and the pod's log says so."""

ARGS = [
    "tritonserver",
    f"--model-repository={REPOSITORY}",
    f"--http-port={HTTP_PORT}",
    f"--grpc-port={TRITON_GRPC_PORT}",
    f"--metrics-port={METRICS_PORT}",
    "--disable-auto-complete-config",
    "--strict-readiness=true",
]

PORTS = [
    {"name": "http", "containerPort": HTTP_PORT},
    {"name": "grpc", "containerPort": TRITON_GRPC_PORT},
    {"name": "metrics", "containerPort": METRICS_PORT},
]


def probes() -> Manifest:
    """Once it has begun Triton goes on saying that it is ready when its model cannot answer any more (a lost GPU, a
    dead backend). So the probes ask the model for a vector, with curl, which Triton's image has.

    A busy Triton queues the question behind the texts of a catalogue: being slow must not end it, so the time is ample.
    """
    loaded = {"httpGet": {"path": f"/v2/models/{EMBEDDER}/ready", "port": "http"}}
    return {
        "startupProbe": {**loaded, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 240},
        "readinessProbe": {**_inference(5), "periodSeconds": 10, "timeoutSeconds": 7, "failureThreshold": 3},
        "livenessProbe": {**_inference(30), "periodSeconds": 30, "timeoutSeconds": 35, "failureThreshold": 3},
    }


def _inference(seconds: int) -> Manifest:
    tensor = {"shape": [1, 1], "datatype": "INT64"}
    body = {
        "inputs": [
            {"name": "input_ids", **tensor, "data": [1]},
            {"name": "attention_mask", **tensor, "data": [1]},
        ]
    }
    url = f"http://127.0.0.1:{HTTP_PORT}/v2/models/{EMBEDDER}/infer"
    options = ["--fail", "--silent", "--show-error", "--output", "/dev/null", "--max-time", str(seconds)]
    command = ["curl", *options, "--header", "content-type: application/json", "--data", json.dumps(body), url]
    return {"exec": {"command": command}}
