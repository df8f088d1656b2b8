"""compose.yaml and the systemd units hold together, and what compose starts works.

The units run the commands of docs/operator/deploy.md, which test_deployment.py runs.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import dagster as dg
import pytest
import yaml

from traveltide_assets.sample import write_sample
from traveltide_assets_tests.servers.test_deployment import HISTORY, commands, example
from traveltide_assets_tests.support.ports import free_port, free_ports
from traveltide_assets_tests.support.postgres_server import PostgresServer
from traveltide_assets_tests.support.processes import ROOT, SMALL, Processes, answers

DEPLOY = ROOT / "deploy"
SECRETS = {
    "POSTGRES_PASSWORD": "correct-horse",
    "S3_SECRET_KEY": "battery-staple-and-more",
    "TRAVELTIDE_API_KEY": "only-for-clients",
}
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def compose(**variables: str) -> dict[str, Any]:
    """compose.yaml with its `${…}` replaced; what is required and not given is an error."""

    def value(found: re.Match[str]) -> str:
        name, default, needed = found[1], found[2], found[3]
        if name in variables:
            return variables[name]
        if needed is not None:
            raise ValueError(f"{name}: {needed}")
        return str(default)

    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    filled = re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?([^}]*))\}", value, text)
    assert "${" not in filled
    read: dict[str, Any] = yaml.safe_load(filled)
    return read


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose(**SECRETS)["services"]
    return found


def unit(path: Path) -> dict[str, list[str]]:
    """The settings of a unit; some are given more than once."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_compose_has_every_part_with_a_health_check_and_a_restart_policy() -> None:
    found = services()
    assert set(found) == {"db", "s3", "buckets", "code", "daemon", "webserver", "scoring"}
    for name, service in found.items():
        assert service["restart"] in ("unless-stopped", "on-failure"), name
        # The scoring service has the check of the image, and `buckets` ends.
        assert ("healthcheck" in service) != (name == "scoring"), name


def test_compose_declares_every_volume_and_service_that_it_uses() -> None:
    read, found = compose(**SECRETS), services()
    used = {volume.split(":")[0] for s in found.values() for volume in s.get("volumes", ())}
    assert used == set(read["volumes"])
    for service in found.values():
        for other, wait in service.get("depends_on", {}).items():
            assert ("healthcheck" in found[other]) or wait["condition"] != "service_healthy"
    hosts = {
        urlsplit(value).hostname if "://" in value else value
        for service in found.values()
        for name, value in service.get("environment", {}).items()
        if name in ("AWS_ENDPOINT_URL", "DAGSTER_PG_HOST", "CODE_SERVER_HOST")
    }
    assert hosts == {"db", "s3", "code"}


def test_compose_publishes_ports_of_this_machine_alone() -> None:
    ports = {name: s["ports"] for name, s in services().items() if "ports" in s}
    assert ports == {"webserver": ["127.0.0.1:3000:3000"], "scoring": ["127.0.0.1:8000:8000"]}


