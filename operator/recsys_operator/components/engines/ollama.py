"""Ollama 0.12 in a pod; its settings are variables: docs/faq.mdx and envconfig/config.go of the project."""

from __future__ import annotations

from recsys_operator.components.engines.engine import DEFAULT_CONTEXT_TOKENS, PORT, EngineRun, Health, variables
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_files import Format
from recsys_operator.components.release import OLLAMA

DEFAULT_SLOTS = 4
_STORE = "/var/lib/ollama"
_CREATE = """set -eu
ollama serve &
server=$!
until ollama list >/dev/null 2>&1; do kill -0 "$server"; sleep 1; done
printf '%s' "$MODELFILE" >/tmp/Modelfile
ollama create "$MODEL" -f /tmp/Modelfile
kill "$server"
wait "$server" || true
"""
"""Ollama serves from a store of its own. A server is needed to fill it: this one runs in the init container alone."""


class Ollama:
    """The model is made from its GGUF file before the server starts, and loaded by the startup probe, for good.

    Adapters are part of the model that is made. SIGTERM cuts its streams: the pod waits before.
    """

    format = Format.GGUF
    health = Health(path="/api/version", started=("/bin/sh", "-c", 'ollama run "$MODEL" ""'))
    drains = False
    restricted = False

    def image(self, run: EngineRun) -> str:
        return OLLAMA

    def container(self, run: EngineRun) -> Manifest:
        return {
            "args": ["serve", *run.args],
            "env": variables(
                MODEL=run.name,
                OLLAMA_HOST=f"0.0.0.0:{PORT}",
                OLLAMA_MODELS=_STORE,
                OLLAMA_NUM_PARALLEL=run.slots or DEFAULT_SLOTS,
                OLLAMA_CONTEXT_LENGTH=run.context_tokens or DEFAULT_CONTEXT_TOKENS,
                OLLAMA_MAX_LOADED_MODELS=1,
                OLLAMA_MAX_QUEUE=run.most_requests or 512,
                OLLAMA_KEEP_ALIVE=-1,
            ),
            "volumeMounts": [_mount()],
        }

    def init_containers(self, run: EngineRun) -> list[Manifest]:
        modelfile = "\n".join([f"FROM {run.path}", *(f"ADAPTER {path}" for path in run.adapters.values()), ""])
        environment = variables(
            MODEL=run.name, MODELFILE=modelfile, OLLAMA_HOST="127.0.0.1:11434", OLLAMA_MODELS=_STORE
        )
        return [
            {
                "name": "create-model",
                "image": self.image(run),
                "command": ["/bin/sh", "-c", _CREATE],
                "env": environment,
                "volumeMounts": [_mount()],
            }
        ]

    def volumes(self) -> list[Manifest]:
        return [{"name": "ollama", "emptyDir": {}}]


def _mount() -> Manifest:
    return {"name": "ollama", "mountPath": _STORE}
