"""What the arguments of a rebuild name on the file systems that Spark reads, and how its columns are read."""

import re
import tempfile
from collections.abc import Sequence
from functools import partial, reduce
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote

from msgspec import Struct

from app.errors import UserError
from app.importing.contents import json_values
from app.importing.lines import read_lines
from app.importing.mapping import Columns, ImportOptions, columns_read
from app.importing.reader import BadRow, FileLayout, detect, read_rows
from app.rebuilding.spark.reading import BLOCK, FILE, MESSAGES_DDL, messages_of
from app.rebuilding.spark.versioned import refuse_tables

_LINES: Final = frozenset({".jsonl", ".ndjson", ".json"})
_TABLES: Final = frozenset({".parquet", ".pq"})
_PACKED: Final = frozenset({".gz", ".gzip", ".bz2", ".zst", ".zstd"})
_SAMPLE_ROWS: Final = 1_000
_OPTIONS: Final = {"lineSep": "\n", "recursiveFileLookup": "true"}
_SCHEMA: Final = re.compile(r'^"STRUCT<(.*)>"', re.MULTILINE)


class DataSet(Struct, frozen=True):
    """The files of one argument, which have one layout. `size`: in bytes. `frame`: what Spark reads of them."""

    argument: str
    size: int
    lines: bool
    layout: FileLayout[Columns]
    frame: Any


def data_set(spark: Any, argument: str, options: ImportOptions, *, latest_ms: int) -> DataSet:
    """Raises `UserError` for what names no file, folders of tables, files of other formats, columns of types that Spark
    cannot read or that differ between files, and unclear columns.
    """
    files = listed(spark, argument)
    if not files:
        raise UserError(f"{argument}: there is no such file or folder, or it is empty")
    refuse_tables(spark, address_of(argument), files)
    names, size = list(files), sum(files.values())
    lines = _are_lines(argument, names)
    frame = _read(spark, argument, lines=lines)
    with tempfile.TemporaryDirectory(prefix="reco-") as folder:
        # In folders of these names, by which columns are found, too.
        partitions = [part for part in PurePosixPath(unquote(names[0])).parts[:-1] if "=" in part]
        place = Path(folder, *partitions)
        place.mkdir(parents=True, exist_ok=True)
        sample = _sample(frame, place, lines=lines)
        try:
            layout = detect(sample, options)
            _check(sample, layout, latest_ms=latest_ms, lines=lines)
        except UserError as error:
            raise UserError(str(error).replace(str(sample), argument)) from error
    return DataSet(argument, size, lines, layout, frame)


def messages(sets: Sequence[DataSet], *, latest_ms: int) -> Any:
    """A frame with the columns `MESSAGES` of all valid rows."""
    from pyspark.sql import functions as f

    frames = []
    for number, found in enumerate(sets):
        columns, names = [f.col("value").cast("binary").alias("value")], ["value"]
        if not found.lines:
            needed = [*found.layout.columns.used, *(wanted.column for wanted in found.layout.where)]
            names = columns_read(needed, found.frame.columns)
            columns = [f.col(_quoted(name)).alias(f"c{place}") for place, name in enumerate(names)]
        place = (f.col("_metadata.file_path").alias(FILE), f.col("_metadata.file_block_start").alias(BLOCK))
        read = partial(
            messages_of, names=names, lines=found.lines, layout=found.layout, latest_ms=latest_ms, data_set=number
        )
        frames.append(found.frame.select(*columns, *place).mapInArrow(read, MESSAGES_DDL))
    return reduce(lambda one, other: one.unionByName(other), frames)


def other_events(sets: Sequence[DataSet], most: int, *, latest_ms: int) -> int:
    """How many events of other types than view, click, purchase and watch there are, up to `most`."""
    from pyspark.sql import functions as f

    event_type = f.get_json_object(f.col("message").cast("string"), "$.event_type")
    others = {name for found in sets for name in found.layout.columns.known.names()}
    return int(messages(sets, latest_ms=latest_ms).where(event_type.isin(*others)).limit(most).count())


def address_of(path: str) -> str:
    """The path as Spark takes it: one without a scheme is of this machine."""
    return path if "://" in path else f"file://{Path(path).absolute()}"


