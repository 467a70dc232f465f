"""A file's rows in portions, each row with its event id, so that reading one portion and writing another overlap."""

from collections.abc import Iterator

from msgspec import Struct

from app.errors import UserError
from app.importing.records import RowIds
from app.importing.rows import BadRow, Row


class Batch(Struct, frozen=True, kw_only=True):
    """`rows` and `bad` in the file's order; `pos` as in `Row`. A `fault` ends the file before its end."""

    rows: list[tuple[str, Row]]
    bad: list[BadRow]
    pos: int
    last: bool
    fault: UserError | None


def take(rows: Iterator[Row | BadRow], ids: RowIds, size: int) -> Batch:
    """The next `size` rows, bad ones among them."""
    good: list[tuple[str, Row]] = []
    bad: list[BadRow] = []
    pos = 0
    fault = None
    last = False
    try:
        while len(good) + len(bad) < size:
            row = next(rows)
            pos = row.pos
            if isinstance(row, BadRow):
                bad.append(row)
            else:
                good.append((ids.event_id(row), row))
    except StopIteration:
        last = True
    except UserError as error:
        fault, last = error, True
    return Batch(rows=good, bad=bad, pos=pos, last=last, fault=fault)
