"""What dead processes left is removed; what living ones hold stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from traveltide_assets.defs.describe import preview
from traveltide_assets.engines.held import hold, in_use
from traveltide_assets.lake.storage.folder import Folder

_HOLDING = """
import sys, time
from pathlib import Path
from traveltide_assets.engines.held import hold
folder = hold(Path(sys.argv[1]))
(folder / "spilled").write_bytes(b"data")
print(folder, flush=True)
time.sleep(60)
"""


def holding(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDING, str(parent)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_the_scratch_of_a_killed_process_is_removed_by_the_next_and_that_of_a_living_one_kept(
    tmp_path: Path,
) -> None:
    (tmp_path / "12345").mkdir()  # as earlier versions named them
    (tmp_path / "blockmgr-1").mkdir()  # Spark's own
    living, kept = holding(tmp_path)
    killed, left = holding(tmp_path)
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (left / "spilled").exists()
        mine = hold(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {kept.name, mine.name, "blockmgr-1"}
        assert mine.name.startswith(f"{os.getpid()}-")
    finally:
        living.kill()
        living.wait()
        for process in (living, killed):
            assert process.stdout is not None
            process.stdout.close()


def test_partial_files_are_swept_unless_somebody_writes(tmp_path: Path) -> None:
    lake = Folder(tmp_path / "lake")
    left = tmp_path / "lake/gold/things/.things.parquet.0.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    stored = left.with_name("things.parquet")
    stored.write_bytes(b"whole")
    with in_use(tmp_path / "lake"):
        lake.sweep()
        assert left.exists()
    with lake.replacing("other", None) as path:
        path.write_bytes(b"being written")
        Folder(tmp_path / "lake").sweep()
        assert path.exists()
    start = time.monotonic()
    lake.sweep()
    assert time.monotonic() - start < 5
    assert not left.exists()
    assert stored.exists()
    Folder(tmp_path / "absent").sweep()
    assert not (tmp_path / "absent").exists()


def test_a_preview_refuses_rows_of_customers() -> None:
    with pytest.raises(ValueError, match="must not show user_id"):
        preview(pd.DataFrame({"user_id": [1], "arm": ["treated"]}))
