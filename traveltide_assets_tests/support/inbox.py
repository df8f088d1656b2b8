"""Servers that alerts are sent to, which may be down and come back: HTTP and SMTP."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from traveltide_assets_tests.support.ports import free_port


class Inbox:
    """A real HTTP server that keeps what it is sent, and answers with the next of `answers`.

    What holds the words `too_long` is answered 413.
    """

    too_long = "much too long"

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.paths: list[str] = []
        self.answers: Iterator[int] = itertools.repeat(200)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/hook/s3cret"
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                inbox.received.append(json.loads(self.rfile.read(length)))
                inbox.paths.append(self.path)
                long = inbox.too_long in str(inbox.received[-1])
                self.send_response(413 if long else next(inbox.answers))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.received]


class Mailbox:
    """A real SMTP server that keeps the mail it is sent."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port())
        self.port = self._controller.port

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd looks for
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = envelope.original_content
        assert content is not None
        self.mails.append(message_from_bytes(content, policy=policy.default))
        return "250 OK"

    def start(self) -> None:
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()
