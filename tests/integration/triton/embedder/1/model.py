"""Triton's Python backend: the ONNX sentence encoder that the parameter ``encoder`` names, as ONNX Runtime's own
backend would run it (the test's Triton has the Python backend alone)."""

import json

import onnxruntime
import triton_python_backend_utils as backend


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self._session = onnxruntime.InferenceSession(parameters["encoder"]["string_value"])

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        names = ("input_ids", "attention_mask")
        feed = {name: backend.get_input_tensor_by_name(request, name).as_numpy() for name in names}
        (vectors,) = self._session.run(["sentence_embedding"], feed)
        return backend.InferenceResponse([backend.Tensor("sentence_embedding", vectors)])
