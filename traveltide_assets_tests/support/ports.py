"""Ports of this machine for the servers of the tests."""

from __future__ import annotations

import random
import socket

# Systems give outgoing connections ports from 32768 on: one of those may be taken by any client
# while its server is down for a test.
_PORTS = range(15_000, 32_000)
# Tests side by side must not draw alike, whoever has seeded the common generator.
_random = random.SystemRandom()


def free_ports(number: int) -> list[int]:
    """Different ports on which nobody listens."""
    free = [port for port in _random.sample(_PORTS, 10 * number) if _is_free(port)]
    return free[:number]


def free_port() -> int:
    """A port on which nobody listens."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
