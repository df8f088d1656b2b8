"""A real Spark cluster on loopback: a master and two workers, each a process of its own.

And a server of Spark Connect, which is one process.

The machines live in another time zone, so that whatever depends on it shows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from traveltide_assets_tests.support.ports import free_port
from traveltide_assets_tests.support.processes import ROOT, kill_family, listens

_START_SECONDS = 120
_DRIVER = """
spark.driver.host 127.0.0.1
spark.driver.bindAddress 127.0.0.1
spark.executor.memory 768m
spark.sql.shuffle.partitions 2
spark.ui.enabled false
"""


class SparkCluster:
    """One master; each worker has a core. `kill_worker` ends one as a power cut would."""

    def __init__(self, spark_home: Path, folder: Path) -> None:
        self._spark_home = spark_home
        self._folder = folder
        self._port = free_port()
        self._workers: list[subprocess.Popen[bytes]] = []
        self._master = self._spawn(
            "master.Master", "--host", "127.0.0.1", "--port", str(self._port)
        )
        deadline = time.monotonic() + _START_SECONDS
        while not listens(self._port):
            if self._master.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no master; see {self._folder}")
            time.sleep(0.2)

    @property
    def url(self) -> str:
        return f"spark://127.0.0.1:{self._port}"

    @property
    def configuration(self) -> Path:
        """A folder with the `spark-defaults.conf` of who uses the cluster."""
        (self._folder / "spark-defaults.conf").write_text(_DRIVER)
        return self._folder

    def add_worker(self) -> None:
        limits = ("--cores", "1", "--memory", "1g", "--webui-port", "0")
        self._workers.append(self._spawn("worker.Worker", *limits, self.url))

    def kill_worker(self) -> None:
        """End a worker and its executors without a word."""
        worker = self._workers.pop(0)
        kill_family(worker.pid)
        worker.wait()

    def stop(self) -> None:
        for process in [*self._workers, self._master]:
            kill_family(process.pid)
            process.wait()

    def _spawn(self, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "SPARK_HOME": str(self._spark_home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_WORKER_DIR": str(self._folder / "work"),
            "SPARK_DAEMON_MEMORY": "256m",
            "PYTHONPATH": str(ROOT),
            "TZ": "America/New_York",
        }
        program = self._spark_home / "bin" / "spark-class"
        with (self._folder / f"{kind}-{free_port()}.log").open("wb") as log:
            return subprocess.Popen(
                [str(program), f"org.apache.spark.deploy.{kind}", *arguments],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


class SparkConnectServer:
    """Spark 4 in a process of its own, that others talk to at `url`."""

    def __init__(self, spark_home: Path, folder: Path) -> None:
        port = free_port()
        self.url = f"sc://127.0.0.1:{port}"
        options = {
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": str(port),
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.sql.shuffle.partitions": "2",
            "spark.ui.enabled": "false",
        }
        with (folder / "connect.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(spark_home / "bin" / "spark-submit"),
                    *("--master", "local[2]", "--driver-memory", "1g"),
                    *(word for item in options.items() for word in ("--conf", "=".join(item))),
                    *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
                    "spark-internal",
                ],
                env=os.environ
                | {
                    "SPARK_HOME": str(spark_home),
                    "PYSPARK_PYTHON": sys.executable,
                    "PYTHONPATH": str(ROOT),
                    "TZ": "America/New_York",
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not listens(port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no server of Spark Connect; see {folder}")
            time.sleep(0.2)

    def stop(self) -> None:
        kill_family(self._process.pid)
        self._process.wait()
