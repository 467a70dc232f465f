"""Splits a file's rows into batches, each row with its event id, so that reading and writing can overlap."""

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from app.errors import UserError
from app.importing.rows import BadRow


class HasPlace(Protocol):
    """A row with `pos`, the number of bytes of the file read up to it."""

    @property
    def pos(self) -> int: ...


R = TypeVar("R", bound=HasPlace)


class Batch(Struct, Generic[R], frozen=True, kw_only=True):
    """`rows` and `bad` in the file's order; `pos` as in `Row`. With a `read_error` the file cannot be read further."""

    rows: list[tuple[str, R]]
    bad: list[BadRow]
    pos: int
    last: bool
    read_error: UserError | None


def take(rows: Iterator[R | BadRow], id_of: Callable[[R], str], size: int) -> Batch[R]:
    """The next `size` rows, bad ones among them."""
    good: list[tuple[str, R]] = []
    bad: list[BadRow] = []
    pos = 0
    read_error = None
    last = False
    try:
        while len(good) + len(bad) < size:
            row = next(rows)
            pos = row.pos
            if isinstance(row, BadRow):
                bad.append(row)
            else:
                good.append((id_of(row), row))
    except StopIteration:
        last = True
    except UserError as error:
        read_error, last = error, True
    return Batch(rows=good, bad=bad, pos=pos, last=last, read_error=read_error)
