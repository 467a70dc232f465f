"""The same rows in every format, packing and encoding."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from app.errors import UserError
from app.importing.inputs import found_files, rejects_beside
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, Row, detect, read_rows
from tests.support.workbook import workbook

NOW = 1_800_000_000_000
NAMES = ["user", "item", "ts", "type", "title"]
ROWS = [("u1", "i1", 1_700_000_000, "view", "naïve"), ("u2", "i2", 1_700_000_001, "click", "b")]


def csv_text(delimiter: str = ",") -> str:
    return "".join(delimiter.join(map(str, row)) + "\n" for row in [NAMES, *ROWS])


def objects() -> list[dict[str, object]]:
    return [dict(zip(NAMES, row, strict=True)) for row in ROWS]


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("__MACOSX/._log", b"x")
        archive.writestr("log", content)
    return file.getvalue()


def zst(content: bytes) -> bytes:
    half = len(content) // 2  # two frames, as `cat a.zst b.zst` gives them
    return b"".join(bytes(pa.compress(part, "zstd", asbytes=True)) for part in (content[:half], content[half:]))


def table() -> pa.Table:
    return pa.Table.from_pylist(objects())


def arrow_stream() -> bytes:
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table().schema) as writer:
        writer.write_table(table(), max_chunksize=1)
    return file.getvalue()


def written(write: Callable[[pa.Table, io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(table(), file)
    return file.getvalue()


def read(path: Path, content: bytes, **options: object) -> list[Row | BadRow]:
    path.write_bytes(content)
    return list(read_rows(path, detect(path, ImportOptions(**options)), latest_ms=NOW))


def told(rows: list[Row | BadRow]) -> list[tuple[object, ...]]:
    assert all(isinstance(row, Row) for row in rows), rows
    return [(r.user_id, r.item_id, r.ts_ms // 1000, r.event_type, r.title) for r in rows if isinstance(r, Row)]


CONTENTS: dict[str, bytes] = {
    "csv": csv_text().encode(),
    "utf-16": csv_text().encode("utf-16"),
    "utf-16 big endian with a mark": b"\xfe\xff" + csv_text().encode("utf-16-be"),
    "utf-16 without a mark": csv_text().encode("utf-16-le"),
    "carriage returns alone": csv_text().replace("\n", "\r").encode(),
    "double colons": csv_text("::").encode(),
    "JSON lines": "".join(json.dumps(row) + "\n" for row in objects()).encode(),
    "JSON lines as UTF-16": "".join(json.dumps(row) + "\n" for row in objects()).encode("utf-16"),
    "JSON array": json.dumps(objects()).encode(),
    "JSON array over lines": json.dumps(objects(), indent=2).encode(),
    "JSON objects over lines": "\n".join(json.dumps(row, indent=4) for row in objects()).encode(),
    "parquet": written(parquet.write_table),
    "feather": written(feather.write_feather),
    "feather packed by zstd": written(lambda rows, file: feather.write_feather(rows, file, compression="zstd")),
    "arrow stream": arrow_stream(),
    "workbook": workbook({"one": [NAMES, *ROWS]}),
    "sheets of a workbook": workbook({"one": [NAMES, ROWS[0]], "two": [NAMES[::-1], ROWS[1][::-1]]}),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zst, zipped])
@pytest.mark.parametrize("kind", CONTENTS)
def test_the_same_rows_in_each_format_and_packing(tmp_path: Path, kind: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "log"
    rows = read(path, pack(CONTENTS[kind]))
    assert told(rows) == ROWS
    assert 0 < rows[-1].pos <= path.stat().st_size


def test_frames_of_zstd_without_data_are_passed_over(tmp_path: Path) -> None:
    empty = b"\x50\x2a\x4d\x18\x04\x00\x00\x00\x00\x00\x00\x00"
    begin, end = csv_text().encode()[:40], csv_text().encode()[40:]
    assert told(read(tmp_path / "log", empty + zst(begin) + empty + zst(end))) == ROWS


def test_latin_1_is_read_when_it_is_said(tmp_path: Path) -> None:
    assert told(read(tmp_path / "log", csv_text().encode("latin-1"), encoding="latin-1")) == ROWS


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("parquet", "cannot be read as parquet"),
        ("feather", "cannot be read as arrow"),
        ("arrow stream", "cannot be read as arrow"),
        ("workbook", "damaged"),
    ],
)
def test_damaged_table_is_refused_with_its_kind(tmp_path: Path, kind: str, reason: str) -> None:
    content = CONTENTS[kind]
    with pytest.raises(UserError, match=reason):
        read(tmp_path / "log", content[: len(content) // 2])


def test_times_of_a_table_are_times(tmp_path: Path) -> None:
    at = datetime(2024, 5, 1, 12, tzinfo=UTC)
    columns = {"user": ["u", "u"], "item": ["i", "j"], "type": ["view", "view"]}
    for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("s"), pa.date32()):
        parquet.write_table(pa.table({**columns, "ts": pa.array([at, None], kind)}), tmp_path / "log")
        rows = list(read_rows(tmp_path / "log", detect(tmp_path / "log", ImportOptions()), latest_ms=NOW))
        assert isinstance(rows[0], Row)
        assert rows[0].ts_ms == (1_714_521_600_000 if kind == pa.date32() else 1_714_564_800_000)
        assert isinstance(rows[1], BadRow)
        assert rows[1].reason == "ts: the time is missing"


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("damage", [('"view"', '"view'), ("}", ""), ('"i1"', '"i1"]'), ('"ts"', "ts")])
def test_bad_object_of_an_array_costs_itself_alone(tmp_path: Path, indent: int | None, damage: tuple[str, str]) -> None:
    one = [json.dumps(row | {"type": "view"}, indent=indent) for row in [objects()[0], *objects()]]
    text = "[\n" + ",\n".join([one[0].replace(*damage), *one[1:]]) + "\n]\n"
    rows = read(tmp_path / "log", text.encode())
    assert [isinstance(row, BadRow) for row in rows] == [True, False, False]
    assert rows[0].line == 2


def test_folders_globs_archives_and_files_are_found(tmp_path: Path) -> None:
    for name in (
        "b/2.csv",
        "b/1.csv.gz",
        "b/README.md",
        "b/_SUCCESS",
        "b/.hidden.csv",
        "b/1.csv.rejected.jsonl",
        "c.csv",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(csv_text())
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("set/ratings.csv", csv_text())
        archive.writestr("set/movies.csv", "x")

    def found(*arguments: str) -> list[str]:
        with found_files([f"{tmp_path}/{argument}" for argument in arguments]) as paths:
            return [path.relative_to(tmp_path).as_posix() for path in paths]

    assert found("b") == ["b/1.csv.gz", "b/2.csv"]
    assert found("c.csv", "b/*.csv", "c.csv") == ["c.csv", "b/2.csv"]
    assert found("two.zip/set/ratings.csv") == ["two.zip/set/ratings.csv"]
    assert found("two.zip/*/rat*") == ["two.zip/set/ratings.csv"]
    path = tmp_path / "two.zip/set/ratings.csv"
    assert told(list(read_rows(path, detect(path, ImportOptions()), latest_ms=NOW))) == ROWS
    assert rejects_beside([path]) == tmp_path / "two.zip.rejected.jsonl"
    with pytest.raises(UserError, match=r"two.zip/set/ratings.csv"):
        detect(tmp_path / "two.zip", ImportOptions())
    with pytest.raises(UserError, match="no such file or folder"):
        found("nowhere*.csv")
