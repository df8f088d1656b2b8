"""The bill of materials lists what the lock pins, and the audit never passes silently."""

from __future__ import annotations

import functools
import http.server
import json
import re
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import audit, sbom


def test_the_bill_lists_every_pinned_package_once_with_its_hashes() -> None:
    lock = sbom.LOCK.read_text(encoding="utf-8")
    project = tomllib.loads((sbom.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    made = sbom.bill(lock, project)
    names = [each["name"] for each in made["components"]]
    assert names == sorted(names)
    assert len({each["purl"] for each in made["components"]}) == len(names) > 100
    assert set(names) == set(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==", lock, re.MULTILINE))
    assert {"dagster", "duckdb", "pyarrow"} <= set(names)
    listed = sum(len(e["externalReferences"][0]["hashes"]) for e in made["components"])
    assert listed == lock.count("--hash=sha256:")
    assert json.dumps(made) == json.dumps(sbom.bill(lock, project))
    assert made["serialNumber"] != sbom.bill(lock.replace("==", "==9"), project)["serialNumber"]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    quiet = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def exits(code: int) -> list[str]:
    return [sys.executable, "-c", f"raise SystemExit({code})"]


@pytest.mark.parametrize("code", [0, 1])
def test_a_known_vulnerability_fails_the_audit(service: str, code: int) -> None:
    assert audit.main(service, exits(code)) == code


def test_without_a_network_the_audit_says_that_it_was_skipped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert audit.main("http://127.0.0.1:9/", exits(1)) == 0
    assert "SKIPPED" in capsys.readouterr().out


def test_an_audit_that_cannot_be_run_fails(service: str) -> None:
    assert audit.main(service, ["no-such-command-anywhere"]) == 2
