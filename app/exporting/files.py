"""Files that are whole or not there: written beside their place, synced, and renamed."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import msgspec

from app.exporting.tables import ColumnType, ExportTable

Rows: TypeAlias = Sequence[tuple[Any, ...]]
AddRows: TypeAlias = Callable[[Rows], None]


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its place at the end; after an error, what was at `path` is still there."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with unfinished.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(path)
        sync_folder(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """The names in the folder are on the disk afterwards."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def table_rows(out: IO[bytes], table: ExportTable, *, parquet: bool) -> AbstractContextManager[AddRows]:
    """Writes rows of the table to `out`: as Parquet, a row group a call, or as JSON lines."""
    return _parquet(out, table) if parquet else _json_lines(out, table)


@contextmanager
def _json_lines(out: IO[bytes], table: ExportTable) -> Iterator[AddRows]:
    encoder = msgspec.json.Encoder()
    names = list(table.columns)

    def add(rows: Rows) -> None:
        out.write(encoder.encode_lines([dict(zip(names, row, strict=True)) for row in rows]))

    yield add


@contextmanager
def _parquet(out: IO[bytes], table: ExportTable) -> Iterator[AddRows]:
    import pyarrow as pa
    from pyarrow import parquet

    types: dict[ColumnType, Any] = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "flag": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"),
        "json": pa.string(),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in table.columns.items()])
    of_json = [index for index, kind in enumerate(table.columns.values()) if kind == "json"]
    numbers = [index for index, kind in enumerate(table.columns.values()) if kind == "number"]
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:

        def add(rows: Rows) -> None:
            columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
            for index in of_json:
                columns[index] = [None if x is None else msgspec.json.encode(x).decode() for x in columns[index]]
            for index in numbers:
                columns[index] = [None if x is None else float(x) for x in columns[index]]
            arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

        yield add
