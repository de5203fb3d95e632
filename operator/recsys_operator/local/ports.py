"""Ports of this machine."""

from __future__ import annotations

import socket
from contextlib import ExitStack


class PortInUseError(OSError):
    """Somebody else listens there; the message says where."""


def require_free(host: str, port: int) -> None:
    """
    Raises:
        PortInUseError: ``host:port`` cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the server will: a port whose last connections are still closing down is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUseError(f"{host}:{port} cannot be listened on: {error.strerror}") from None


def free_ports(count: int) -> list[int]:
    """``count`` different ports on 127.0.0.1 that nobody listened on a moment ago."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
