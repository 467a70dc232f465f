"""Files of several compressed streams: all of them are read, and a damaged one is told."""

import bz2
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import UserError
from app.importing.streams import open_bytes

Pack = Callable[[bytes], bytes]
PARTS = [b"first," * 40_000, b"second," * 9, b"third," * 40_000]

packed = pytest.mark.parametrize("pack", [bz2.compress, lzma.compress], ids=["bz2", "xz"])


def read(path: Path, found: list[bytes]) -> None:
    with open_bytes(path) as stream:
        while part := stream.read(10_000):
            found.append(part)


@packed
@pytest.mark.parametrize("between", [b"", b"\0" * 4, b"\0" * 200_000], ids=["nothing", "padding", "much padding"])
def test_all_streams_are_read(tmp_path: Path, pack: Pack, between: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(between.join(map(pack, PARTS)) + between)
    found: list[bytes] = []
    read(path, found)
    assert b"".join(found) == b"".join(PARTS)


@packed
@pytest.mark.parametrize("damaged", [0, 1, 2])
@pytest.mark.parametrize("how", ["its first bytes", "its middle", "its end"])
def test_a_damaged_stream_is_told_behind_what_stands_before(tmp_path: Path, pack: Pack, damaged: int, how: str) -> None:
    streams = list(map(pack, PARTS))
    stream = bytearray(streams[damaged])
    at = {"its first bytes": 7 if damaged == 0 else 0, "its middle": len(stream) // 2, "its end": len(stream) - 3}[how]
    stream[at] ^= 0xFF
    path = tmp_path / "log"
    path.write_bytes(b"".join([*streams[:damaged], bytes(stream), *streams[damaged + 1 :]]))
    found: list[bytes] = []
    with pytest.raises(UserError, match="the compressed data is damaged"):
        read(path, found)
    assert b"".join(found).startswith(b"".join(PARTS[:damaged]))


@packed
def test_a_cut_stream_and_what_is_no_stream_are_told(tmp_path: Path, pack: Pack) -> None:
    path = tmp_path / "log"
    for end in (pack(PARTS[2])[:-4], b"no stream at all"):
        path.write_bytes(pack(PARTS[0]) + end)
        found: list[bytes] = []
        with pytest.raises(UserError, match="the compressed data is damaged"):
            read(path, found)
        assert b"".join(found).startswith(PARTS[0])
