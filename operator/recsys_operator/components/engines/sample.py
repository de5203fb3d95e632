"""The sample models, served by llama.cpp as ``recsys up`` serves them: our own image carries both."""

from __future__ import annotations

from recsys_operator.components.engines.engine import (
    DEFAULT_CONTEXT_TOKENS,
    PORT,
    EngineRun,
    Health,
    arguments,
    flag,
    variables,
)
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_files import Format
from recsys_operator.components.release import OPERATOR

DEFAULT_SLOTS = 2


class Sample:
    """``recsys_operator.local.engine_process``; it stops at once, so the pod waits before."""

    format = Format.GGUF
    health = Health()
    drains = False
    restricted = True

    def image(self, run: EngineRun) -> str:
        return OPERATOR

    def container(self, run: EngineRun) -> Manifest:
        flags = [
            flag("--model", run.path),
            flag("--alias", run.name),
            flag("--host", "0.0.0.0"),  # noqa: S104 - in a pod
            flag("--port", PORT),
            flag("--slots", run.slots or DEFAULT_SLOTS),
            flag("--context", run.context_tokens or DEFAULT_CONTEXT_TOKENS),
            # Not as many as the node has cores: llama.cpp's threads spin while they wait.
            flag("--threads", run.cpus or 1),
        ]
        command = ["python", "-m", "recsys_operator.local.engine_process"]
        return {
            "command": command,
            "args": arguments(flags, run.args),
            "env": variables(HOME="/tmp"),  # noqa: S108 - in a container of its own
        }

    def init_containers(self, run: EngineRun) -> list[Manifest]:
        return []

    def volumes(self) -> list[Manifest]:
        return []
