"""What a folder lists while others write and remove in it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from traveltide_assets.lake.storage.folder import Folder, unused

DAY = 24 * 3600


def aged(path: Path, seconds: float) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_what_is_gone_since_the_listing_is_not_unused_and_nothing_else_is_missed(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "fresh").write_text("new")
    (tmp_path / "folder").mkdir()
    listed = [
        tmp_path / "gone",
        aged(tmp_path / "file", 2 * DAY),
        tmp_path / "fresh",
        tmp_path / "folder gone" / "file",
        aged(tmp_path / "folder", 2 * DAY),
    ]
    assert list(unused(listed, DAY)) == [tmp_path / "file", tmp_path / "folder"]


def test_a_link_that_leads_nowhere_is_no_file_of_the_lake(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("rows")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    assert list(Folder(tmp_path).versions()) == ["table"]


def test_a_file_of_the_same_content_stays_as_it_is(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for content in (b"one", b"two"):
        before = folder.versions().get("a/b")
        for version in (before, folder.versions().get("a/b")):
            with folder.replacing("a/b", version) as path:
                path.write_bytes(content)
        again = folder.versions()["a/b"]
        with folder.replacing("a/b", "another version") as path:
            path.write_bytes(content)
        assert folder.versions()["a/b"] == again != before
