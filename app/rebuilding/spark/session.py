"""A session of Spark for a rebuild: Java, a master that answers, and executors that have this package."""

import asyncio
import contextlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import anyio
from anyio import to_thread
from msgspec import Struct

from app.build import VERSION
from app.errors import UserError
from app.java import find_java

T = TypeVar("T")

SPARK: Final = "spark"
_LISTENS_SEC: Final = 5.0
_STARTS_SEC: Final = 120.0
# There is no master that could be away, and a busy machine may start Java slowly.
_STARTS_LOCALLY_SEC: Final = 900.0
_STOPS_SEC: Final = 15.0
_LOCAL: Final = "local"
_MASTER: Final = re.compile(r"local(\[.*\])?|local-cluster\[.*\]|yarn|spark://.+|k8s://.+")
_SETTINGS: Final = {
    "spark.app.name": "reco rebuild",
    "spark.log.level": "ERROR",
    "spark.sql.session.timeZone": "UTC",
    # Times in nanoseconds, which pandas writes by default: Spark refuses them, or reads them as numbers.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    # Times of the day: Spark refuses a table that has them, also where they are not read.
    "spark.sql.timeType.enabled": "true",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
_LOOPBACK: Final = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
_SHOWN_CHARACTERS: Final = 600
_OUR_JAVA: Final = "reco-java-"
"""So begins the folder that JAVA_HOME names where nobody has set it."""
_JAVA_ENDED: Final = (
    "its Java on this machine has ended, and the lines above may say why. If it had too little memory, give it more "
    "with --conf spark.driver.memory=4g. Run the same command again: it goes on where it stopped"
)
_NO_FILE_SYSTEM: Final = re.compile(r'Class \S+FileSystem not found|No FileSystem for scheme "?\w+"?')


class SparkOptions(Struct, frozen=True, kw_only=True):
    """`work`: a folder for what the stages make. `settings`: of Spark, by name.

    Raises `UserError` for a master of no kind that Spark knows: its launcher ends then, and does not tell us why.
    """

    master: str
    work: str
    settings: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        if not _MASTER.fullmatch(self.master):
            raise UserError(
                f"--master {self.master} is not a Spark master: expected local[*], spark://host:7077, yarn or "
                "k8s://host:port"
            )

    @property
    def is_local(self) -> bool:
        return self.master.partition("[")[0] == _LOCAL

    @property
    def patience_sec(self) -> float:
        """How long Spark may take to start, and an executor to take the first task."""
        return _STARTS_LOCALLY_SEC if self.is_local else _STARTS_SEC


@asynccontextmanager
async def session(options: SparkOptions) -> AsyncIterator[Any]:
    """A `SparkSession` whose executors run our tasks. Raises `UserError` that says what is lacking."""
    if importlib.util.find_spec("pyspark") is None:
        raise UserError(
            "`reco rebuild --engine spark` needs the package pyspark, which is not installed: install reco with the "
            "extra spark, as docs/scaling.md shows"
        )
    await _check_listening(options.master)
    with tempfile.TemporaryDirectory(prefix=_OUR_JAVA) as folder:
        _prepare(options, Path(folder))
        try:
            patience = options.patience_sec
            spark = await _within(patience, partial(_start, options), f"no answer within {patience:.0f} s")
        except UserError as error:
            raise UserError(
                f"Spark did not start with the master {options.master}: {error}. The lines above may say why, and so "
                "may the master's log; or name another with --master. Nothing was begun"
            ) from error
        try:
            await _check_executors(spark, options)
            yield spark
        finally:
            # It fails where Java has ended, which whoever waited for Spark was told.
            with contextlib.suppress(UserError), anyio.move_on_after(_STOPS_SEC, shield=True):
                await in_spark(spark.stop)


async def _check_executors(spark: Any, options: SparkOptions) -> None:
    version = await _within(
        options.patience_sec,
        partial(_version_there, spark),
        f"No executor of {options.master} took a task within {options.patience_sec:.0f} s. Its page shows whether "
        "it has workers with free cores and memory; ask for less with --conf spark.executor.memory=1g "
        "--conf spark.executor.cores=1; nothing was begun",
    )
    if version != VERSION:
        raise UserError(f"The executors have reco {version}, and this is {VERSION}: send them the wheel of this one")


async def in_spark(work: Callable[[], T]) -> T:
    """Runs what waits for Spark in a thread; errors of Spark are raised as `UserError`."""
    from py4j.protocol import Py4JError, Py4JNetworkError
    from pyspark.errors import PySparkException

    try:
        return await to_thread.run_sync(work, abandon_on_cancel=True)
    except (Py4JNetworkError, ConnectionError) as error:
        raise UserError(f"Spark: {_JAVA_ENDED}") from error
    except (Py4JError, PySparkException) as error:
        raise UserError(f"Spark: {_JAVA_ENDED if is_unanswered(str(error)) else _reason(error)}") from error


def is_unanswered(error: str) -> bool:
    """Whether py4j says no more than which call failed, as where Java ended in the middle of it. It has an exception of
    Java's, or its trace, where Java answered.
    """
    return error.startswith("An error occurred while calling ") and "\n" not in error


async def _within(seconds: float, work: Callable[[], T], message: str) -> T:
    try:
        with anyio.fail_after(seconds):
            return await in_spark(work)
    except TimeoutError:
        raise UserError(message) from None


async def _check_listening(master: str) -> None:
    """Raises `UserError` if the master has an address and nothing listens there: Spark would try for a minute."""
    addresses = list(_addresses(master))
    for host, port in addresses:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LISTENS_SEC):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return
    if addresses:
        raise UserError(
            f"No Spark master listens at {master}. Start it, or name another with --master (local[*] needs none); "
            "nothing was begun"
        )


