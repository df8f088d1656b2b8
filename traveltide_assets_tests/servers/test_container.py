"""The image of deploy/Containerfile, built and run for real: without a registry or a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from traveltide_assets_tests.support.processes import ROOT, SMALL, kill_family

pytestmark = pytest.mark.container

TOOLS = ("buildah", "mmdebstrap", "unshare", "nsenter", "ip", "curl")
# The Debian whose Python is the one that collects the wheels.
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
IMAGE, BASE = "localhost/traveltide", "localhost/base"
SAMPLE = {
    **SMALL,
    "TRAVELTIDE_SAMPLE__USERS": "400",
    "TRAVELTIDE_SAMPLE__SEED": "11",
    "TRAVELTIDE_SAMPLE__ACTIVE_SHARE": "0.6",
}


@dataclass
class Builder:
    """buildah with a store of its own, on a loopback network that nothing else can reach."""

    folder: Path
    network: str

    def offline(self, *command: str) -> list[str]:
        """A command on the network of the containers."""
        return ["nsenter", f"--net={self.network}", *command]

    def command(self, name: str, *arguments: str) -> list[str]:
        store = ("--root", str(self.folder / "store"), "--runroot", str(self.folder / "run"))
        return self.offline("buildah", *store, "--storage-driver", "vfs", name, *arguments)

    def run(self, name: str, *arguments: str) -> str:
        """What a command of buildah prints; it must succeed."""
        done = subprocess.run(self.command(name, *arguments), capture_output=True, text=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stdout.strip()

    def inside(self, container: str, *command: str) -> list[str]:
        """A command in a container, as the image's user."""
        settings = [word for name, value in SAMPLE.items() for word in ("--env", f"{name}={value}")]
        return self.command("run", "--isolation", "chroot", *settings, container, "--", *command)


@dataclass
class Container:
    """A container of the image; every command in it sees the files of those before."""

    builder: Builder
    name: str
    config: dict[str, Any]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.builder.inside(self.name, *command), capture_output=True, text=True
        )

    def succeed(self, *command: str) -> str:
        done = self.run(*command)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stdout

    def health(self) -> int:
        """The exit code of the image's health check."""
        kind, *check = self.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*check).returncode


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    if os.geteuid() != 0:
        pytest.skip("buildah's chroot isolation builds images as root only")
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"{', '.join(missing)} not installed; `make test-container` installs them")
    folder = tmp_path_factory.mktemp("container")
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"up\n"
        yield Builder(folder, f"/proc/{holder.pid}/ns/net")
    finally:
        holder.kill()
        holder.wait()
        # Some gigabytes, which pytest would keep.
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def base(builder: Builder) -> str:
    """The name of a base image: Debian with Python, made from its packages."""
    suite = SUITES.get(sys.version_info[:2])
    if suite is None:
        pytest.skip(f"no Debian has Python {sys.version_info.major}.{sys.version_info.minor}")
    archive = builder.folder / "base.tar"
    packages = "--include=python3,python3-venv,ca-certificates,tzdata"
    done = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", packages, suite, str(archive)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"mmdebstrap cannot make a base image: {done.stderr[-500:]}")
    scratch = builder.run("from", "scratch")
    builder.run("add", "--quiet", scratch, str(archive), "/")
    builder.run("commit", "--quiet", "--rm", scratch, BASE)
    archive.unlink()
    return BASE


@pytest.fixture(scope="module")
def container(builder: Builder, base: str) -> Container:
    context = builder.folder / "image"
    collected = subprocess.run(
        [str(ROOT / "deploy" / "collect.sh"), str(context)],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert collected.returncode == 0, collected.stderr[-4000:]
    started = time.monotonic()
    builder.run(
        "build",
        *("--isolation", "chroot", "--format", "docker", "--build-arg", f"BASE={base}"),
        *("--tag", IMAGE, "--file", str(ROOT / "deploy" / "Containerfile"), str(context)),
    )
    built = time.monotonic() - started
    (image,) = json.loads(builder.run("images", "--json", IMAGE))
    print(f"built in {built:.0f} s, {image['size']}")
    config = json.loads(builder.run("inspect", "--type", "image", IMAGE))["Docker"]["config"]
    return Container(builder, builder.run("from", IMAGE), config)


def test_it_runs_as_a_user_who_can_change_nothing_but_its_own_folder(container: Container) -> None:
    assert container.config["User"] == "10001:10001"
    assert container.succeed("id", "-u").strip() == "10001"
    assert container.run("touch", "/opt/traveltide/new").returncode != 0
    assert container.run("touch", "/etc/traveltide/new").returncode != 0
    container.succeed("touch", "/var/lib/traveltide/work/new")


def test_it_holds_the_package_and_neither_compilers_nor_tests_nor_pip(container: Container) -> None:
    container.succeed("python", "-c", "import traveltide_assets, dagster_webserver")
    for program in ("cc", "gcc", "c++", "make", "pip", "pytest", "mypy"):
        assert container.run("sh", "-c", f"command -v {program}").returncode != 0, program
    assert container.run("python", "-c", "import traveltide_assets_tests").returncode != 0
    assert container.run("ls", "/context").returncode != 0


def test_it_holds_the_locked_versions(container: Container) -> None:
    lock = (ROOT / "deploy" / "requirements.lock").read_text(encoding="utf-8")
    pins = {
        f"{name}=={version}"
        for name, version in re.findall(r"^([a-z0-9-]+)(?:\[.*?\])?==([^ ;]+)", lock, re.MULTILINE)
    }
    program = (
        "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]"
    )
    installed = [line.split() for line in container.succeed("python", "-c", program).splitlines()]
    found = {f"{re.sub('[-_.]+', '-', name).lower()}=={version}" for name, version in installed}
    assert len(found) > 80
    assert {pin for pin in found - pins if not pin.startswith("traveltide-assets==")} == set()


def test_no_setting_or_secret_is_baked_in(container: Container) -> None:
    names = {entry.partition("=")[0] for entry in container.config["Env"]}
    assert names == {
        *("PATH", "HOME", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "TRAVELTIDE_HOME"),
    }


def test_the_pipeline_runs_in_it_and_the_scoring_service_answers(container: Container) -> None:
    assert container.health() != 0
    said = container.succeed("traveltide", "run")
    assert "2023-07" in said
    container.succeed("dagster", "definitions", "validate", "-m", "traveltide_assets.definitions")
    service = subprocess.Popen(
        container.builder.inside(container.name, *container.config["Cmd"]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while container.health() != 0:
            assert service.poll() is None
            assert time.monotonic() < deadline
            time.sleep(1)
        answer = subprocess.run(
            container.builder.offline("curl", "--fail", "--silent", "http://127.0.0.1:8000/perks"),
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 0
        assert json.loads(answer.stdout)["perks"]
    finally:
        kill_family(service.pid)
        service.wait()
