"""The wheel without the clone: what is in it, and the pipeline run from it in an empty folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from traveltide_assets_tests.support.processes import ROOT, SMALL

_UV = Path(sys.executable).parent / "uv"
# What a build reads, and folders of Python beside it that must not get in.
_FILES = ("pyproject.toml", "setup.py", "README.md")
_TREES = ("traveltide_assets", "traveltide_assets_tests", "benchmarks", "tools")
_SETTINGS = SMALL | {
    "TRAVELTIDE_SAMPLE__USERS": "400",
    "TRAVELTIDE_SAMPLE__ACTIVE_SHARE": "0.7",
    "TRAVELTIDE_PARTITIONS__FIRST": "2023-05",
    "TRAVELTIDE_PARTITIONS__LAST": "2023-07",
    "TRAVELTIDE_COHORT__ACTIVE_SINCE": "2023-05-01",
}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command that knows nothing of the clone or of the settings of this machine."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRAVELTIDE_")
        and name not in ("DAGSTER_HOME", "PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        command,
        cwd=cwd,
        env=inherited | _SETTINGS | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because setuptools packs what earlier builds have left in the folder."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in _TREES:
        shutil.copytree(ROOT / name, folder / "source" / name)
    for name in _FILES:
        shutil.copy(ROOT / name, folder / "source")
    build = ("build", "--wheel", "--no-build-isolation", "--offline", "--python", sys.executable)
    run(_UV, *build, "--out-dir", folder / "dist", folder / "source", cwd=folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the package from the wheel and its dependencies from this one."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    run(_UV, "venv", "--offline", "--python", sys.executable, folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    install = ("pip", "install", "--offline", "--no-deps", "--python", python)
    run(_UV, *install, wheel, cwd=folder.parent)
    # A folder named in a .pth file does not have its own .pth files read, so the editable install
    # of the clone stays unknown.
    (packages,) = folder.glob("lib/python*/site-packages")
    dependencies = sysconfig.get_path("purelib")
    (packages / "dependencies.pth").write_text(f"{dependencies}\n", encoding="utf-8")
    return folder


def test_the_wheel_holds_the_package_and_nothing_of_its_workshop(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    folders = {name.partition("/")[0] for name in names}
    assert folders == {
        "traveltide_assets",
        f"traveltide_assets-{wheel.name.split('-')[1]}.dist-info",
    }
    files = {Path(name).name for name in names}
    assert {"perks.toml", "dagster.yaml", "report.html.j2", "places.csv"} <= files
    # The renderer of the reference, under its old name and its new one.
    assert not {"docs.py", "reference.py", "pictures.py", "conftest.py"} & files


def test_the_wheel_runs_the_pipeline_in_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    where = "import traveltide_assets as package; print(package.__file__)"
    found = run(environment / "bin" / "python", "-c", where, cwd=tmp_path).stdout
    assert Path(found.strip()).is_relative_to(environment)
    command = environment / "bin" / "traveltide"
    finished = run(command, "run", cwd=tmp_path)
    assert "Cohort of 2023-07" in finished.stdout
    assert "Decided by: " in run(command, "show", cwd=tmp_path).stdout
    report = tmp_path / run(command, "report", cwd=tmp_path).stdout.strip()
    assert "TravelTide rewards" in report.read_text(encoding="utf-8")
