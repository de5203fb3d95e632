"""The encoder's pods: what Triton is told, how it is probed, where the model comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from example_systems import example
from google.protobuf import text_format
from recsys_gateway.config import TritonEmbedder
from recsys_operator.components import triton
from recsys_operator.components.embedder import embedder_manifests
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.observed import Observed
from recsys_operator.local.uris import samples_folder
from tritonclient.grpc import model_config_pb2


def children(**embedder: Any) -> dict[str, Manifest]:
    made = embedder_manifests(example("minimal", embedder=embedder), Observed())
    return {manifest["kind"]: manifest for manifest in made}


def container(**embedder: Any) -> Manifest:
    (found,) = children(**embedder)["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.fixture(scope="module")
def model_config() -> Any:
    """As Triton itself reads it: its own message type refuses what it does not know."""
    return text_format.Parse(children()["ConfigMap"]["data"]["config.pbtxt"], model_config_pb2.ModelConfig())


def test_the_model_is_called_as_the_gateway_calls_it(model_config: Any) -> None:
    assert model_config.name == TritonEmbedder.model_fields["model"].default
    assert model_config.backend == "onnxruntime"
    assert [one.name for one in model_config.input] == ["input_ids", "attention_mask"]
    assert {one.data_type for one in model_config.input} == {model_config_pb2.TYPE_INT64}
    assert [one.name for one in model_config.output] == ["sentence_embedding"]
    assert model_config.output[0].data_type == model_config_pb2.TYPE_FP32
    assert model_config.HasField("dynamic_batching")


def test_a_call_of_the_gateway_fits_a_batch(model_config: Any) -> None:
    assert TritonEmbedder.model_fields["batch"].default <= model_config.max_batch_size


def test_the_sample_encoder_has_the_inputs_and_the_output_of_that_configuration(model_config: Any) -> None:
    model = samples_folder() / "models" / "embedder" / "model.onnx"
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    assert {one.name for one in session.get_inputs()} == {one.name for one in model_config.input}
    assert {one.name for one in model_config.output} <= {one.name for one in session.get_outputs()}


def test_triton_finds_the_configuration_above_the_model() -> None:
    """repository/NAME/config.pbtxt and repository/NAME/1/model.onnx."""
    paths = {mount["name"]: Path(mount["mountPath"]) for mount in container()["volumeMounts"]}
    assert paths["config"] == Path("/repository/embedder/config.pbtxt")
    assert paths["models"] == Path("/repository/embedder/1")
    assert "--model-repository=/repository" in container()["args"]


@pytest.mark.parametrize("probe", ["readinessProbe", "livenessProbe"])
def test_probes_ask_the_model_for_a_vector(probe: str, model_config: Any) -> None:
    """Triton says that it is ready when its model cannot answer any more."""
    command = container()[probe]["exec"]["command"]
    assert command[0] == "curl"
    assert command[-1].endswith("/v2/models/embedder/infer")
    body = json.loads(command[command.index("--data") + 1])
    assert [one["name"] for one in body["inputs"]] == [one.name for one in model_config.input]
    limit = int(command[command.index("--max-time") + 1])
    assert limit < container()[probe]["timeoutSeconds"]


def test_a_new_pod_waits_for_its_model_to_load() -> None:
    probe = container()["startupProbe"]
    assert probe["httpGet"]["path"] == "/v2/models/embedder/ready"
    assert probe["periodSeconds"] * probe["failureThreshold"] == 20 * 60


def test_the_only_gpu_is_freed_before_the_next_pod_wants_it() -> None:
    strategy = children()["Deployment"]["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 0, "maxUnavailable": 1}


def init_command(**embedder: Any) -> list[str]:
    *_, last = children(**embedder)["Deployment"]["spec"]["template"]["spec"]["initContainers"]
    return list(last["command"])


def test_a_hubs_model_is_fetched_and_the_sample_is_copied() -> None:
    assert "hf://sentence-transformers/all-MiniLM-L6-v2" in init_command()
    assert "sample://embedder" in init_command(model={"uri": "sample://embedder"})


def test_a_model_in_a_claim_is_mounted_and_not_copied() -> None:
    pod = children(model={"uri": "pvc://models/encoders/minilm"})["Deployment"]["spec"]["template"]["spec"]
    assert "initContainers" not in pod
    (mount,) = (one for one in pod["containers"][0]["volumeMounts"] if one["mountPath"] == "/repository/embedder/1")
    assert mount["subPath"] == "encoders/minilm"
    assert mount["readOnly"] is True


def test_tei_reads_the_folder_that_was_fetched_for_it() -> None:
    found = container(engine={"type": "TEI"})
    (mount,) = found["volumeMounts"]
    assert f"--model-id={mount['mountPath']}" in found["args"]
    assert init_command(engine={"type": "TEI"})[-2:] == ["--format", "transformers"]
    assert found["readinessProbe"]["httpGet"]["path"] == "/health"
    assert "ConfigMap" not in children(engine={"type": "TEI"})


def test_tei_has_an_image_for_each_kind_of_machine() -> None:
    assert ":cpu-" in container(engine={"type": "TEI"})["image"]
    assert ":cpu-" not in container(engine={"type": "TEI"}, resources={"limits": {"nvidia.com/gpu": 1}})["image"]


def test_an_external_embedder_has_no_children() -> None:
    assert not children(engine={"type": "OpenAI"}, model={"uri": "https://vectors.example.org"})


def test_the_service_leads_to_the_port_that_the_gateway_calls() -> None:
    ports = {port["port"]: port["targetPort"] for port in children()["Service"]["spec"]["ports"]}
    named = {port["name"]: port["containerPort"] for port in triton.PORTS}
    assert named[ports[8001]] == 8001
