"""The folder of a Dagster instance, checked before Dagster uses it.

Dagster's own errors about it are tracebacks, some of them in the middle of a run.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
import yaml
from dagster_shared.check import CheckError
from filelock import FileLock

from traveltide_assets.resources import keep_private
from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.schema.text_file import read_text
from traveltide_assets.settings import Settings

CONFIG = Path(__file__).parent / "dagster.yaml"
_VARIABLE = "DAGSTER_HOME"
# Dagster puts the path into a URL of SQLite, which reads these signs.
_SIGNS_OF_A_URL = re.compile(r"\?|%[0-9A-Fa-f]{2}")
_SERVERS = {"postgres", "mysql"}
_UNUSABLE = (
    *(dg.DagsterError, CheckError),
    *(ImportError, OSError, ValueError, sa.exc.SQLAlchemyError, yaml.YAMLError),
)


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance in `DAGSTER_HOME`, or in `home` where that is not set.

    Raises `SettingsError` if the folder or its `dagster.yaml` cannot be used.
    """
    keep_private(settings)
    given = os.environ.get(_VARIABLE)
    name = _VARIABLE if given else "TRAVELTIDE_HOME"
    home = Path(given).expanduser() if given else settings.home / "dagster"
    with ExitStack() as opened:
        try:
            # Dagster takes absolute paths only.
            home = home.resolve()
            os.environ[_VARIABLE] = str(home)
            if _keeps_history_elsewhere(home):
                instance = opened.enter_context(dg.DagsterInstance.get())
            else:
                instance = opened.enter_context(_local(home))
        except _UNUSABLE as error:
            raise SettingsError(
                f"Dagster cannot keep its history in {home}, which {name} sets: {_reason(error)}"
            ) from error
        try:
            yield instance
        except sa.exc.OperationalError as error:
            raise SettingsError(
                f"the history in {home}, which {name} sets, cannot be written: {error.orig}. Is "
                f"that disk full, or read-only? Free some space, or set {name} to another place"
            ) from None


def _keeps_history_elsewhere(home: Path) -> bool:
    """Whether `dagster.yaml` names a database server: the folder need not be writable then."""
    file = home / "dagster.yaml"
    content = yaml.safe_load(read_text(file).text) if file.exists() else None
    storage = content.get("storage") if isinstance(content, dict) else None
    return isinstance(storage, dict) and not storage.keys().isdisjoint(_SERVERS)


def _local(home: Path) -> dg.DagsterInstance:
    """An instance with its databases in the folder, which is created if need be."""
    if _SIGNS_OF_A_URL.search(str(home)):
        raise ValueError("the path has a ? or a % in it; choose another folder")
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=home):
        pass  # A folder without the right to write would fail in the middle of a run.
    # Two processes must not create the same databases.
    with FileLock(home / ".lock"):
        if not (home / "dagster.yaml").exists():
            shutil.copyfile(CONFIG, home / "dagster.yaml")
        return dg.DagsterInstance.get()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    # Dagster's messages go on with the whole schema of dagster.yaml, or with a statement of SQL.
    said = " ".join(str(error).split()).partition(" Expected: ")[0].partition(" [SQL:")[0]
    return said or type(error).__name__