@pytest.mark.parametrize("name", SECRETS)
def test_compose_holds_no_secret_and_asks_for_each(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        compose(**{secret: value for secret, value in SECRETS.items() if secret != name})


@pytest.mark.parametrize("data", ["live", "historical"])
def test_compose_takes_its_data_settings_from_a_file_that_is_there(data: str) -> None:
    files = {
        file
        for service in compose(**SECRETS, TRAVELTIDE_DATA=data)["services"].values()
        for file in service.get("env_file", ())
    }
    assert files == {f"{data}.env"}
    assert (DEPLOY / f"{data}.env").is_file()


def test_compose_gives_the_instance_every_variable_that_it_reads() -> None:
    read = set(re.findall(r"env: (\w+)", (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")))
    read |= set(re.findall(r"env: (\w+)", (DEPLOY / "workspace.yaml").read_text(encoding="utf-8")))
    for name in ("code", "daemon", "webserver"):
        assert read <= set(services()[name]["environment"]), name
    assert read <= set(example("example"))


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_runs_a_command_of_the_readme_as_its_own_user_without_privileges(path: Path) -> None:
    found = unit(path)
    (command,) = found["ExecStart"]
    command = command.removeprefix("/opt/traveltide/bin/").replace("/etc/traveltide/", "deploy/")
    assert re.sub(r"\$\{(\w+)\}", r'"$\1"', command) in commands()
    assert found["User"] == ["traveltide"]
    assert found["NoNewPrivileges"] == ["yes"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["StateDirectory"] == ["traveltide"]
    assert found["EnvironmentFile"] == [
        "/etc/traveltide/deployment.env",
        "/etc/traveltide/data.env",
    ]
    variables = set(re.findall(r"\$\{(\w+)\}", " ".join(found["ExecStart"])))
    assert variables <= set(example("example"))


def test_there_is_a_unit_for_each_process() -> None:
    names = ("code-server", "daemon", "scoring", "webserver")
    assert [path.stem for path in UNITS] == [f"traveltide-{name}" for name in names]


def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    for path in UNITS:
        text = path.read_text(encoding="utf-8")
        programs = str(Path(sys.executable).parent)
        (tmp_path / path.name).write_text(text.replace("/opt/traveltide/bin", programs))
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.glob("*.service")))],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stdout + done.stderr == ""


@dataclass
class Composed:
    """compose.yaml's services as plain processes of this machine."""

    services: dict[str, dict[str, Any]]
    processes: dict[str, Processes]
    here: dict[str, str]
    """What stands in a container's command or environment, and what stands for it here."""

    def local(self, word: str) -> str:
        for there, here in self.here.items():
            word = word.replace(there, here)
        return word

    def command(self, name: str, words: list[str]) -> str:
        return shlex.join(self.local(word) for word in words)

    def is_well(self, name: str) -> bool:
        kind, *words = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return self.processes[name].run(self.command(name, words)).returncode == 0


@pytest.fixture(scope="module")
def composed(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> Iterator[Composed]:
    """Every service but PostgreSQL, which is that of the tests, started in compose's order."""
    folder = tmp_path_factory.mktemp("composed")
    database = urlsplit(postgres_server.create_database())
    code, webserver, scoring, s3 = (str(port) for port in free_ports(4))
    weed = ("master", "volume", "filer")
    others = [f"{part}.port{grpc}" for part in weed for grpc in ("", ".grpc")] + ["s3.port.grpc"]
    here = {
        "http://s3:8333": f"http://127.0.0.1:{s3}",
        "127.0.0.1:8333": f"127.0.0.1:{s3}",
        "-s3.port=8333": f"-s3.port={s3}",
        "-ip=s3": "-ip=127.0.0.1",
        "-dir=/data": f"-dir={folder / 'objects'}",
        "0.0.0.0": "127.0.0.1",  # noqa: S104
        "4266": code,
        ":3000": f":{webserver}",
        "3000": webserver,
        "/etc/traveltide/workspace.yaml": str(DEPLOY / "workspace.yaml"),
    }
    found = services()
    running = Composed(found, {}, here)
    elsewhere = {
        "CODE_SERVER_HOST": "127.0.0.1",
        "DAGSTER_HOME": str(folder / "home"),
        "DAGSTER_PG_HOST": str(database.hostname),
        "DAGSTER_PG_PORT": str(database.port),
        "DAGSTER_PG_DB": database.path.removeprefix("/"),
        "DAGSTER_PG_USER": str(database.username),
        "DAGSTER_PG_PASSWORD": str(database.password),
    }
    for made in ("objects", "home", "logs"):
        (folder / made).mkdir()
    shutil.copy(DEPLOY / "dagster.yaml", folder / "home")
    for name, service in found.items():
        (folder / "logs" / name).mkdir()
        given = {k: running.local(v) for k, v in service["environment"].items()}
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("TRAVELTIDE", "AWS"))},
            **SMALL,
            **(example("historical") if "env_file" in service else {}),
            **given,
            **{k: v for k, v in elsewhere.items() if k in given},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TRAVELTIDE_HOME": str(folder / "work" / name),
            "TRAVELTIDE_AUTOMATION__LANDING_SECONDS": "5",
        }
        running.processes[name] = Processes(environment, folder / "logs" / name)

    def start(name: str, words: list[str]) -> None:
        running.processes[name].start(running.command(name, words))

    def wait(name: str) -> None:
        running.processes[name].wait(lambda: running.is_well(name), f"health of {name}")

    try:
        ports = (f"-{option}={free_port()}" for option in others)
        start("s3", ["weed", *found["s3"]["command"], *ports])
        wait("s3")
        command = running.command("buckets", found["buckets"]["command"])
        for _ in range(2):  # It also starts again, with the others.
            done = running.processes["buckets"].run(command)
            assert done.returncode == 0, done.stderr
        # Before the sensor looks: a source must be whole for its first run.
        write_sample(folder / "landing", HISTORY)
        address = running.processes["code"].environment
        client = boto3.client(
            "s3",
            endpoint_url=address["AWS_ENDPOINT_URL"],
            region_name=address["AWS_REGION"],
            aws_access_key_id=address["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=address["AWS_SECRET_ACCESS_KEY"],
        )
        for file in (folder / "landing").iterdir():
            client.upload_file(str(file), "traveltide", f"landing/{file.name}")
        for name in ("code", "daemon", "webserver"):
            start(name, found[name]["command"])
            wait(name)
        # The image's command, with a port of this machine; test_container.py runs the image's.
        start("scoring", ["traveltide", "serve", "--host", "127.0.0.1", "--port", scoring])
        page = f"http://127.0.0.1:{scoring}/health"
        running.processes["scoring"].wait(lambda: answers(page), "the scoring service's start")
        yield running
    finally:
        for processes in reversed(running.processes.values()):
            processes.stop()


def test_what_compose_starts_ingests_a_source_that_lands(
    composed: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = composed.processes["code"]
    for name, value in code.environment.items():
        monkeypatch.setenv(name, value)

    def ingested() -> bool:
        with dg.DagsterInstance.from_config(code.environment["DAGSTER_HOME"]) as instance:
            runs = instance.get_runs()
            assert not [run for run in runs if run.status == dg.DagsterRunStatus.FAILURE]
            return bool(runs) and all(run.is_success for run in runs)

    composed.processes["daemon"].wait(ingested, "the ingestion of what landed")
    for name in ("s3", "code", "daemon", "webserver"):
        assert composed.is_well(name), name
