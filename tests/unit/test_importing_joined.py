"""Files that were joined from others, or saved by a spreadsheet: marks, headers and line ends in unusual places."""

import gzip
import io
from pathlib import Path
from typing import Final

import pytest
from xlsxwriter import Workbook

from app.errors import UserError
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, ItemRow, detect, detect_items, read_items, read_rows
from app.importing.screen import describe
from tests.support.workbook import workbook

NOW_MS: Final = 1_800_000_000_000
MARK: Final = b"\xef\xbb\xbf"
HEADER: Final = b"user,item,ts,type\n"
ONE: Final = b"u1,i1,1700000000,view\n"
TWO: Final = b"u2,i2,1700000001,click\n"
BOTH: Final = [("u1", "i1"), ("u2", "i2")]


def read(path: Path, content: bytes, **options: object) -> list[tuple[str, str] | str]:
    path.write_bytes(content)
    rows = read_rows(path, detect(path, ImportOptions(**options)), latest_ms=NOW_MS)
    return [row.reason if isinstance(row, BadRow) else (row.user_id, row.item_id) for row in rows]


def items(path: Path, content: bytes) -> list[tuple[str, str | None] | str]:
    path.write_bytes(content)
    rows = read_items(path, detect_items(path, ImportOptions()))
    return [(row.item_id, row.title) if isinstance(row, ItemRow) else row.reason for row in rows]


QUOTED: Final = b'"u2","i2","1700000001","click"\n'
LINES: Final = [b'{"user": "u1", "item": "i1", "ts": 1700000000, "type": "view"}\n']
LINES.append(LINES[0].replace(b"1", b"2", 2).replace(b"2700000000", b"1700000001"))


@pytest.mark.parametrize(
    "content",
    [
        HEADER + ONE + HEADER + TWO,
        MARK + HEADER + ONE + MARK + HEADER + TWO,
        # The second one has its columns in another order,.
        HEADER + ONE + b"item,type,user,ts\ni2,click,u2,1700000001\n" + HEADER,
        MARK + b"item,user,ts,type\n" + b"i1,u1,1700000000,view\n" + MARK + HEADER + TWO,
        HEADER + ONE + MARK + QUOTED,
        gzip.compress(MARK + HEADER + ONE) + gzip.compress(MARK + HEADER + QUOTED),
        (HEADER + ONE).decode().encode("utf-16") + (HEADER + TWO).decode().encode("utf-16"),
        MARK + LINES[0] + MARK + LINES[1],
        # Line ends: of Windows, written twice; of an old Mac, with others in a value.
        (HEADER + ONE + QUOTED).replace(b"\n", b"\r\r\n"),
        b'user,item,ts,type,note\ru1,i1,1700000000,view,"one\ntwo"\ru2,i2,1700000001,click,\r',
        b'user,item,ts,type,"no\nte"\ru1,i1,1700000000,view,1\ru2,i2,1700000001,click,\r',
        # Titles, and names over two lines.
        b"Report of May\n\n" + HEADER + ONE + TWO,
        b"Report of May;;;\nSales;;;\n" + (HEADER + ONE + TWO).replace(b",", b";"),
        b'"Report, May"\n' + HEADER + ONE + TWO,
        b'"user\nid","item\nid",ts,type\n' + ONE + TWO,
        b'user,item,ts,"ty\r\npe"\r\n'.replace(b"ty\r\npe", b"event\r\ntype") + ONE + TWO,
    ],
)
def test_log_is_read_as_meant(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path / "log", content) == BOTH


def test_header_within_a_catalogue_is_no_item(tmp_path: Path) -> None:
    content = b"item_id,title\na,One\nitem_id,title\nb,Two\n"
    assert items(tmp_path / "log", content) == [("a", "One"), ("b", "Two")]
    names, rows = ["item_id", "title"], [["a", "One"], ["b", "Two"]]
    assert items(tmp_path / "log", workbook({"x": [names, rows[0], names, rows[1]]})) == [("a", "One"), ("b", "Two")]


def test_first_line_of_words_may_be_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="If its first line holds data: Name the columns: --header user_id"):
        read(tmp_path / "log", b"ann,tent,2024-05-01T10:00:00Z,view\n")
    row = b"ann,tent,2024-05-01T10:00:00Z,view\n"
    assert read(tmp_path / "log", row, header=("user", "item", "ts", "type")) == [("ann", "tent")]


def test_sheets_of_a_workbook_are_chosen_by_what_their_columns_say(tmp_path: Path) -> None:
    names = ["user", "item", "ts", "type", "country"]
    sheets: dict[str, list[list[str | float]]] = {
        "Read me": [["made by", "the shop"], ["on", "2024-05-01"]],
        "2023": [["Exported", "yes"], [*names], ["u1", "i1", 1_700_000_000, "view", "DE"]],
        "Customers": [["user", "email"], ["u1", "u1@shop.example"]],
        "2024": [[*names[:-1]], ["u2", "i2", 1_700_000_001, "click"]],
    }
    assert read(tmp_path / "log", workbook(sheets)) == BOTH
    assert describe(detect(tmp_path / "log", ImportOptions())).endswith(
        ", without the sheets Read me, Customers, which have other columns"
    )


def test_sheet_without_the_names_of_its_columns_is_told(tmp_path: Path) -> None:
    """What a spreadsheet program writes where a table is longer than a sheet may be."""
    sheets = {"1": [HEADER.decode().split(","), ["u1", "i1", 1_700_000_000, "view"]], "2": [["u2", "i2", 1, "view"]]}
    assert read(tmp_path / "log", workbook(sheets | {"3": []})) == BOTH[:1]
    assert "without the sheets 2, which" in describe(detect(tmp_path / "log", ImportOptions()))


@pytest.mark.parametrize("title", [0, 1])
def test_names_below_merged_cells_are_those_of_the_columns(tmp_path: Path, title: int) -> None:
    file = io.BytesIO()
    with Workbook(file) as book:
        sheet = book.add_worksheet()
        if title:
            sheet.merge_range(0, 0, 0, 5, "Report of May")
        sheet.merge_range(title, 0, title, 1, "Customer")
        sheet.merge_range(title, 2, title, 3, "Product")
        sheet.merge_range(title, 4, title + 1, 4, "ts")
        sheet.write_row(title, 5, ["Event"])
        sheet.write_row(title + 1, 0, ["id", "country", "id", "color"])
        sheet.write_row(title + 1, 5, ["type"])
        sheet.write_row(title + 2, 0, ["u1", "DE", "i1", "red", 1_700_000_000, "view"])
        sheet.write_row(title + 3, 0, ["u2", "FR", "i2", "", 1_700_000_001, "click"])
    assert read(tmp_path / "log", file.getvalue()) == BOTH


def test_products_within_an_object_are_the_catalogue(tmp_path: Path) -> None:
    one, two = '{"id": 1, "title": "One", "variants": [{"id": 7}]}', '{"id": 2, "title": "Two", "variants": []}'
    for content in (
        f'{{"products": [{one}, {two}], "total": 2}}',
        f'{{"meta": {{"page": 1}},\n "result": {{"products": [\n  {one},\n  {two}\n]}}}}',
    ):
        assert items(tmp_path / "log", content.encode()) == [("1", "One"), ("2", "Two")]
    assert items(tmp_path / "log", f"{one}\n{two}\n".encode()) == [("1", "One"), ("2", "Two")]


def test_every_row_is_a_row_where_nothing_is_joined(tmp_path: Path) -> None:
    rows = read(tmp_path / "log", HEADER + ONE + b"user,item,1700000000,view\n")
    assert rows == [("u1", "i1"), ("user", "item")]