def listed(spark: Any, path: str) -> dict[str, int]:
    """The files, each with its size in bytes; none if nothing is there."""
    from pyspark.errors import AnalysisException

    try:
        found = spark.read.format("binaryFile").options(**_OPTIONS).load(address_of(path))
        return {row.path: row.length for row in found.select("path", "length").collect()}
    except AnalysisException as error:
        if error.getCondition() == "PATH_NOT_FOUND":
            return {}
        raise


def _are_lines(argument: str, names: Sequence[str]) -> bool:
    endings = {_ending(name) for name in names}
    if endings <= _TABLES:
        return False
    if endings <= _LINES:
        return True
    if endings <= _LINES | _TABLES:
        raise UserError(f"{argument} holds Parquet files and JSON lines: name each kind with an argument of its own")
    other = next(name for name in names if _ending(name) not in _LINES | _TABLES)
    raise UserError(
        f"{other} is neither named as Parquet (.parquet, .pq) nor as JSON lines (.jsonl, .ndjson, .json; packed as "
        ".gz, .bz2 or .zst). Name the files that are, such as 'folder/*.parquet'; --engine local reads CSV and others"
    )


def _ending(name: str) -> str:
    endings = PurePosixPath(name.lower()).suffixes
    while len(endings) > 1 and endings[-1] in _PACKED:
        endings.pop()
    return endings[-1] if endings else ""


def _read(spark: Any, argument: str, *, lines: bool) -> Any:
    """A frame of the lines, or with all columns that some file has: Spark by itself takes those of one."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import AnalysisException

    reader = spark.read.options(**_OPTIONS)
    if lines:
        return reader.text(address_of(argument))
    try:
        return reader.option("mergeSchema", "true").parquet(address_of(argument))
    except AnalysisException as error:
        if error.getCondition() != "PARQUET_TYPE_ILLEGAL":
            raise
        raise UserError(
            f"{argument}: a column has the type {error.getMessageParameters()['parquetType']}, which Spark does not "
            "read. Write it as another one (a time of the day in microseconds, or as text), or leave it out; --engine "
            "local reads it"
        ) from error
    except Py4JJavaError as error:
        schemas = _SCHEMA.findall(str(error)) if "CANNOT_MERGE_SCHEMAS" in str(error) else []
        if len(schemas) < 2:  # of each failure, the two that differ
            raise
        one, other = (schema.split(", ") for schema in schemas[:2])
        raise UserError(
            f"{argument}: some files have {', '.join(column for column in one if column not in other)}, and others "
            f"{', '.join(column for column in other if column not in one)}. Write the columns of one name in one type, "
            "or name the files of each kind with an argument of its own, such as 'folder/2024*/*.parquet'"
        ) from error


def _quoted(name: str) -> str:
    """The name of a column for Spark, to which one with a dot is a path without that."""
    return f"`{name.replace('`', '``')}`"


def _sample(frame: Any, folder: Path, *, lines: bool) -> Path:
    """The first rows as a file of this machine, for the rules that look at a file's beginning."""
    from pyspark.sql import functions as f

    if lines:
        path = folder / "sample.jsonl"
        first = frame.select(f.col("value").cast("binary").alias("value")).limit(_SAMPLE_ROWS).collect()
        path.write_bytes(b"\n".join(bytes(row.value) for row in first))
        return path
    from pyarrow import parquet

    path = folder / "sample.parquet"
    parquet.write_table(frame.limit(_SAMPLE_ROWS).toArrow(), path)
    return path


def _check(sample: Path, layout: FileLayout[Columns], *, latest_ms: int, lines: bool) -> None:
    if layout.orders is not None or layout.fill_down:
        raise UserError("This layout joins rows of several lines or files, which --engine local alone does")
    if lines and not any(isinstance(found, tuple) for found in islice(json_values(read_lines(sample)), _SAMPLE_ROWS)):
        raise UserError(
            f"{sample} does not have one JSON object a line, as --engine spark needs; --engine local reads it"
        )
    rows = list(read_rows(sample, layout, latest_ms=latest_ms))
    if rows and all(isinstance(row, BadRow) for row in rows):
        reasons = sorted({row.reason for row in rows if isinstance(row, BadRow)})[:3]
        raise UserError(f"{sample}: none of the first {len(rows):,} rows is an event: {'; '.join(reasons)}")
