"""Sail: a server of Spark Connect in Rust, which runs in this process and needs no Java."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path

import psutil
from pysail.spark import SparkConnectServer

from traveltide_assets.engines.spark_connect import SparkConnect

_UNITS = {"K": 1, "M": 2, "G": 3, "T": 4}


class Sail(SparkConnect):
    """A session of the server in this process."""

    def __init__(self, scratch: Path, memory: str) -> None:
        super().__init__("", scratch, memory)
        self._limit = memory

    def _address(self) -> str:
        host, port = _server(self._scratch.resolve(), self._limit).listening_address
        return f"sc://{host}:{port}"

    def _url(self, path: Path) -> str:
        # Spark takes a path as it is written. Sail takes a URL, and reads nothing where none is.
        return path.resolve().as_uri()


@cache
def _server(scratch: Path, memory: str) -> SparkConnectServer:
    """A server for this machine alone. It computes with `memory`, and spills to `scratch`."""
    scratch.mkdir(parents=True, exist_ok=True)
    options = {
        "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
        "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(_bytes(memory)),
        "SAIL_RUNTIME__TEMPORARY_FILES__PATHS": json.dumps([str(scratch)]),
        # A step may spend hours in Python. Without its session, its tables would be gone.
        "SAIL_SPARK__SESSION_TIMEOUT_SECS": str(7 * 24 * 3600),
        "RUST_LOG": "error",
    }
    # It reads them when it starts. Another server in this process may have others.
    ours = {name: value for name, value in options.items() if name not in os.environ}
    os.environ.update(ours)
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    for name in ours:
        del os.environ[name]
    return server


def _bytes(memory: str) -> int:
    """A limit as `4GB`, `4GiB` or a share of the machine's memory as `25%`."""
    if memory.endswith("%"):
        return psutil.virtual_memory().total * int(memory[:-1]) // 100
    number, unit, binary = re.findall(r"^([\d.]+) ?([KMGT])(i?)B$", memory)[0]
    return int(float(number) * (1024 if binary else 1000) ** _UNITS[unit])
