"""`reco export`: events, impressions and features as files for a warehouse."""

import sys
from pathlib import Path
from typing import Final, get_args

import click

from app.commands.json_output import json_option, write_json
from app.commands.on_postgres import database
from app.errors import UserError
from app.exporting.features import export_features
from app.exporting.log import Exported, export_log
from app.exporting.progress import alone_in
from app.exporting.tables import FileFormat

_INTERRUPTED: Final = 130


@click.command()
@click.argument("what", type=click.Choice(["events", "impressions", "features"]))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--format", "file_format", type=click.Choice(get_args(FileFormat)), default="parquet", show_default=True)
@click.option(
    "--file-rows",
    type=click.IntRange(min=1_000),
    default=1_000_000,
    show_default=True,
    help="Begin another file of events or impressions after about this many rows.",
)
@json_option
def export(what: str, folder: Path, file_format: FileFormat, file_rows: int, as_json: bool) -> None:
    """Write what is stored as files to FOLDER/events, FOLDER/impressions or FOLDER/features.

    The first run into a folder writes all events or impressions, each later one those that were committed since. After
    an interruption run it again: each event is in one file. Of features, each run writes all sums and histories.
    """
    target = folder / what
    try:
        with alone_in(target), database() as connection:
            if what == "features":
                exported = export_features(connection, target, file_format=file_format)
            else:
                exported = export_log(
                    connection,
                    target,
                    impressions=what == "impressions",
                    file_format=file_format,
                    file_rows=file_rows,
                    report=lambda path, rows: click.echo(f"{path}: {rows:,} rows", err=True),
                )
    except KeyboardInterrupt:
        click.echo("Interrupted. Run the same command again: it continues where it stopped.", err=True)
        sys.exit(_INTERRUPTED)
    except OSError as error:
        raise UserError(f"{error.filename or target} cannot be written: {error.strerror}") from error
    if as_json:
        write_json(exported)
    else:
        click.echo(_line(what, exported))


def _line(what: str, exported: Exported) -> str:
    since = f" since {exported.since.isoformat(timespec='seconds')}" if exported.since else ""
    return (
        f"{what}: {exported.rows:,} rows{since} in {len(exported.files)} files, "
        f"until {exported.until.isoformat(timespec='seconds')}"
    )
