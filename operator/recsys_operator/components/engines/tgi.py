"""Text Generation Inference 3.3; flags: docs/source/reference/launcher.md of the project."""

from __future__ import annotations

from recsys_gateway.config import EngineType

from recsys_operator.components.engines.engine import (
    OFFLINE,
    PORT,
    EngineRun,
    Health,
    arguments,
    flag,
    given,
    scores,
)
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_files import Format
from recsys_operator.components.release import TGI


class Tgi:
    """Scores of candidates need ``--max-top-n-tokens`` (5 by default).

    ``--max-batch-size`` is not kept exactly while prompts are prefilled in chunks; the gateway keeps to the
    slots anyway. After SIGTERM it refuses new calls and finishes those that run, within its termination timeout.
    """

    format = Format.TRANSFORMERS
    health = Health()
    drains = True
    restricted = False

    def image(self, run: EngineRun) -> str:
        return TGI

    def container(self, run: EngineRun) -> Manifest:
        adapters = ",".join(f"{name}={path}" for name, path in run.adapters.items())
        flags = [
            flag("--model-id", run.path),
            flag("--hostname", "0.0.0.0"),  # noqa: S104 - in a pod
            flag("--port -p", PORT),
            *given("--num-shard", run.gpus if run.gpus > 1 else None),
            *given("--max-concurrent-requests", run.most_requests),
            *given("--max-batch-size", run.slots),
            *given("--max-total-tokens", run.context_tokens),
            *given("--max-batch-total-tokens", run.batch_tokens),
            *scores(EngineType.TGI),
            *given("--lora-adapters", adapters or None),
            flag("--graceful-termination-timeout -g", max(1, run.drain_seconds)),
            flag("--usage-stats", "off"),
        ]
        return {"args": arguments(flags, run.args), "env": [*OFFLINE]}

    def init_containers(self, run: EngineRun) -> list[Manifest]:
        return []

    def volumes(self) -> list[Manifest]:
        return []
