"""Copies of the report that `traveltide report --to` makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from traveltide_assets.cli import report
from traveltide_assets.report import printing


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "released.html"
    file.write_text("<!DOCTYPE html><title>Report</title>", encoding="utf-8")
    return file


def test_without_a_chromium_the_page_is_copied_and_it_is_said(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    made = report._copied(page, tmp_path / "july.pdf")
    assert made == tmp_path / "july.html"
    assert made.read_bytes() == page.read_bytes()
    assert not (tmp_path / "july.pdf").exists()
    assert "No Chromium was found, so no PDF is printed" in capsys.readouterr().err


def test_a_chromium_that_does_not_print_is_told(page: Path, tmp_path: Path) -> None:
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\necho 'no display' >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    with pytest.raises(printing.NotPrinted, match="no display"):
        printing.print_page(str(broken), page, tmp_path / "july.pdf")
    assert not (tmp_path / "july.pdf").exists()


def test_the_time_of_printing_is_taken_out_of_a_pdf(page: Path, tmp_path: Path) -> None:
    printer = tmp_path / "chromium"
    printer.write_text(
        "#!/bin/sh\n"
        'for each in "$@"; do case "$each" in --print-to-pdf=*) to="${each#*=}";; esac; done\n'
        'printf "%%PDF /CreationDate (D:20261129175349+00\'00\') /ModDate (D:$$) end" > "$to"\n',
        encoding="utf-8",
    )
    printer.chmod(0o755)
    printing.print_page(str(printer), page, tmp_path / "july.pdf")
    made = (tmp_path / "july.pdf").read_bytes()
    assert b"/CreationDate (D:20000101000000+00'00')" in made
    assert made.startswith(b"%PDF")
    assert made.endswith(b"end")
