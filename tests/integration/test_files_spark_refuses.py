"""Files and folders that `reco rebuild --engine spark` does not fold: each is told, with what to do."""

from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.support.spark import spark_python
from tests.support.spark_reader import SparkReader, spark_reader

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reader() -> Iterator[SparkReader]:
    with spark_reader(spark_python()) as reader:
        yield reader


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"who": "u", "item_id": "i", "ts_ms": 1}', "no column is known to be the user_id"),
        ("a.jsonl", '{"user_id": "u", "item_id": "i", "ts_ms": "x", "event": "view"}', "none of the first 1 rows"),
        ("a.json", '[{"user": "u", "item": "i", "ts": 1, "event": "view"}]', "one JSON object a line"),
        ("a.csv", "user_id,item_id,ts_ms\nu,i,1", "--engine local reads CSV"),
        ("a.jsonl.lz4", "{}", "packed as .gz, .bz2 or .zst"),
    ],
)
def test_file_without_events_for_spark_is_told(
    reader: SparkReader, tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    assert said in (reader.refusal(tmp_path / name) or "")


def test_nothing_is_said_of_a_file_with_events(reader: SparkReader, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"user_id": "u", "item_id": "i", "ts_ms": 1700000000000, "event": "view"}')
    assert reader.refusal(file) is None


@pytest.mark.parametrize(
    ("named", "marker", "said"),
    [
        ("lake", "_delta_log/0.json", "lake/events is a table of Delta Lake"),
        ("lake/events/data/dt=1", "_delta_log/0.json", "lake/events is a table of Delta Lake"),
        ("lake/*", ".hoodie/x", "lake/events is a table of Hudi"),
        ("lake", "metadata/v1.metadata.json", "lake/events is a table of Iceberg"),
        ("lake/events/data", "metadata/v1.metadata.json", "lake/events is a table of Iceberg"),
        ("lake/events/data/*/*.parquet", "_delta_log/0.json", "no column is known to be the user_id"),
        ("lake/events/data", "../_old/_delta_log/0.json", "no column is known to be the user_id"),
    ],
)
def test_table_with_versions_is_not_folded_as_a_folder_of_files(
    reader: SparkReader, tmp_path: Path, named: str, marker: str, said: str
) -> None:
    table = tmp_path / "lake" / "events"
    for file in (table / "data" / "dt=1" / "part-0.parquet", table / marker):
        file.parent.mkdir(parents=True)
        file.write_text("{}")
    parquet.write_table(pa.table({"who": ["u"], "item_id": ["i"], "ts_ms": [1]}), table / "data/dt=1/part-0.parquet")
    assert said in (reader.refusal(tmp_path / named) or "")


ROW = {"user_id": ["u"], "item_id": ["i"], "event_type": ["view"]}


@pytest.mark.parametrize(
    ("columns", "others", "said"),
    [
        (
            {"date": [1], "x": [1]},
            {"date": ["1"], "x": [1]},
            "lake: some files have date: BIGINT, and others date: STR",
        ),
        (
            {"date": pa.array([time(1)], pa.time32("ms"))},
            None,
            "lake: a column has the type INT32 (TIME(MILLIS,false))",
        ),
    ],
)
def test_columns_that_spark_cannot_read_are_told_with_what_to_do(
    reader: SparkReader, tmp_path: Path, columns: dict[str, Any], others: dict[str, Any] | None, said: str
) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    for number, made in enumerate((columns, others or columns)):
        parquet.write_table(pa.table({**ROW, **made}), lake / f"part-{number}.parquet")
    assert said in (reader.refusal(lake) or "")
