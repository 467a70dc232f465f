"""The stages that Spark runs, each into a folder of its own, so that one that is done need not be done again.

All of it waits for Spark: call it through `in_spark`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import pyarrow as pa
from msgspec import Struct

from app.core.model import Model
from app.rebuilding.spark import data_sets
from app.rebuilding.spark.data_sets import DataSet, address_of, listed
from app.rebuilding.spark.folding import (
    EVENT,
    EVENTS,
    FOLDED_DDL,
    HISTORY,
    ITEM,
    ITEMS_DDL,
    PAIR,
    PAIR_SUMS,
    REJECTED,
    STORED,
    TAKEN,
    added_up_items,
    folded,
)

MARKS: Final = "marks"
FOLDED: Final = "folded"
HISTORIES: Final = f"{FOLDED}/kind={HISTORY}"
ITEMS: Final = "items"
PAIRS: Final = "pairs"
_ORDER: Final = ("user_id", "mark", "ts_ms", "data_set", "file", "block", "row")
# The driver loads a file at once.
_FILE_ROWS: Final = {FOLDED: 50_000, ITEMS: 50_000, PAIRS: 500_000}


class Work(Struct, frozen=True):
    """The folder of one rebuild."""

    spark: Any
    folder: str

    def is_done(self, stage: str) -> bool:
        return bool(self._files().exists(self._path(f"{stage}/_SUCCESS")))

    def remove(self, stage: str = "") -> bool:
        """Of one stage, or all of it. Whether it is gone."""
        self._files().delete(self._path(stage), True)
        return not self._files().exists(self._path(stage))

    def parts(self, stage: str) -> list[str]:
        """The files that the stage has made. Without any, the stage made nothing."""
        return sorted(path for path in listed(self.spark, self._address(stage)) if path.endswith(".parquet"))

    def table(self, part: str) -> pa.Table:
        return self.spark.read.parquet(part).toArrow()

    def add_marks(self, rows: Sequence[tuple[str, int | None, str | None]]) -> None:
        """`rows`: a user, and until when it was erased, or the id of one of its events that Postgres holds."""
        schema = pa.schema([("user_id", pa.string()), ("ts_ms", pa.int64()), ("event_id", pa.string())])
        columns = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
        frame = self.spark.createDataFrame(pa.Table.from_arrays(columns, schema=schema))
        frame.write.mode("append").parquet(self._address(MARKS))

    def fold(self, sets: Sequence[DataSet], model: Model, *, latest_ms: int) -> None:
        from pyspark.sql import functions as f

        rows = data_sets.messages(sets, latest_ms=latest_ms).withColumn("mark", f.lit(EVENT))
        if self.is_done(MARKS):
            marks = self.spark.read.parquet(self._address(MARKS)).withColumn("mark", f.lit(STORED))
            rows = rows.unionByName(marks, allowMissingColumns=True)
        rows = rows.repartition("user_id").sortWithinPartitions(*_ORDER)
        made = rows.mapInArrow(partial(folded, model=model), FOLDED_DDL)
        self._write(made, FOLDED, partition_by=("kind",))

    def add_up_items(self, model: Model) -> None:
        rows = self._folded(ITEM).select("id", "value").repartition("id").sortWithinPartitions("id")
        self._write(rows.mapInArrow(partial(added_up_items, model=model), ITEMS_DDL), ITEMS)

    def add_up_pairs(self) -> None:
        from pyspark.sql import functions as f

        sums = [f.sum(name).alias(name) for name in PAIR_SUMS]
        self._write(self._folded(PAIR).groupBy("id", "other").agg(*sums), PAIRS)

    def events(self) -> int:
        """How many were folded."""
        return self._count(EVENTS)[0]

    def taken(self) -> int:
        """How many rows are events, stored ones and repeated ones included."""
        return self._count(TAKEN)[0]

    def rejected(self) -> tuple[int, str | None]:
        """How many rows are no events, and why one of them is not."""
        return self._count(REJECTED)

    def _count(self, kind: str) -> tuple[int, str | None]:
        from pyspark.sql import functions as f

        (found,) = self._folded(kind).agg(f.sum("weight"), f.min("id")).collect()
        return int(found[0] or 0), found[1]

    def _folded(self, kind: str) -> Any:
        return self.spark.read.schema(FOLDED_DDL).parquet(self._address(FOLDED)).where(f"kind = '{kind}'")

    def _write(self, frame: Any, stage: str, partition_by: Sequence[str] = ()) -> None:
        writer = frame.write.mode("overwrite").option("maxRecordsPerFile", _FILE_ROWS[stage])
        writer.partitionBy(*partition_by).parquet(self._address(stage))

    def _address(self, stage: str) -> str:
        return f"{address_of(self.folder)}/{stage}"

    def _path(self, stage: str) -> Any:
        return self.spark.sparkContext._jvm.org.apache.hadoop.fs.Path(self._address(stage))  # noqa: SLF001

    def _files(self) -> Any:
        """Hadoop's file system of the folder; pyspark has no other way to it."""
        context = self.spark.sparkContext
        return self._path("").getFileSystem(context._jsc.hadoopConfiguration())  # noqa: SLF001
