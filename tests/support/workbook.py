"""Workbooks as a spreadsheet program saves them (Office Open XML), as small as they can be."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_TYPES: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def workbook(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """The bytes of an xlsx file: sheet → rows of text and numbers."""
    file = io.BytesIO()
    names = [f"sheet{number}" for number in range(1, len(sheets) + 1)]
    with zipfile.ZipFile(file, "w") as archive:
        parts = "".join(
            f'<Override PartName="/xl/worksheets/{name}.xml" ContentType="{_TYPES}.worksheet+xml"/>' for name in names
        )
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{_PACKAGE}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>{parts}</Types>',
        )
        archive.writestr("_rels/.rels", _relations({"book": ("officeDocument", "xl/workbook.xml")}))
        listed = "".join(
            f'<sheet name="{escape(title)}" sheetId="{number}" r:id="{name}"/>'
            for number, (title, name) in enumerate(zip(sheets, names, strict=True), 1)
        )
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>'
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            _relations({name: ("worksheet", f"worksheets/{name}.xml") for name in names}),
        )
        for name, rows in zip(names, sheets.values(), strict=True):
            body = "".join(f'<row r="{number}">{_cells(number, row)}</row>' for number, row in enumerate(rows, 1))
            archive.writestr(
                f"xl/worksheets/{name}.xml", f'<worksheet xmlns="{_MAIN}"><sheetData>{body}</sheetData></worksheet>'
            )
    return file.getvalue()


def _relations(targets: Mapping[str, tuple[str, str]]) -> str:
    each = "".join(
        f'<Relationship Id="{name}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for name, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{each}</Relationships>'


def _cells(number: int, row: Sequence[object]) -> str:
    return "".join(
        f'<c r="{chr(65 + place)}{number}"><v>{value}</v></c>'
        if isinstance(value, int | float)
        else f'<c r="{chr(65 + place)}{number}" t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'
        for place, value in enumerate(row)
    )
