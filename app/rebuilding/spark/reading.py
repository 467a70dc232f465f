"""In a task of Spark: the rows of Parquet files and JSON lines as messages, by the rules of `reco import`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa

from app.importing.arrow_values import tuples_of
from app.importing.contents import FoundValues, json_values
from app.importing.lines import MAX_LINE_BYTES, FileLine
from app.importing.mapping import Columns
from app.importing.partitions import partitions_of, with_partitions
from app.importing.reader import FileLayout, rows_of
from app.importing.records import RowIds, to_message
from app.importing.rows import BadRow

FILE: Final = "reco_file"
BLOCK: Final = "reco_block"
"""Columns that Spark adds to each row: its file, and where in it the task began to read."""

MESSAGES: Final = pa.schema(
    [
        ("user_id", pa.string()),
        ("ts_ms", pa.int64()),
        ("data_set", pa.int32()),
        ("file", pa.string()),
        ("block", pa.int64()),
        ("row", pa.int64()),
        ("event_id", pa.string()),
        ("message", pa.binary()),
    ]
)
MESSAGES_DDL: Final = (
    "user_id string, ts_ms bigint, data_set int, file string, block bigint, row bigint, event_id string, message binary"
)
_BATCH_ROWS: Final = 10_000

_Place = tuple[str, int]
_Placed = tuple[_Place, FoundValues]
Batches = Iterable[pa.RecordBatch]


def messages_of(
    batches: Batches, *, names: Sequence[str], lines: bool, layout: FileLayout[Columns], latest_ms: int, data_set: int
) -> Iterator[pa.RecordBatch]:
    """`batches`: what Spark read, with `FILE` and `BLOCK` last; of `lines` their bytes, else the table's columns.

    `names`: of the columns. Spark has others for them, since it takes a name with a dot for a path.

    Identical rows without an event id are told apart by their number in the block. The rows of a block that are no
    events make one row without a user: `row` is how many they are, `event_id` the place and the reason of the first.
    """
    read: Callable[[Batches], Iterator[_Placed]] = _lines if lines else partial(_tables, names)
    made: list[tuple[Any, ...]] = []
    for (file, block), placed in groupby(read(batches), key=itemgetter(0)):
        ids = RowIds()
        found = with_partitions((found for _, found in placed), partitions_of(PurePosixPath(unquote(file))))
        rows = rows_of(found, layout, latest_ms=latest_ms)
        rejected: list[str] = []
        for number, row in enumerate(rows):
            if isinstance(row, BadRow):
                rejected.append(row.reason)
                continue
            event_id = ids.event_id(row)
            message = to_message(row, event_id, now_ms=latest_ms)
            made.append((row.user_id, row.ts_ms, data_set, file, block, number, event_id, message))
            if len(made) >= _BATCH_ROWS:
                yield batch_of(made, MESSAGES)
                made = []
        if rejected:
            made.append((None, None, data_set, file, block, len(rejected), f"{file}: {rejected[0]}", None))
    if made:
        yield batch_of(made, MESSAGES)


def batch_of(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    return pa.RecordBatch.from_arrays(
        [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema
    )


def _lines(batches: Batches) -> Iterator[_Placed]:
    for (file, block), lines in groupby(_raw_lines(batches), key=itemgetter(0)):
        for found in json_values(line for _, line in lines):
            yield (file, block), found


def _raw_lines(batches: Batches) -> Iterator[tuple[_Place, FileLine]]:
    for batch in batches:
        values, files, blocks = (batch.column(name).to_pylist() for name in ("value", FILE, BLOCK))
        for raw, file, block in zip(values, files, blocks, strict=True):
            if raw.strip():
                yield (file, block), FileLine(0, 0, raw[:MAX_LINE_BYTES], len(raw) < MAX_LINE_BYTES)


def _tables(names: Sequence[str], batches: Batches) -> Iterator[_Placed]:
    no_line = FileLine(0, 0, b"")
    for batch in batches:
        files, blocks = (batch.column(name).to_pylist() for name in (FILE, BLOCK))
        table = batch.drop_columns([FILE, BLOCK])
        for row, file, block in zip(tuples_of(table), files, blocks, strict=True):
            yield (file, block), (dict(zip(names, row, strict=True)), no_line)
