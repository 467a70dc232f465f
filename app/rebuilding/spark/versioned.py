"""Tables that keep versions of their rows, on the file systems that Spark reads."""

import re
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from typing import Any, Final

from app.importing.versioned import FOLDERS, ICEBERG_FILES, ICEBERG_FOLDER, refusal, table_of

_SPECIAL: Final = re.compile(r"([\\{}\[\]*?])")
_LOCAL: Final = "file:"
# What Hadoop, and S3 by way of Java, throw where the user may read a folder and not what is above it.
_DENIED: Final = frozenset({"AccessControlException", "AccessDeniedException"})


def refuse_tables(spark: Any, address: str, files: Collection[str]) -> None:
    """Raises `UserError` where the address, or a folder that it matches, is one of a table's.

    `files`: those that Spark finds there, which are none of folders whose names begin with a dot or an underscore.
    """
    for status in _matches(spark, address):
        if status.isDirectory():
            folder = PurePosixPath(status.getPath().toString())
            paths = [PurePosixPath(file) for file in files]
            markers = (*paths, *_below(spark, status, paths), *_above(spark, status))
            if found := table_of(folder, markers):
                raise refusal(_shown(found[0]), found[1], "*/*.parquet")


def _below(spark: Any, status: Any, files: Collection[PurePosixPath]) -> Iterator[PurePosixPath]:
    """Spark does not list these folders: a look at each level that has files."""
    folder = PurePosixPath(status.getPath().toString())
    levels = max((len(file.relative_to(folder).parts) for file in files if file.is_relative_to(folder)), default=0)
    for level in range(levels):
        names = "*/" * level + f"{{{','.join(FOLDERS)}}}"
        for found in _matches(spark, f"{_literal(status.getPath())}/{names}"):
            if found.isDirectory():
                yield PurePosixPath(found.getPath().toString())


def _above(spark: Any, status: Any) -> Iterator[PurePosixPath]:
    from py4j.protocol import Py4JJavaError

    parent = status.getPath().getParent()
    while parent is not None:
        for names in (*FOLDERS, f"{ICEBERG_FOLDER}/{ICEBERG_FILES}"):
            try:
                found = _matches(spark, f"{_literal(parent).rstrip('/')}/{names}")
            except Py4JJavaError as error:
                if error.java_exception.getClass().getSimpleName() not in _DENIED:
                    raise
                continue
            for marker in found:
                if marker.isDirectory() or names not in FOLDERS:
                    yield PurePosixPath(marker.getPath().toString())
        parent = parent.getParent()


def _matches(spark: Any, pattern: str) -> list[Any]:
    path = spark.sparkContext._jvm.org.apache.hadoop.fs.Path(pattern)  # noqa: SLF001
    files = path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())  # noqa: SLF001
    return list(files.globStatus(path) or ())


def _literal(path: Any) -> str:
    return _SPECIAL.sub(r"\\\1", path.toString())


def _shown(path: PurePosixPath) -> str:
    """As the user writes it: a path has one slash where an address has two."""
    text = str(path)
    return text.removeprefix(_LOCAL) if text.startswith(_LOCAL) else text.replace(":/", "://", 1)
