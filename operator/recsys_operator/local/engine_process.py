"""A language model served by llama.cpp's HTTP server: ``python -m recsys_operator.local.engine_process --model …``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from recsys_operator.local.ports import PortInUseError, require_free
from recsys_operator.local.uris import UriError, sample_model_path, samples_folder

PROMPT_CACHE_MIB = 256
"""Of prompts that were seen, in main memory; llama.cpp would take 8 GiB."""

WARNINGS_ONLY = 1
"""llama.cpp's verbosity: at its default the server logs every request."""


def main() -> None:
    """Serve until a signal comes."""
    arguments = _parse(sys.argv[1:])
    try:
        # llama.cpp tells a port in use and a file that is no model in the same words.
        require_free(arguments.host, arguments.port)
    except PortInUseError as error:
        sys.exit(f"{error}, which was free a moment ago: start again")
    # Imported after the arguments are known to be good: it loads the inference libraries.
    from xllamacpp import CommonParams, Server

    parameters = CommonParams()
    parameters.model.path = str(arguments.model)
    parameters.model_alias = {arguments.alias}
    parameters.hostnames = [arguments.host]
    parameters.port = arguments.port
    parameters.n_parallel = arguments.slots
    parameters.n_ctx = arguments.slots * arguments.context
    parameters.cache_ram_mib = PROMPT_CACHE_MIB
    parameters.fit_params = False
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = arguments.threads
    parameters.use_jinja = True
    parameters.endpoint_metrics = True
    parameters.endpoint_slots = False
    parameters.ui = False
    parameters.verbosity = WARNINGS_ONLY
    signals = {signal.SIGTERM, signal.SIGINT}
    # Blocked before llama.cpp makes its threads, so that the signal waits for sigwait below.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        server = Server(parameters)
    except RuntimeError:
        # Its own reason went to stderr already; this is the line that `recsys up` shows.
        sys.exit(f"llama.cpp cannot serve {arguments.model}: is it the whole GGUF file of a language model?")
    print(f"{arguments.alias}: {arguments.model} on {server.listening_address}", flush=True)  # noqa: T201 a command's output
    signal.sigwait(signals)
    # llama.cpp's destructor waits for every open stream; a stop must not.
    os._exit(0)


def threads_here() -> int:
    """All cores but one, which the gateway and the vector store share: llama.cpp's threads spin while they wait."""
    cores = len(os.sched_getaffinity(0)) if sys.platform.startswith("linux") else os.cpu_count() or 1
    return max(1, cores - 1)


def _model_path(given: str) -> Path:
    if not given.startswith("sample://"):
        return Path(given)
    try:
        return sample_model_path(given, samples_folder())
    except UriError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=_model_path, required=True, help="GGUF file, or sample://NAME")
    parser.add_argument("--alias", required=True, help="name that /v1/models shows")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, default=2, help="sequences that run at once")
    parser.add_argument("--context", type=int, default=4096, help="tokens of one sequence")
    parser.add_argument("--threads", type=int, default=threads_here())
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
