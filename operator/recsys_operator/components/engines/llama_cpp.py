"""llama.cpp's server; flags: tools/server/README.md of the project."""

from __future__ import annotations

from recsys_operator.components.engines.engine import (
    DEFAULT_CONTEXT_TOKENS,
    PORT,
    EngineRun,
    Flag,
    Health,
    arguments,
    flag,
    given,
)
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_files import Format
from recsys_operator.components.release import LLAMA_CPP, LLAMA_CPP_CPU

DEFAULT_SLOTS = 4
PROMPT_CACHE_MIB = 256
"""Of prompts that were seen, in main memory; 8 GiB by default, of which a pod's limit knows nothing."""


class LlamaCpp:
    """Its context is shared out among the slots. ``/slots`` would show prompts and is switched off, as its page is.

    Adapters are always applied: it has no names for them. SIGTERM cuts its streams: the pod waits before.
    """

    format = Format.GGUF
    health = Health()
    drains = False
    restricted = False

    def image(self, run: EngineRun) -> str:
        return LLAMA_CPP if run.gpus else LLAMA_CPP_CPU

    def container(self, run: EngineRun) -> Manifest:
        slots = run.slots or DEFAULT_SLOTS
        flags = [
            flag("--model -m", run.path),
            flag("--alias -a", run.name),
            flag("--host", "0.0.0.0"),  # noqa: S104 - in a pod
            flag("--port", PORT),
            flag("--parallel -np", slots),
            flag("--ctx-size -c", slots * (run.context_tokens or DEFAULT_CONTEXT_TOKENS)),
            flag("--cache-ram -cram", PROMPT_CACHE_MIB),
            *self._hardware(run),
            *given("--lora", ",".join(run.adapters.values()) or None),
            flag("--jinja"),
            flag("--metrics"),
            flag("--no-slots --slots"),
            flag("--no-webui --webui"),
        ]
        return {"args": arguments(flags, run.args)}

    def init_containers(self, run: EngineRun) -> list[Manifest]:
        return []

    def volumes(self) -> list[Manifest]:
        return []

    def _hardware(self, run: EngineRun) -> list[Flag]:
        """With a GPU all layers go there. Without one: as many threads as cores were given, not as the node has."""
        if run.gpus:
            return [flag("--n-gpu-layers --gpu-layers -ngl", 999)]
        return given("--threads -t", run.cpus)
