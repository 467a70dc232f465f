"""Says what a rebuild on Spark says of files, without a start of Spark for each.

Run by the Python of `reco[spark]`: for each path, a line of its standard input, it prints what is wrong with the files,
as JSON in a line; null if nothing is.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from app.errors import UserError
from app.importing.mapping import ImportOptions
from app.rebuilding.spark.data_sets import data_set
from app.rebuilding.spark.session import SparkOptions, in_spark, session
from tests.support.marks import ROOT

SMALL: Final = {
    "spark.driver.memory": "1g",
    "spark.sql.shuffle.partitions": "4",
    # The first compiler tier and the serial collector suit work of seconds.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
"""Settings of Spark for a log of a test, on this machine alone."""
_MARK: Final = "said: "


class SparkReader:
    """The other side of that process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def refusal(self, path: Path) -> str | None:
        """What is wrong with the files, on one line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(path, file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith(_MARK):
                said: str | None = json.loads(line.removeprefix(_MARK))
                return said
        raise AssertionError(f"the reader has ended with {self._process.wait()}")


@contextmanager
def spark_reader(python: Path) -> Iterator[SparkReader]:
    process = subprocess.Popen(
        [python, "-m", "tests.support.spark_reader"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:  # closes its input, with which it ends
        yield SparkReader(process)


async def _read() -> None:
    async with session(SparkOptions(master="local[1]", work="", settings=SMALL)) as spark:
        for line in sys.stdin:
            read = partial(data_set, spark, line.rstrip("\n"), ImportOptions(), latest_ms=time.time_ns() // 1_000_000)
            said = None
            try:
                await in_spark(read)
            except UserError as error:
                said = " ".join(str(error).split())
            print(_MARK + json.dumps(said), flush=True)


if __name__ == "__main__":
    asyncio.run(_read())
