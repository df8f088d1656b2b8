"""Alerts reach people, and wait for a service that is away."""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from tenacity import wait_none

from traveltide_assets.connections import notify
from traveltide_assets.connections.notify import AlertDelayed, AlertFailed, Alerts
from traveltide_assets.settings import Settings
from traveltide_assets_tests.support.inbox import Inbox, Mailbox
from traveltide_assets_tests.support.processes import ROOT


@pytest.fixture(autouse=True)
def _without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "_WAIT", wait_none())


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    inbox.start()
    yield inbox
    inbox.stop()


@pytest.fixture
def alerts(inbox: Inbox, tmp_path: Path) -> Alerts:
    return Alerts(SecretStr(inbox.url), tmp_path / "alerts")


def kept(folder: Path) -> list[str]:
    """The texts of the alerts that wait, oldest first."""
    return [json.loads(path.read_text())["text"] for path in sorted(folder.glob("*.json"))]


def without_time(texts: list[str]) -> list[str]:
    return [re.sub(r" \(raised .*", "", text) for text in texts]


def test_a_webhook_is_posted_the_text_and_when_it_was_raised(
    inbox: Inbox, alerts: Alerts, tmp_path: Path
) -> None:
    alerts.send("run 1 failed: größer < 5 & *done*")
    (message,) = inbox.received
    assert set(message) == {"text"}
    assert re.fullmatch(
        r"run 1 failed: größer < 5 & \*done\* \(raised \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)",
        message["text"],
    )
    assert kept(tmp_path / "alerts") == []


def test_the_url_of_a_webhook_is_taken_as_it_is_written(inbox: Inbox, tmp_path: Path) -> None:
    path = "/Hook/a%2Fb/?sig=x%2By==&sv=1.0&method=GET&:a=b"
    Alerts(SecretStr(f"http://127.0.0.1:{inbox.port}{path}"), tmp_path).send("one")
    assert inbox.paths == [path]
    assert set(inbox.received[0]) == {"text"}


def test_without_a_url_alerts_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, notify.__name__):
        Alerts(None, tmp_path).send("run 1 failed")
    assert "run 1 failed" in caplog.text


