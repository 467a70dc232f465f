"""Tables that keep versions of their rows in files beside each other, which are not read as folders of files.

Who lists the files of a file system gives the names alone, so that one rule holds for all of them.
"""

from collections.abc import Iterable
from pathlib import PurePath
from typing import Final, TypeVar

from app.errors import UserError

FOLDERS: Final = {"_delta_log": "Delta Lake", ".hoodie": "Hudi"}
ICEBERG_FOLDER: Final = "metadata"
ICEBERG_FILES: Final = "*.metadata.json"

_Path = TypeVar("_Path", bound=PurePath)


def table_of(folder: _Path, markers: Iterable[_Path]) -> tuple[_Path, str] | None:
    """The table whose files are among those of the folder, and the program that keeps it.

    `markers`: folders, and files of `metadata`, in the folder and beside those above it. Others are passed over.
    """
    for path in markers:
        if path.name in FOLDERS:
            table, kind = path.parent, FOLDERS[path.name]
        elif path.parent.name == ICEBERG_FOLDER and path.match(ICEBERG_FILES):
            table, kind = path.parent.parent, "Iceberg"
        else:
            continue
        if _shares_files(folder, table, kind):
            return table, kind
    return None


def refusal(table: str, kind: str, files: str) -> UserError:
    """`files`: a pattern, within the table, of the files that may be named all the same."""
    return UserError(
        f"{table} is a table of {kind}, whose folder may have files that are no longer part of it: write its rows "
        f"to files of their own first, with Spark or DuckDB; '{table}/{files}' takes what is there"
    )


def _shares_files(folder: PurePath, table: PurePath, kind: str) -> bool:
    if table.is_relative_to(folder):
        # Folders of such names are not read.
        return not any(part.startswith((".", "_")) for part in table.relative_to(folder).parts)
    if not folder.is_relative_to(table):
        return False
    # Other programs have folders named `metadata`, too, and those may be far above.
    return kind != "Iceberg" or folder.relative_to(table).parts[0] == "data"
