"""Exports the features as they are now: one numbered folder a run, with a file for items, pairs and histories."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from app.adapters import exported_features
from app.adapters.exported_features import Pages
from app.errors import UserError
from app.exporting.files import sync_folder, table_rows, whole_file
from app.exporting.log import Exported
from app.exporting.progress import ExportProgress, load_progress, save_progress
from app.exporting.tables import HISTORIES, ITEMS, PAIRS, ExportTable, FileFormat


def export_features(connection: psycopg.Connection, folder: Path, *, file_format: FileFormat) -> Exported:
    """Writes `000001/items.parquet` and so on. All sums are decayed to one time, which is `until`.

    Raises `UserError`, psycopg's errors and OSError; then no folder with this number is left.
    """
    progress = load_progress(folder)
    number = f"{progress.files + 1:06}"
    whole, unfinished = folder / number, folder / f".{number}.part"
    for left in (whole, unfinished):  # of a run that was interrupted
        shutil.rmtree(left, ignore_errors=True)
    unfinished.mkdir()
    generation, model = exported_features.serving_generation(connection)
    now = exported_features.now_ms(connection)
    tables: list[tuple[ExportTable, Pages]] = [
        (ITEMS, exported_features.items(connection, model, now)),
        (PAIRS, exported_features.pairs(connection, model, now)),
        (HISTORIES, exported_features.histories(connection)),
    ]
    rows = sum(_write(unfinished / f"{table.name}.{file_format}", table, pages) for table, pages in tables)
    if exported_features.serving_generation(connection)[0] != generation:
        shutil.rmtree(unfinished)
        raise UserError("a rebuild has changed the features while they were read: run the command again")
    unfinished.rename(whole)
    sync_folder(folder)
    save_progress(folder, ExportProgress(progress.files + 1))
    files = [f"{number}/{table.name}.{file_format}" for table, _ in tables]
    return Exported(files, rows, None, datetime.fromtimestamp(now / 1000, UTC))


def _write(path: Path, table: ExportTable, pages: Pages) -> int:
    written = 0
    with whole_file(path) as out, table_rows(out, table, parquet=path.suffix == ".parquet") as add:
        for rows in pages:
            if rows:
                add(rows)
                written += len(rows)
    return written
