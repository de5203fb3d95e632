"""Ports of this machine."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

INNER_PORTS = range(20_000, 32_768)
"""Below those that kernels give away, so that nobody is handed one between its choice and its use."""


class PortInUseError(OSError):
    """It cannot be listened there; the message says where and why."""


def require_free(host: str, port: int) -> None:
    """
    Raises:
        PortInUseError: ``host:port`` cannot be listened on.
    """
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        # As the server will: a port whose last connections are still closing down is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(f"another program has port {port}") from None
            raise PortInUseError(f"{host}:{port} cannot be listened on: {error.strerror}") from None


@contextmanager
def held(host: str, port: int) -> Iterator[socket.socket]:
    """A port that nobody else can listen on until the socket is closed; nobody is answered there.

    Where connections of an earlier server are still closing down, the kernel lets nobody hold it: it is only seen to
    be free then.

    Raises:
        PortInUseError: ``host:port`` cannot be listened on.
    """
    require_free(host, port)
    with socket.socket(_family(host), socket.SOCK_STREAM) as holder:
        # Without SO_REUSEADDR, which is what keeps others away.
        with suppress(OSError):
            holder.bind((host, port))
        yield holder


def free_ports(count: int) -> list[int]:
    """``count`` different ports on 127.0.0.1 that nobody listens on.

    By chance: two systems that start at once hardly choose the same one.

    Raises:
        PortInUseError: there are not so many.
    """
    found: list[int] = []
    for port in random.sample(INNER_PORTS, len(INNER_PORTS)):
        if len(found) == count:
            return found
        try:
            require_free("127.0.0.1", port)
        except PortInUseError:
            continue
        found.append(port)
    raise PortInUseError(f"no {count} free ports among {INNER_PORTS.start}-{INNER_PORTS.stop - 1}")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
