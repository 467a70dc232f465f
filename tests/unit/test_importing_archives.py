"""Tar archives are read as zip archives are; what cannot be opened says what to do."""

import io
import os
import tarfile
import threading
import zipfile
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
    ("content", "kind"),
    [
        (b"Obj\x01\x04\x14avro.codec\x08null", "an Avro file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "an array of NumPy"),
        (b"\xff\x06\x00\x00sNaPpY", "compressed by snappy"),
        (b'<?xml version="1.0"?>\n<events/>', "XML"),
        (b"<!DOCTYPE html>\n<table><tr><th>user", "a page of HTML"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"log.csv is {kind}, which is not read; unpack or convert it first"):
        users(path)


def test_a_pipe_is_read_as_stdin_is(tmp_path: Path) -> None:
    pipe, other = tmp_path / "63", tmp_path / "other.csv"
    os.mkfifo(pipe)
    other.write_text(HEADER + SECOND)
    writer = threading.Thread(target=pipe.write_text, args=(HEADER + FIRST,))
    writer.start()
    assert users(pipe, other) == ["u1", "u2"]
    writer.join()
    assert rejects_beside([Path("folder/-")]) == Path("stdin.rejected.jsonl")


def test_an_address_is_told_how_to_be_read() -> None:
    with pytest.raises(UserError, match=r"curl -sfL 'https://example\.org/log\.csv' \| reco import -"):
        users("https://example.org/log.csv")
