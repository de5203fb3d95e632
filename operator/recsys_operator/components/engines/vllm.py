"""vLLM 0.11; flags: ``vllm serve --help``, docs/configuration/engine_args.md of the project."""

from __future__ import annotations

from recsys_gateway.config import EngineType

from recsys_operator.components.engines.engine import (
    OFFLINE,
    PORT,
    EngineRun,
    Flag,
    Health,
    arguments,
    flag,
    given,
    scores,
    variables,
)
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_files import Format
from recsys_operator.components.release import VLLM

MOST_ADAPTER_RANK = 64
"""vLLM refuses adapters of a higher rank than it is told; 16 by default."""


class Vllm:
    """Scores of candidates need ``--max-logprobs`` (20 by default). SIGTERM cuts its streams: the pod waits before."""

    format = Format.TRANSFORMERS
    health = Health()
    drains = False
    restricted = False

    def image(self, run: EngineRun) -> str:
        return VLLM

    def container(self, run: EngineRun) -> Manifest:
        flags = [
            flag("--served-model-name", run.name),
            flag("--host", "0.0.0.0"),  # noqa: S104 - in a pod
            flag("--port", PORT),
            *given("--tensor-parallel-size -tp", run.gpus if run.gpus > 1 else None),
            *given("--max-num-seqs", run.slots),
            *given("--max-model-len", run.context_tokens),
            *scores(EngineType.VLLM),
            *self._adapters(run),
        ]
        return {
            "command": ["vllm", "serve", run.path],
            "args": arguments(flags, run.args),
            "env": [*OFFLINE, *variables(VLLM_NO_USAGE_STATS=1, DO_NOT_TRACK=1)],
        }

    def init_containers(self, run: EngineRun) -> list[Manifest]:
        return []

    def volumes(self) -> list[Manifest]:
        return []

    def _adapters(self, run: EngineRun) -> list[Flag]:
        if not run.adapters:
            return []
        return [
            flag("--enable-lora"),
            flag("--max-loras", len(run.adapters)),
            flag("--max-lora-rank", MOST_ADAPTER_RANK),
            flag("--lora-modules", *(f"{name}={path}" for name, path in run.adapters.items())),
        ]
