"""Tar archives are read as zip archives are; what cannot be opened says what to do."""

import bz2
import gzip
import io
import lzma
import os
import re
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest

from app.errors import UserError
from app.importing.inputs import found_files, rejects_beside
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, detect, read_rows

HEADER = "user,item,ts,type\n"
FIRST, SECOND = "u1,i1,1700000000,view\n", "u2,i2,1700000001,click\n"


def tar(packing: str, **members: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=f"w:{packing}") as archive:  # type: ignore[call-overload]
        for name, text in members.items():
            entry = tarfile.TarInfo(f"./export/{name}.csv")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
        archive.addfile(tarfile.TarInfo("./export/._log.csv"))
    return file.getvalue()


def users(*arguments: object) -> list[str]:
    found = []
    with found_files(list(map(str, arguments))) as paths:
        for path in paths:
            rows = list(read_rows(path, detect(path, ImportOptions()), latest_ms=1_800_000_000_000))
            found += [row.reason if isinstance(row, BadRow) else row.user_id for row in rows]
    return found


@pytest.mark.parametrize("packing", ["", "gz", "bz2", "xz", "zst"])
def test_the_file_in_a_tar_is_read(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "log"
    content = tar("" if packing == "zst" else packing, log=HEADER + FIRST)
    path.write_bytes(bytes(pyarrow.compress(content, "zstd", asbytes=True)) if packing == "zst" else content)
    assert users(path) == ["u1"]


def test_parts_of_a_log_in_a_tar_are_read_and_others_are_asked_about(tmp_path: Path) -> None:
    parts = tmp_path / "parts.tar.gz"
    parts.write_bytes(tar("gz", part_1=HEADER + FIRST, part_2=HEADER + SECOND))
    assert users(parts) == users(tmp_path) == ["u1", "u2"]
    assert users(f"{parts}/export/part_2.csv") == users(f"{parts}/export/*2.csv") == ["u2"]
    other = tmp_path / "mixed.tar"
    other.write_bytes(tar("", events=HEADER + FIRST, items="id\n1\n"))
    with pytest.raises(UserError, match=r"mixed.tar holds 2 files; say which of them to read:\n .*export/events.csv"):
        users(other)


def test_a_cut_tar_is_damaged_behind_what_it_still_has(tmp_path: Path) -> None:
    path = tmp_path / "log.tar"
    path.write_bytes(tar("", log=HEADER + FIRST * 100_000)[:1_000_000])
    with pytest.raises(UserError, match="damaged"):
        users(path)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("log.csv", HEADER + FIRST)
    content = bytearray(file.getvalue())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(magic) + flags] |= 1
    path = tmp_path / "log.zip"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"log\.csv is encrypted; unpack it with its password first"):
        users(path)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inner.zip", bytes(content))
    path.write_bytes(file.getvalue())
    with pytest.raises(UserError, match="if it holds another archive, unpack that first"):
        users(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"Obj\x01\x04\x14avro.codec\x08null", "an Avro file, which is not read: java -jar avro-tools.jar tojson FILE"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file, which is not read: write it with pandas: read_hdf('FILE').to_parquet"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "an array of NumPy, which is not read: write it with pandas"),
        (
            b"\x80\x05\x95\x18\x00\x00",
            "a pickle of Python, which is not read: write it with pandas: read_pickle('FILE')",
        ),
        (b"ORC\x02\x00\xff", "an ORC file, which is not read: write it with pandas: read_orc('FILE').to_parquet"),
        (b"RDX3\nX\n\x00", "a file of R, which is not read: write it with R"),
        (b"\x80\x03}q\x00", "a pickle of Python, which is not read: write it with pandas"),
        (b"SQLite format 3\x00", "an SQLite database, which is not read: sqlite3 -header -csv FILE 'SELECT"),
        (b"\xff\x06\x00\x00sNaPpY", "compressed by snappy, which is not read: unpack it first"),
        (b'<?xml version="1.0"?>\n<events/>', "XML, which is not read: convert it to CSV or to JSON lines"),
        (b"<!DOCTYPE html>\n<table><tr><th>user", "a page of HTML, which is not read: if it should be data, its"),
        (b"--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\nCREATE TABLE events (", "an SQL dump"),
        (
            b"-- MySQL dump 10.13\n/*!40101 SET NAMES utf8 */;\nINSERT INTO `events` VALUES ('u1');\n",
            "an SQL dump",
        ),
        (b"INSERT INTO events (user_id, item_id) VALUES ('u1', 'i1');\n", "an SQL dump"),
        (b"BEGIN TRANSACTION;\nCREATE TABLE events(user_id TEXT);\n", "an SQL dump"),
    ],
)
@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_another_kind_of_file_is_named_with_what_to_do(
    tmp_path: Path, content: bytes, why: str, packed: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(packed(content))
    with pytest.raises(UserError, match=re.escape(f"log.csv is {why}")):
        users(path)


def test_an_sql_dump_is_told_how_to_be_brought_in(tmp_path: Path) -> None:
    path = tmp_path / "dump.sql"
    path.write_text("COPY public.events (user_id, item_id, at) FROM stdin;\nu1\ti1\t2024-05-01\n\\.\n")
    with pytest.raises(UserError, match=r"psql -c .COPY \(SELECT .* CSV HEADER. \| reco import -, or mysql -B"):
        users(path)


def test_a_file_that_was_packed_twice_is_read(tmp_path: Path) -> None:
    content = (HEADER + FIRST).encode()
    twice = {
        "gz.gz": gzip.compress(gzip.compress(content)),
        "xz.gz": gzip.compress(lzma.compress(content)),
        "gz.zst": pyarrow.compress(gzip.compress(content), codec="zstd", asbytes=True),
        "zst.bz2": bz2.compress(pyarrow.compress(content, codec="zstd", asbytes=True)),
    }
    for ending, packed in twice.items():
        path = tmp_path / f"log.csv.{ending}"
        path.write_bytes(packed)
        assert users(path) == ["u1"], ending


def test_a_pipe_is_read_as_stdin_is(tmp_path: Path) -> None:
    pipe, other = tmp_path / "63", tmp_path / "other.csv"
    os.mkfifo(pipe)
    other.write_text(HEADER + SECOND)
    writer = threading.Thread(target=pipe.write_text, args=(HEADER + FIRST,))
    writer.start()
    assert users(pipe, other) == ["u1", "u2"]
    writer.join()
    assert rejects_beside([Path("folder/-")]) == Path("stdin.rejected.jsonl")


def test_error_in_stdin_or_a_pipe_names_it_and_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "63"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("a,b\n1,2\n",))
    writer.start()
    with pytest.raises(UserError, match=f"^{pipe}: The columns are not clear"):
        users(pipe)
    writer.join()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(UserError, match=r"^stdin is empty$"):
        users("-")


def test_an_address_is_told_how_to_be_read() -> None:
    with pytest.raises(UserError, match=r"curl -sfL 'https://example\.org/log\.csv' \| reco import -"):
        users("https://example.org/log.csv")


def test_member_whose_name_has_brackets_is_found(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "log.zip", "w") as archive:
        archive.writestr("log [1].csv", HEADER + FIRST)
        archive.writestr("log [2].csv", HEADER + SECOND)
        archive.writestr("log 1.csv", "another one")
    assert users(tmp_path / "log.zip" / "log [1].csv", tmp_path / "log.zip" / "log [2].csv") == ["u1", "u2"]


def test_zip_that_is_packed_otherwise_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "log.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("log.csv", HEADER + FIRST)
    content = bytearray(path.read_bytes())
    for header, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(header) + place] = 9  # as Windows packs files of more than 2 GiB
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"log.csv is packed in a way that is not read .*; unpack it first"):
        users(path)
