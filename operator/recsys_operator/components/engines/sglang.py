"""SGLang 0.5; flags: docs/advanced_features/server_arguments.md of the project."""

from __future__ import annotations

from recsys_operator.components.engines.engine import OFFLINE, PORT, EngineRun, Flag, Health, arguments, flag, given
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_files import Format
from recsys_operator.components.release import SGLANG


class SGLang:
    """``/health`` runs a token through the model and may take 20 seconds. After SIGTERM it finishes its calls."""

    format = Format.TRANSFORMERS
    health = Health(timeout_seconds=25)
    drains = True
    restricted = False

    def image(self, run: EngineRun) -> str:
        return SGLANG

    def container(self, run: EngineRun) -> Manifest:
        flags = [
            flag("--model-path --model", run.path),
            flag("--served-model-name", run.name),
            flag("--host", "0.0.0.0"),  # noqa: S104 - in a pod
            flag("--port", PORT),
            *given("--tensor-parallel-size --tp-size --tp", run.gpus if run.gpus > 1 else None),
            *given("--max-running-requests", run.slots),
            *given("--max-queued-requests", run.most_requests),
            *given("--context-length", run.context_tokens),
            flag("--enable-metrics"),
            *self._adapters(run),
        ]
        command = ["python3", "-m", "sglang.launch_server"]
        return {"command": command, "args": arguments(flags, run.args), "env": [*OFFLINE]}

    def init_containers(self, run: EngineRun) -> list[Manifest]:
        return []

    def volumes(self) -> list[Manifest]:
        return []

    def _adapters(self, run: EngineRun) -> list[Flag]:
        paths = [f"{name}={path}" for name, path in run.adapters.items()]
        # Besides its adapters a batch holds calls of the model itself: one place more.
        return [flag("--lora-paths", *paths), flag("--max-loras-per-batch", len(paths) + 1)] if paths else []