def test_an_alert_outlasts_a_service_that_is_away_for_seconds(
    inbox: Inbox, alerts: Alerts, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.answers = iter((503, 503, 429, 200))
    alerts.send("one")
    assert len(inbox.received) == 4
    assert caplog.text.count("trying again") == 3


def test_alerts_of_a_service_that_is_down_are_sent_in_order_once_it_is_back(
    inbox: Inbox, alerts: Alerts, tmp_path: Path
) -> None:
    inbox.stop()
    for text in ("one", "two"):
        with pytest.raises(AlertDelayed, match=f"cannot be reached.* new: {text}"):
            alerts.send(text)
    with pytest.raises(AlertDelayed, match=r"alerts waiting in .*: 2$"):
        alerts.send()
    assert kept(tmp_path / "alerts") == ["one", "two"]
    inbox.start()
    alerts.send("three")
    assert without_time(inbox.texts) == ["one", "two", "three"]
    assert kept(tmp_path / "alerts") == []


def test_an_alert_that_is_sent_late_says_when_it_was_raised(
    inbox: Inbox, alerts: Alerts, tmp_path: Path
) -> None:
    inbox.stop()
    with pytest.raises(AlertDelayed):
        alerts.send("one")
    (file,) = (tmp_path / "alerts").glob("*.json")
    file.write_text(json.dumps({"raised": "2026-01-02T03:04:05.678901+00:00", "text": "one"}))
    inbox.start()
    alerts.send()
    assert inbox.texts == ["one (raised 2026-01-02 03:04:05 UTC)"]


def test_waiting_alerts_are_sent_without_a_new_one_and_tried_once(
    inbox: Inbox, alerts: Alerts, tmp_path: Path
) -> None:
    inbox.answers = itertools.chain([500] * 5, itertools.repeat(200))
    with pytest.raises(AlertDelayed):
        alerts.send("one")
    assert len(inbox.received) == 4
    with pytest.raises(AlertDelayed):
        alerts.send()
    assert len(inbox.received) == 5
    alerts.send()
    assert len(inbox.received) == 6
    assert kept(tmp_path / "alerts") == []
    alerts.send()
    assert len(inbox.received) == 6


def test_an_alert_that_the_service_never_takes_does_not_hold_up_the_others(
    inbox: Inbox, alerts: Alerts, tmp_path: Path
) -> None:
    for _ in range(2):
        with pytest.raises(AlertDelayed, match="answered 413"):
            alerts.send(Inbox.too_long, "one")
    taken = [text for text in inbox.texts if Inbox.too_long not in text]
    assert without_time(taken) == ["one", "one"]
    assert kept(tmp_path / "alerts") == [Inbox.too_long, Inbox.too_long]


def test_a_process_that_is_killed_while_it_sends_leaves_its_alert_to_the_next(
    inbox: Inbox, alerts: Alerts, tmp_path: Path
) -> None:
    inbox.stop()
    program = """
import sys
from pathlib import Path
from pydantic import SecretStr
from traveltide_assets.connections.notify import Alerts
Alerts(SecretStr(sys.argv[1]), Path(sys.argv[2])).send("last words")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, inbox.url, str(tmp_path / "alerts")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "trying again" in process.stderr.readline(), "it waits with the alert in hand"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    inbox.start()
    alerts.send()
    assert without_time(inbox.texts) == ["last words"]


def test_senders_side_by_side_send_each_alert_once(inbox: Inbox, tmp_path: Path) -> None:
    def send(number: int) -> None:
        Alerts(SecretStr(inbox.url), tmp_path).send(f"alert {number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(20)))
    assert sorted(without_time(inbox.texts)) == sorted(f"alert {n}" for n in range(20))


def test_an_alert_that_cannot_be_kept_is_sent_all_the_same(
    inbox: Inbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "full").touch()
    alerts = Alerts(SecretStr(inbox.url), tmp_path / "full" / "alerts")
    alerts.send("the disk is full")
    assert without_time(inbox.texts) == ["the disk is full"]
    assert "cannot keep the alert" in caplog.text
    inbox.stop()
    with pytest.raises(AlertFailed, match="is lost: the disk is full") as raised:
        alerts.send("the disk is full")
    assert not isinstance(raised.value, AlertDelayed)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"raised": "today", "text": "x"}'])
def test_a_file_that_is_no_alert_is_set_aside(
    inbox: Inbox, alerts: Alerts, tmp_path: Path, content: str
) -> None:
    folder = tmp_path / "alerts"
    folder.mkdir()
    (folder / "20200101T000000.json").write_text(content)
    alerts.send("one")
    assert without_time(inbox.texts) == ["one"]
    assert (folder / "20200101T000000.unreadable").read_text() == content


@pytest.mark.parametrize("answer", [500, 404, None], ids=["error", "absent", "down"])
def test_no_error_log_or_file_quotes_the_url(
    inbox: Inbox,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    answer: int | None,
) -> None:
    if answer is None:
        inbox.stop()
    else:
        inbox.answers = itertools.repeat(answer)
    for url in (inbox.url, inbox.url.replace("http://", "json://user:s3cret@")):
        with caplog.at_level(logging.DEBUG), pytest.raises(AlertDelayed) as raised:
            Alerts(SecretStr(url), tmp_path / "alerts").send("one")
        assert f"answered {answer}" in str(raised.value) or answer is None
        assert "trying again" in caplog.text
        files = "".join(path.read_text() for path in (tmp_path / "alerts").iterdir())
        seen = [str(raised.value), repr(raised.value), caplog.text, files, *capfd.readouterr()]
        assert not [text for text in seen if "s3cret" in text]


def test_an_apprise_url_gets_what_its_service_understands(inbox: Inbox, tmp_path: Path) -> None:
    Alerts(SecretStr(f"json://127.0.0.1:{inbox.port}/x"), tmp_path).send("one")
    (message,) = inbox.received
    assert message["title"] == "TravelTide alert"
    assert message["message"].startswith("one (raised ")
    assert message["type"] == "failure"


def test_mail_reaches_everybody_named_once_the_server_is_back(tmp_path: Path) -> None:
    mailbox = Mailbox()
    url = (
        f"mailto://127.0.0.1:{mailbox.port}?from=lake@example.com&to=ana@example.com,bo@example.com"
    )
    alerts = Alerts(SecretStr(url), tmp_path)
    with pytest.raises(AlertDelayed, match="cannot be reached"):
        alerts.send("run 1 failed: 3 < 5 & 2 rows")
    mailbox.start()
    try:
        alerts.send()
    finally:
        mailbox.stop()
    assert {mail["To"] for mail in mailbox.mails} == {"ana@example.com", "bo@example.com"}
    assert {mail["Subject"] for mail in mailbox.mails} == {"TravelTide alert"}
    assert "run 1 failed: 3 < 5 & 2 rows (raised " in text_of(mailbox.mails[0])


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook/s3cret",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#alerts",
        "workflows://prod-1.westeurope.logic.azure.com:443/643e69f83c8944/KODuebWbDGYFr0z0eu",
        "mailtos://ana:s3cret@example.com?to=bo@example.com",
        "jsons://example.com/s3cret",
    ],
)
def test_services_that_settings_take(url: str) -> None:
    assert Settings(automation={"webhook": url}).automation.webhook is not None


@pytest.mark.parametrize("url", ["ftp://s3cret", "s3cret", "https://", "slack://s3cret/s3cret", ""])
def test_a_url_that_no_service_has_is_refused_without_being_quoted(
    url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(ValidationError, match="Apprise") as raised:
        Settings(automation={"webhook": url})
    assert "s3cret" not in str(raised.value) + caplog.text + "".join(capfd.readouterr())
