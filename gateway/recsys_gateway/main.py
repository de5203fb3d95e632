"""``recsys-gateway``: the data plane as a process."""

from __future__ import annotations

import argparse
import contextlib
import logging
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from recsys_gateway import load_command
from recsys_gateway.config import load_config
from recsys_gateway.document import ConfigurationError
from recsys_gateway.telemetry import configure_logging

BACKLOG = 2048

log = logging.getLogger("recsys_gateway")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stopped. Exit status: 0 stopped, 1 could not start, 2 wrong usage. ``load``: see ``load_command``."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["load"]:
        return load_command.main(given[1:])
    parser = argparse.ArgumentParser(
        prog="recsys-gateway",
        description="The gateway of a RecommenderSystem.",
        epilog="recsys-gateway load --config FILE loads a catalogue instead.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration, YAML")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on (default: %(default)s)")
    options = parser.parse_args(given)
    try:
        config = load_config(options.config)
        # Imported after the configuration is known to parse: it takes seconds, and a refusal should not.
        import uvicorn

        from recsys_gateway.api.app import create_app
        from recsys_gateway.api.bounded_protocol import BoundedProtocol
        from recsys_gateway.api.draining_server import CLOSE_SECONDS, DrainingServer

        entry, api = create_app(config, options.config)
        listener = _listen(options.host, options.port)
    except ConfigurationError as error:
        return _refused(str(error))
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such port"
        return _refused(f"recsys-gateway: cannot listen on {options.host}:{options.port}: {reason}")
    configure_logging()
    settings = uvicorn.Config(
        entry,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http=BoundedProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who the client is, is told by its key
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )
    server = DrainingServer(settings, api, config.admission.drain_seconds)
    log.info("listening", extra={"host": options.host, "port": listener.getsockname()[1]})
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has shut down in order, and raises the signal again
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _refused(message: str) -> int:
    """Says why there is nothing to serve; the log begins later."""
    sys.stderr.write(message + "\n")
    return 1


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; here, so that a port in use is one line and no traceback."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


if __name__ == "__main__":
    sys.exit(main())
