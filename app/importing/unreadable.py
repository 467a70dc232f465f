"""Kinds of files that are not read, by how they begin, and what to do with each."""

import re
from collections.abc import Iterable
from itertools import chain, islice
from typing import Final

LONGEST_MAGIC: Final = 8
_TO_PARQUET: Final = ".to_parquet('log.parquet')"
_KINDS: Final = {
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it first"),
    b"Rar!": ("a rar archive", "unpack it first"),
    b"\x04\x22\x4d\x18": ("compressed by lz4", "lz4 -dc FILE | reco import -"),
    b"\x1f\x9d": ("compressed by compress", "gunzip -c FILE | reco import -"),
    b"\xff\x06\x00\x00sNaP": ("compressed by snappy", "unpack it first"),
    b"%PDF": ("a PDF", "export the table as CSV"),
    b"SQLite f": ("an SQLite database", "sqlite3 -header -csv FILE 'SELECT * FROM events' | reco import -"),
    b"Obj\x01": ("an Avro file", "java -jar avro-tools.jar tojson FILE | reco import -"),
    b"\x89HDF": ("an HDF5 file", f"write it with pandas: read_hdf('FILE'){_TO_PARQUET}"),
    b"\x93NUMPY": ("an array of NumPy", f"write it with pandas: DataFrame(numpy.load('FILE')){_TO_PARQUET}"),
    b"ORC": ("an ORC file", f"write it with pandas: read_orc('FILE'){_TO_PARQUET}"),
    b"RDX": ("a file of R", "write it with R: write.csv(DATA, 'log.csv')"),
    b"X\n\x00\x00": ("a file of R", "write it with R: write.csv(readRDS('FILE'), 'log.csv')"),
    b"$FL2": ("a file of SPSS", f"write it with pandas: read_spss('FILE'){_TO_PARQUET}"),
    b"<stata_d": ("a file of Stata", f"write it with pandas: read_stata('FILE'){_TO_PARQUET}"),
    b"]\x00\x00": ("compressed by lzma", "xz -dc FILE | reco import -"),
    b"\x80\x02": ("a pickle of Python", f"write it with pandas: read_pickle('FILE'){_TO_PARQUET}"),
    b"\x80\x03": ("a pickle of Python", f"write it with pandas: read_pickle('FILE'){_TO_PARQUET}"),
    b"\x80\x04\x95": ("a pickle of Python", f"write it with pandas: read_pickle('FILE'){_TO_PARQUET}"),
    b"\x80\x05\x95": ("a pickle of Python", f"write it with pandas: read_pickle('FILE'){_TO_PARQUET}"),
    b"<?xml": ("XML", "convert it to CSV or to JSON lines"),
    b"<!DOCTYP": ("a page of HTML", "if it should be data, its download failed; else export the table as CSV"),
    b"<table": ("a page of HTML", "export the table as CSV"),
    b"<html": ("a page of HTML", "if it should be data, its download failed; else export the table as CSV"),
}
_SQL_BEGINS: Final = re.compile(
    rb"\s*(?:--|/\*|(?:INSERT|REPLACE) INTO|CREATE |DROP |PRAGMA |BEGIN|START |SET |COPY |LOCK |USE )", re.IGNORECASE
)
_SQL_STATEMENT: Final = re.compile(
    rb"\s*(?:(?:INSERT|REPLACE) INTO\b|CREATE TABLE\b|COPY .+ FROM stdin;)", re.IGNORECASE
)
_LOOKED_AT_LINES: Final = 200
_LOOKED_AT_RECORDS: Final = 5
SQL_DUMP: Final = (
    "an SQL dump, which is not read: load it into a database and let that write the rows, for example "
    'psql -c "COPY (SELECT user_id, item_id, at FROM events) TO STDOUT CSV HEADER" | reco import -, '
    "or mysql -B -e 'SELECT user_id, item_id, at FROM events' | reco import -"
)

_RECORD: Final = re.compile(rb"\*{5,} 1\. row \*{5,}|-\[ RECORD 1 \][-+]*")
VERTICAL: Final = (
    "a list with a line for each value, which is not read: let the client write rows, as mysql -B -e 'SELECT …' and "
    "psql --csv -c 'SELECT …' do"
)


def is_vertical(lines: Iterable[bytes]) -> bool:
    """Whether one of the first lines of a text begins a record as `\\G` of `mysql` and `\\x` of `psql` write it."""
    return any(_RECORD.fullmatch(line.strip()) for line in islice(lines, _LOOKED_AT_RECORDS))


def is_sql_dump(lines: Iterable[bytes]) -> bool:
    """By the first lines of a text."""
    first = (line for line in islice(lines, _LOOKED_AT_LINES) if line.strip())
    begins = next(first, b"")
    return _SQL_BEGINS.match(begins) is not None and any(map(_SQL_STATEMENT.match, chain([begins], first)))


def why_unreadable(beginning: bytes) -> str:
    """What the file is and what to do, by its first `LONGEST_MAGIC` bytes; an empty text for what may be read."""
    found = next((kind for magic, kind in _KINDS.items() if beginning.startswith(magic)), None)
    return "" if found is None else f"{found[0]}, which is not read: {found[1]}"