def _addresses(master: str) -> list[tuple[str, int]]:
    """Those of a standalone cluster, and of Kubernetes; other kinds find their masters by their own files."""
    kind, _, rest = master.partition("://")
    if kind == "spark":
        split = [urlsplit(f"//{address}") for address in rest.split(",")]
        usual = 7077
    elif kind == "k8s":
        split = [urlsplit(rest if "://" in rest else f"//{rest}")]
        usual = 443
    else:
        return []
    try:
        return [(part.hostname or "", part.port or usual) for part in split]
    except ValueError as error:
        raise UserError(f"--master {master} is not an address of a Spark master: {error}") from error


def _prepare(options: SparkOptions, folder: Path) -> None:
    """Sets the variables by which Spark finds Java and, where it runs in this process, Python."""
    if options.is_local:
        os.environ["PYSPARK_PYTHON"] = sys.executable
    if home := os.environ.get("JAVA_HOME"):
        if not (Path(home) / "bin" / "java").exists():
            raise UserError(f"JAVA_HOME is {home}, which has no bin/java: correct it, or unset it to let Java be found")
        return
    java = find_java()
    if java is None:
        raise UserError(
            "Spark needs Java 17 or later, and none was found: install reco with the extra spark, which has one "
            "(docs/scaling.md), or install a Java and name its folder in JAVA_HOME"
        )
    # Spark asks for a module of vector instructions that a small Java does not have. It works without.
    program = folder / "bin" / "java"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/bash\narguments=()\nfor argument; do\n"
        '    [ "$argument" = --add-modules=jdk.incubator.vector ] || arguments+=("$argument")\n'
        f"done\nexec '{java}' \"${{arguments[@]}}\"\n"
    )
    program.chmod(0o755)
    os.environ["JAVA_HOME"] = str(folder)


def _start(options: SparkOptions) -> Any:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(options.master)
    for name, value in {**_SETTINGS, **(_LOOPBACK if options.is_local else {}), **options.settings}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _version_there(spark: Any) -> str:
    """The version of this package that the executors have."""
    from app.rebuilding.spark.folding import version_there

    found: list[str] = spark.sparkContext.parallelize([0], 1).map(version_there).collect()
    return found[0]


def _reason(error: BaseException) -> str:
    """What went wrong, without the stack traces of two languages."""
    text = str(error)
    # py4j takes a Java that does not answer for one that lacks the class.
    if "does not exist in the JVM" in text:
        return _JAVA_ENDED
    if "ModuleNotFoundError" in text:
        line = next(line for line in text.splitlines() if "ModuleNotFoundError" in line)
        return (
            f"{line.strip()} in an executor. Executors need Python with msgspec, numpy, pandas, pyarrow and this "
            "package: docs/scaling.md shows how to send them"
        )
    if "JAVA_GATEWAY_EXITED" in text:
        home = Path(os.environ.get("JAVA_HOME", ""))
        given = f". JAVA_HOME is {home}, and must be of Java 17 or later; unset it to let one be found"
        return "Java ended, and the lines above say why" + ("" if home.name.startswith(_OUR_JAVA) else given)
    if lacking := _NO_FILE_SYSTEM.search(text):
        return (
            f"it has no classes for a file system ({lacking[0]}): name their package, as docs/scaling.md does for s3a "
            "with --conf spark.jars.packages=..."
        )
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("at ")]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    if text.lstrip().startswith("An exception was thrown from the Python worker"):
        return lines[-1][:_SHOWN_CHARACTERS]
    return " ".join([*lines[:2], *causes[-1:]])[:_SHOWN_CHARACTERS]
