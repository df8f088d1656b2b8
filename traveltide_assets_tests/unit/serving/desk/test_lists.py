from __future__ import annotations

import zipfile
from io import BytesIO

import pandas as pd

from traveltide_assets.serving.desk.lists import as_csv, as_excel

ROWS = pd.DataFrame(
    {"user_id": [7, 8], "segment": ["=HYPERLINK(1)", "Zoë & co"], "month": "2023-07"}
)


def test_the_same_list_is_the_same_workbook() -> None:
    assert as_excel(ROWS) == as_excel(ROWS)


def test_no_cell_of_a_list_is_a_formula() -> None:
    with zipfile.ZipFile(BytesIO(as_excel(ROWS))) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        texts = book.read("xl/sharedStrings.xml").decode()
    assert "<f>" not in sheet
    assert "=HYPERLINK(1)" in texts
    assert b"\n7,'=HYPERLINK(1),2023-07\n" in as_csv(ROWS)


def test_ids_are_numbers_and_letters_stay() -> None:
    with zipfile.ZipFile(BytesIO(as_excel(ROWS))) as book:
        assert "<v>7</v>" in book.read("xl/worksheets/sheet1.xml").decode()
        assert "Zoë &amp; co" in book.read("xl/sharedStrings.xml").decode()
