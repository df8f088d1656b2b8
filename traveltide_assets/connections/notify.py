"""Alerts to people: to the log, or to any service that Apprise knows (Slack, Teams, mail, …).

An alert is kept in a folder until the service has accepted it, so none is lost during an outage.
`defs/alerts.py` decides when an alert is raised and what it says.
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
# Four attempts fit into the minute that Dagster allows for a sensor tick.
_ANSWER_SECONDS = 8
_LOCK_SECONDS = 10
# The next round sends the alerts that this one does not get to.
_ROUND_SECONDS = 30
# Responses that concern one alert only, such as one that is too long. It must not delay the others.
_ABOUT_THE_ALERT = {400, 413, 422}
# Renames the fields of Apprise's JSON. A field renamed to "" is left out.
_TEXT_ALONE = {"message": "text", "version": "", "title": "", "attachments": "", "type": ""}
_STATUS = re.compile(r"error=(\d{3})\b")
_log = logging.getLogger(__name__)


class AlertFailed(Exception):
    """An alert was neither sent nor kept. The message never contains the URL, which is a secret."""


class AlertDelayed(AlertFailed):
    """The service did not accept some alerts. They are kept, and later calls send them."""


class _Refused(Exception):
    """The service did not accept an alert. `status` is its HTTP status, or None without one."""

    def __init__(self, name: str, status: int | None) -> None:
        super().__init__(f"{name} answered {status}" if status else f"{name} cannot be reached")
        self.status = status


@dataclass(frozen=True)
class _Alert:
    raised: dt.datetime
    text: str

    @classmethod
    def read(cls, path: Path) -> _Alert:
        """The alert in a file. Raises `ValueError` if the file does not contain one."""
        content = json.loads(path.read_text(encoding="utf-8"))
        try:
            return cls(dt.datetime.fromisoformat(content["raised"]), content["text"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"missing field {error}") from error

    def write(self, folder: Path) -> None:
        """Write it to its own file, atomically. File names sort by time."""
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
    """Sends alerts to a service, or to the log if no URL is given.

    An `https://` or `http://` URL gets a POST of `{"text": …}`, which Slack, Mattermost and similar
    services accept. Any other URL must be one that Apprise supports: `slack://…`, `workflows://…`,
    `mailtos://…`, …. Alerts waiting to be sent are JSON files in `folder`, which several processes
    may share.
    """

    def __init__(self, url: SecretStr | None, folder: Path) -> None:
        self._url = url
        self._folder = folder

    def send(self, *texts: str) -> None:
        """Send the waiting alerts, then the new ones. Without new ones, send the waiting ones only.

        New alerts get four attempts within seconds, waiting ones get one. Raises `AlertDelayed` if
        some are kept for later, and `AlertFailed` if a new one could not be kept either. A service
        may receive an alert twice if this process is killed right after sending it.
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
                # Still try to send it: a full disk may be the very reason for the alert.
                _log.warning("cannot keep the alert in %s: %s", self._folder, error)
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
                f"{refused}; alerts waiting in {self._folder}: {waiting}{news}"
            ) from None

    def _waiting(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))

    def _send_waiting(self, url: SecretStr) -> None:
        """Send the waiting alerts, oldest first. Raises `_Refused` if not all are accepted."""
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
        """Send an alert and remove its file. Returns a refusal that concerns this alert only."""
        try:
            alert = _Alert.read(path)
        except ValueError as error:
            _log.error("%s is set aside, because it is not a readable alert: %s", path, error)
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
    """The service behind a URL. Raises `ValueError` if there is none."""
    # Importing Apprise takes most of a second, so only deployments with a URL pay for it.
    from apprise import Apprise
    from apprise.plugins.custom_json import NotifyJSON

    _quieten()
    service: NotifyBase | None = None
    if _is_webhook(url):
        # Not Apprise's own `https://`: it recognises some services and uses their protocol instead.
        parts = urlsplit(url.get_secret_value())
        if parts.hostname:
            service = NotifyJSON(  # type: ignore[no-untyped-call]
                secure=parts.scheme == "https",
                # The host with its port, as written in the URL.
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
        raise ValueError("not the URL of a service that alerts can be sent to")
    return service


def _quieten() -> None:
    """Keep URLs, which contain secrets, out of every log."""
    apprise = logging.getLogger("apprise")
    apprise.addFilter(_only_status)
    apprise.propagate = False
    # It logs the path of every request if the root logger has the level DEBUG.
    logging.getLogger("urllib3").setLevel(logging.INFO)


def _only_status(record: logging.LogRecord) -> bool:
    """Drops Apprise's messages, which may quote the URL, except the status of a response."""
    status = _STATUS.search(record.getMessage())
    record.msg, record.args = status.group() if status else "", ()
    record.exc_info = record.exc_text = record.stack_info = None
    return status is not None


def _is_webhook(url: SecretStr) -> bool:
    return url.get_secret_value().startswith(("https://", "http://"))


def _warn(state: RetryCallState) -> None:
    refused = state.outcome.exception() if state.outcome else None
    _log.warning("%s; trying again in %g s", refused, state.upcoming_sleep)
