"""A real S3 server (SeaweedFS) for tests, and a proxy that makes its answers fail.

The server checks signatures, permissions, conditions and checksums, as S3 does.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from traveltide_assets.connections.locations import S3Location
from traveltide_assets_tests.support.ports import free_ports

_KEY, _SECRET = "tests", "tests-may-do-everything"
_READER, _READERS_SECRET = "reader", "reader-may-only-read"
_START_SECONDS = 60


@dataclass
class S3Server:
    """Where the server listens, and who may do what."""

    endpoint: str
    key: str = _KEY
    secret: str = _SECRET

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make boto3 use this server with every right."""
        return _environment(self.endpoint, self.key, self.secret)

    @property
    def readers_environment(self) -> dict[str, str]:
        """The same with the right to list and read alone."""
        return _environment(self.endpoint, _READER, _READERS_SECRET)

    @cached_property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
        )

    def bucket(self) -> str:
        """A new, empty bucket."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        return name

    def upload(self, folder: Path, place: S3Location) -> None:
        """Put the files of a folder under a place."""
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            key = f"{place.prefix}/{file.relative_to(folder).as_posix()}".lstrip("/")
            self.client.put_object(Bucket=place.bucket, Key=key, Body=file.read_bytes())

    def contents(self, place: S3Location) -> dict[str, bytes]:
        """Every object under a place, by what follows it."""
        prefix = f"{place.prefix}/" if place.prefix else ""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=place.bucket, Prefix=prefix
        )
        return {
            found["Key"].removeprefix(prefix): self.client.get_object(
                Bucket=place.bucket, Key=found["Key"]
            )["Body"].read()
            for page in pages
            for found in page.get("Contents", [])
        }


def _environment(endpoint: str, key: str, secret: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
    }


@contextmanager
def running_s3(folder: Path) -> Iterator[S3Server]:
    """The server, with its data in a folder, on free ports of this machine alone."""
    config = folder / "identities.json"
    config.write_text(
        json.dumps(
            {
                "identities": [
                    _identity(_KEY, _SECRET, ["Admin", "Read", "Write", "List", "Tagging"]),
                    _identity(_READER, _READERS_SECRET, ["Read", "List"]),
                ]
            }
        ),
        encoding="utf-8",
    )
    names = ("master", "volume", "filer", "s3")
    options = [f"{name}.port{grpc}" for name in names for grpc in ("", ".grpc")]
    ports = dict(zip(options, free_ports(len(options)), strict=True))
    command = [
        shutil.which("weed", path=str(Path(sys.executable).parent)) or "weed",
        "server",
        "-s3",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-s3.config={config}",
        "-s3.autoCreateBucket=false",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        # Every bucket takes some, and a session of tests makes hundreds of buckets.
        "-volume.max=5000",
        "-master.volumeSizeLimitMB=64",
        "-master.telemetry=false",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            server = S3Server(f"http://127.0.0.1:{ports['s3.port']}")
            _wait(server, process, folder / "log")
            yield server
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _identity(key: str, secret: str, actions: list[str]) -> dict[str, Any]:
    return {
        "name": key,
        "credentials": [{"accessKey": key, "secretKey": secret}],
        "actions": actions,
    }


def _wait(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server stores an object: it listens before it can."""
    bucket, deadline = "until-it-stores", time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.client.create_bucket(Bucket=bucket)
            server.client.put_object(Bucket=bucket, Key="object", Body=b"stored")
        except (BotoCoreError, ClientError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"the S3 server did not start:\n{log.read_text()[-3000:]}")


@dataclass
class Proxy:
    """Stands before the server: notes every request, answers some itself, spoils some answers."""

    endpoint: str
    requests: list[str] = field(default_factory=list)
    busy: int = 0
    """So many requests to come are answered with 503 Slow Down."""
    busy_bucket: str = ""
    """The bucket that is busy. Empty: all are."""
    spoiled: int = 0
    """In so many downloads to come, one byte is changed."""
    cut: int = 0
    """So many downloads to come end in the middle."""
    lost: int = 0
    """So many uploads to come are stored, and their answer is lost."""

    away: int | None = None
    """After so many requests the server is away, and every connection ends without an answer."""
    away_seconds: float = 0
    """How long the server is away, from the first request that finds it so."""
    portal: bytes = b""
    """A page that is the answer to everything, as that of a network that wants a login."""

    def is_away(self) -> bool:
        """Whether a request finds the server away. Counts the request."""
        if self.away is None:
            return False
        if self.away > 0:
            self.away -= 1
            return False
        self._since = self._since or time.monotonic()
        return time.monotonic() - self._since < self.away_seconds

    _since: float | None = None

    def count(self, method: str) -> int:
        """How many requests of a method were made."""
        return sum(request.startswith(f"{method} ") for request in self.requests)


@contextmanager
def proxy_of(server: S3Server) -> Iterator[Proxy]:
    """A proxy on a free port."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                proxy.requests.append(f"{self.command} {self.path}")
                away = proxy.is_away()
                busy = not away and proxy.busy > 0 and self.path.startswith(f"/{proxy.busy_bucket}")
                proxy.busy -= busy
            if away:
                self.close_connection = True
                return
            if proxy.portal:
                self._answer(200, {"Content-Type": "text/html"}, proxy.portal)
                return
            if busy:
                self._answer(503, {}, b"<Error><Code>SlowDown</Code></Error>")
                return
            # The host is signed, so it is handed on as the client named it.
            upstream = HTTPConnection(urlsplit(server.endpoint).netloc)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            with lock:
                lost = self.command == "PUT" and proxy.lost > 0
                proxy.lost -= lost
            if lost:
                self.close_connection = True
                return
            self._answer(answer.status, dict(answer.getheaders()), content)

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            download = self.command == "GET" and "list-type" not in self.path and status == 200
            with lock:
                spoiled, cut = download and proxy.spoiled > 0, download and proxy.cut > 0
                proxy.spoiled -= spoiled
                proxy.cut -= cut
            headers.setdefault("Content-Length", str(len(content)))
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() != "transfer-encoding":
                    self.send_header(name, value)
            self.end_headers()
            if spoiled:
                content = content[:-1] + bytes([content[-1] ^ 1])
            if cut:
                content = content[: len(content) // 2]
                self.close_connection = True
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        proxy = Proxy(f"http://127.0.0.1:{listening.server_port}")
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            listening.shutdown()
            thread.join()
