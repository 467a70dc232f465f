"""Workbooks as a spreadsheet program saves them (Office Open XML)."""

import io
from collections.abc import Mapping, Sequence

from xlsxwriter import Workbook


def workbook(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """The bytes of an xlsx file: sheet → rows of text and numbers."""
    file = io.BytesIO()
    with Workbook(file) as book:
        for title, rows in sheets.items():
            sheet = book.add_worksheet(title)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return file.getvalue()
