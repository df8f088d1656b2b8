"""Sail: a server of Spark Connect in Rust, which runs in this process and needs no Java."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psutil
from pysail.spark import SparkConnectServer

from traveltide_assets.engines.spark_connect import SparkConnect

_UNITS = {"K": 1, "M": 2, "G": 3, "T": 4}


class Sail(SparkConnect):
    """Sail computes with at most `memory`, and spills to `scratch`."""

    def __init__(self, scratch: Path, memory: str) -> None:
        super().__init__("", scratch, memory)
        self._limit = memory

    def _address(self) -> str:
        """Start the server, on this machine's own network, and tell where it listens."""
        for name, value in self._options().items():
            os.environ.setdefault(name, value)
        self._server = SparkConnectServer("127.0.0.1", 0)
        self._server.start(background=True)
        host, port = self._server.listening_address
        return f"sc://{host}:{port}"

    def _options(self) -> dict[str, str]:
        """Options of Sail, which reads them from the environment."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        return {
            "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
            "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(_bytes(self._limit)),
            "SAIL_RUNTIME__TEMPORARY_FILES__PATHS": f'["{self._scratch.resolve()}"]',
            # A step may spend hours in Python. Without its session, its tables would be gone.
            "SAIL_SPARK__SESSION_TIMEOUT_SECS": "604800",
            "RUST_LOG": "error",
        }


def _bytes(memory: str) -> int:
    """A limit as `4GB`, `4GiB` or a share of the machine's memory as `25%`."""
    if memory.endswith("%"):
        return psutil.virtual_memory().total * int(memory[:-1]) // 100
    number, unit, binary = re.findall(r"^([\d.]+) ?([KMGT])(i?)B$", memory)[0]
    return int(float(number) * (1024 if binary else 1000) ** _UNITS[unit])
