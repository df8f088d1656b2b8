"""Where alerts go: to the log, or to a webhook. Add a target here, and to `target_of`."""

from __future__ import annotations

import http.client
import json
import logging
import time
import urllib.error
import urllib.request
from typing import Protocol

from pydantic import SecretStr

_SECONDS = 10
# Dagster asks a sensor of failed runs about each of them once, and for a minute at most.
_PAUSES = (1, 2, 4)
_log = logging.getLogger(__name__)


class AlertFailed(Exception):
    """An alert did not reach its target; the message does not name the URL, which is a secret."""


class Target(Protocol):
    def send(self, text: str) -> None:
        """Tell people; `AlertFailed` where that is not possible."""


class Log:
    """Alerts as errors in the log of whatever process raises them."""

    def send(self, text: str) -> None:
        _log.error(text)


class Webhook:
    """Alerts as `{"text": …}`, the form that Slack, Mattermost and their kin take.

    What does not get through at once is tried three times more within seconds.
    """

    def __init__(self, url: SecretStr) -> None:
        self._url = url

    def send(self, text: str) -> None:
        for pause in _PAUSES:
            try:
                self._post(text)
            except AlertFailed as error:
                _log.warning("%s; trying again in %g s", error, pause)
                time.sleep(pause)
            else:
                return
        self._post(text)

    def _post(self, text: str) -> None:
        request = urllib.request.Request(  # noqa: S310 (settings take http and https alone)
            self._url.get_secret_value(),
            data=json.dumps({"text": text}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            urllib.request.urlopen(request, timeout=_SECONDS).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            raise AlertFailed(f"the webhook answered {error.code}: {text}") from None
        except OSError as error:
            raise AlertFailed(f"the webhook cannot be reached ({error}): {text}") from None
        except http.client.HTTPException as error:
            # Its words may quote the address, which is a secret.
            kind = type(error).__name__
            raise AlertFailed(f"the webhook cannot be spoken to ({kind}): {text}") from None


def target_of(webhook: SecretStr | None) -> Target:
    """The configured target."""
    return Log() if webhook is None else Webhook(webhook)
