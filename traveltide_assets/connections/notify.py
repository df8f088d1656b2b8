"""Alerts to people: to the log, or to any service that Apprise knows (Slack, Teams, mail, …).

An alert is kept in a folder until the service has taken it, so none is lost while the service is
away. What an alert says, and when it is raised, is not decided here.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import re
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from pydantic import SecretStr
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

if TYPE_CHECKING:
    from apprise import NotifyBase

_TITLE = "TravelTide alert"
_ATTEMPTS = 4
_WAIT = wait_exponential()
# Four attempts fit into the minute that Dagster gives a tick of a sensor.
_ANSWER_SECONDS = 8
_LOCK_SECONDS = 10
# What a round does not get to is left to the next.
_ROUND_SECONDS = 30
# Answers that are about one alert, as that it is too long: it must not hold up those behind it.
_ABOUT_THE_ALERT = {400, 413, 422}
# Apprise names the fields of its JSON; those that become "" are left out.
_TEXT_ALONE = {"message": "text", "version": "", "title": "", "attachments": "", "type": ""}
_STATUS = re.compile(r"error=(\d{3})\b")
_log = logging.getLogger(__name__)


class AlertFailed(Exception):
    """An alert is neither sent nor kept. The message does not name the URL, which is a secret."""


class AlertDelayed(AlertFailed):
    """Alerts are kept because the service did not take them; later calls send them."""


class _Refused(Exception):
    """The service did not take an alert; `status` is what it answered, None if it did not."""

    def __init__(self, name: str, status: int | None) -> None:
        super().__init__(f"{name} answered {status}" if status else f"{name} cannot be reached")
        self.status = status


@dataclass(frozen=True)
class _Alert:
    raised: dt.datetime
    text: str

    @classmethod
    def read(cls, path: Path) -> _Alert:
        """The alert in a file; `ValueError` if there is none in it."""
        content = json.loads(path.read_text(encoding="utf-8"))
        try:
            return cls(dt.datetime.fromisoformat(content["raised"]), content["text"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"it lacks {error}") from error

    def write(self, folder: Path) -> None:
        """Store it as a file of its own that appears whole; file names sort by time."""
        folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"raised": self.raised.isoformat(), "text": self.text})
        descriptor, partial = tempfile.mkstemp(".tmp", ".", folder)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, folder / f"{self.raised:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex}.json")
        except OSError:
            Path(partial).unlink(missing_ok=True)
            raise

    def __str__(self) -> str:
        return f"{self.text} (raised {self.raised:%Y-%m-%d %H:%M:%S} UTC)"


class Alerts:
    """Where alerts go: a service, or the log where no URL is given.

    An `https://` or `http://` URL is posted `{"text": …}`, which Slack, Mattermost and their kin
    take. Any other URL is one that Apprise knows: `slack://…`, `workflows://…`, `mailtos://…`, ….
    Alerts that wait to be sent are JSON files in `folder`, which processes may share.
    """

    def __init__(self, url: SecretStr | None, folder: Path) -> None:
        self._url = url
        self._folder = folder

    def send(self, *texts: str) -> None:
        """Send new alerts, after those that wait; without new ones, send those that wait.

        New alerts are tried four times within seconds, waiting ones once. Raises `AlertDelayed`
        if some are kept for later, `AlertFailed` if a new one could not even be kept. A service
        may get an alert twice if this process is killed right after sending it.
        """
        if self._url is None:
            for text in texts:
                _log.error("%s", text)
            return
        patiently = Retrying(
            retry=retry_if_exception_type(_Refused),
            stop=stop_after_attempt(_ATTEMPTS if texts else 1),
            wait=_WAIT,
            before_sleep=_warn,
            reraise=True,
        )
        for text in texts:
            alert = _Alert(dt.datetime.now(dt.UTC), text)
            try:
                alert.write(self._folder)
            except OSError as error:
                # A full disk is what people are to be alerted to.
                _log.warning("the alert cannot be kept in %s: %s", self._folder, error)
                try:
                    patiently(self._post, self._url, alert)
                except _Refused as refused:
                    raise AlertFailed(f"{refused}, and the alert is lost: {text}") from None
        try:
            patiently(self._send_waiting, self._url)
        except _Refused as refused:
            waiting = len(self._waiting())
            news = f"; new: {'; '.join(texts)}" if texts else ""
            raise AlertDelayed(
                f"{refused}; alerts that wait in {self._folder} to be sent: {waiting}{news}"
            ) from None

    def _waiting(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))

    def _send_waiting(self, url: SecretStr) -> None:
        """Send what waits, oldest first; `_Refused` if the service does not take all of it."""
        if not self._waiting():
            return
        until = time.monotonic() + _ROUND_SECONDS
        try:
            with FileLock(self._folder / ".lock", timeout=_LOCK_SECONDS):
                refusals = [
                    self._send_file(url, path)
                    for path in self._waiting()
                    if time.monotonic() < until
                ]
        except Timeout:
            _log.info("another process is sending the alerts in %s", self._folder)
            return
        for refusal in filter(None, refusals):
            raise refusal

    def _send_file(self, url: SecretStr, path: Path) -> _Refused | None:
        """Send an alert and remove its file; returns a refusal that is about this alert alone."""
        try:
            alert = _Alert.read(path)
        except ValueError as error:
            _log.error("%s is set aside, because no alert can be read from it: %s", path, error)
            path.rename(path.with_suffix(".unreadable"))
            return None
        try:
            self._post(url, alert)
        except _Refused as refused:
            if refused.status in _ABOUT_THE_ALERT:
                return refused
            raise
        path.unlink()
        return None

    def _post(self, url: SecretStr, alert: _Alert) -> None:
        from apprise import Apprise, NotifyFormat, NotifyType

        service = _service(url)
        sender = Apprise()
        sender.add(service)
        result = sender.notify(str(alert), _TITLE, NotifyType.FAILURE, NotifyFormat.TEXT)
        if not result:
            name = "the webhook" if _is_webhook(url) else str(service.service_name)
            status = _STATUS.search(" ".join(entry.message for entry in result.logs()))
            raise _Refused(name, int(status.group(1)) if status else None)


def is_understood(url: SecretStr) -> bool:
    """Whether alerts can be sent to a URL."""
    try:
        _service(url)
    except ValueError:
        return False
    return True


def _service(url: SecretStr) -> NotifyBase:
    """The service behind a URL; `ValueError` if there is none."""
    # Importing it and its services takes most of a second, which only who has a URL should wait.
    from apprise import Apprise
    from apprise.plugins.custom_json import NotifyJSON

    _quieten()
    service: NotifyBase | None = None
    if _is_webhook(url):
        # Not by its own `https://`, which recognises some services and speaks to them otherwise.
        parts = urlsplit(url.get_secret_value())
        if parts.hostname:
            service = NotifyJSON(  # type: ignore[no-untyped-call]
                secure=parts.scheme == "https",
                # With the port, as it is written.
                host=parts.netloc.rpartition("@")[2],
                user=parts.username,
                password=parts.password,
                fullpath=parts.path + (f"?{parts.query}" if parts.query else ""),
                payload=_TEXT_ALONE,
                rto=_ANSWER_SECONDS,
            )
    else:
        service = Apprise.instantiate(url.get_secret_value())
    if service is None:
        raise ValueError("this is not the URL of a service that alerts can be sent to")
    return service


def _quieten() -> None:
    """Keep URLs, which hold secrets, out of every log."""
    apprise = logging.getLogger("apprise")
    apprise.addFilter(_only_status)
    apprise.propagate = False
    # It quotes each path that is asked for where the root logger has the level DEBUG.
    logging.getLogger("urllib3").setLevel(logging.INFO)


def _only_status(record: logging.LogRecord) -> bool:
    """Drops what Apprise says, which may quote the URL, except the status of an answer."""
    status = _STATUS.search(record.getMessage())
    record.msg, record.args = status.group() if status else "", ()
    record.exc_info = record.exc_text = record.stack_info = None
    return status is not None


def _is_webhook(url: SecretStr) -> bool:
    return url.get_secret_value().startswith(("https://", "http://"))


def _warn(state: RetryCallState) -> None:
    refused = state.outcome.exception() if state.outcome else None
    _log.warning("%s; trying again in %g s", refused, state.upcoming_sleep)
