"""In a task of Spark: folds the events of users with the fold of the consumer, and adds up what it makes of items."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final

import msgspec
import pyarrow as pa
from msgspec import Struct

from app.build import VERSION
from app.core.features import Fold, History, ItemDelta, encode_history, fold
from app.core.messages import Message, decode_message
from app.core.model import Model
from app.rebuilding.spark.reading import Batches, batch_of

STORED, EVENT = 0, 1
"""`mark`: what a row is, in the order in which a user's rows come. `STORED`: the id of an event of the user that is in
Postgres; without one, until when (`ts_ms`) the user was erased.
"""

HISTORY, ITEM, PAIR, EVENTS, TAKEN, REJECTED = "history", "item", "pair", "events", "taken", "rejected"
"""`kind`: what is made. A pair has its sums as numbers, so that Spark adds them up itself; `weight` of `EVENTS` is how
many were folded, of `TAKEN` how many rows are events, and of `REJECTED` how many are none, `id` being why one is none.
"""
PAIR_SUMS: Final = ("weight", "met", "forth", "back")

FOLDED: Final = pa.schema(
    [
        ("kind", pa.string()),
        ("id", pa.string()),
        ("other", pa.string()),
        ("value", pa.binary()),
        *((name, pa.float64()) for name in PAIR_SUMS),
    ]
)
FOLDED_DDL: Final = (
    "kind string, id string, other string, value binary, weight double, met double, forth double, back double"
)
ITEMS: Final = pa.schema([("id", pa.string()), ("value", pa.binary())])
ITEMS_DDL: Final = "id string, value binary"

# So many events are folded at once, in some 200 MB.
_CHUNK: Final = 50_000
_BATCH_ROWS: Final = 10_000

_item_encoder: Final = msgspec.msgpack.Encoder()
_item_decoder: Final = msgspec.msgpack.Decoder(ItemDelta)


def version_there(_: int) -> str:
    """The release that the executor has."""
    return VERSION


def folded(batches: Batches, *, model: Model) -> Iterator[pa.RecordBatch]:
    """`batches`: all rows of some users, each user's together, by mark and then in the order in which they count."""
    rows = _Rows()
    messages = _wanted(batches, rows)
    carried: dict[str, History] = {}
    while chunk := list(islice(messages, _CHUNK)):
        made = fold(chunk, carried, model)
        histories = carried | made.histories
        last = chunk[-1].user_id  # may have more
        carried = {last: histories.pop(last)} if last in histories else {}
        yield from _histories(histories)
        yield from _sums(made, len(chunk))
    yield from _histories(carried)
    yield _batch([(TAKEN, "", None, None)], _weight(rows.taken))
    for reason, count in rows.rejected:
        yield _batch([(REJECTED, reason, None, None)], _weight(count))


def added_up_items(batches: Batches, *, model: Model) -> Iterator[pa.RecordBatch]:
    """`batches`: what was made of some items, each item's together."""
    rows = _tuples(batches, "id", "value")
    made: list[tuple[Any, ...]] = []
    for item_id, parts in groupby(rows, key=itemgetter(0)):
        total = ItemDelta()
        for _, value in parts:
            total.add(_item_decoder.decode(value), model)
        made.append((item_id, _item_encoder.encode(total)))
        if len(made) >= _BATCH_ROWS:
            yield batch_of(made, ITEMS)
            made = []
    if made:
        yield batch_of(made, ITEMS)


def decode_item(value: bytes) -> ItemDelta:
    return _item_decoder.decode(value)


class _Rows(Struct):
    """The numbers of rows that are events, and of those that are none with the reason of one of them."""

    taken: int = 0
    rejected: list[tuple[str, int]] = []


def _wanted(batches: Batches, rows: _Rows) -> Iterator[Message]:
    """The events that are to be folded: those that are not stored, each once, and not of before an erasure. It counts
    all `rows`.
    """
    user, stored, erased_ms = "", set[str](), -1
    columns = ("user_id", "mark", "ts_ms", "event_id", "message", "row")
    for user_id, mark, ts_ms, event_id, message, row in _tuples(batches, *columns):
        if user_id is None:
            rows.rejected.append((event_id, row))
            continue
        if user_id != user:
            user, stored, erased_ms = user_id, set(), -1
        if mark == EVENT:
            rows.taken += 1
            if ts_ms > erased_ms and event_id not in stored:
                stored.add(event_id)
                yield decode_message(message)
        elif event_id is None:
            erased_ms = max(erased_ms, ts_ms)
        else:
            stored.add(event_id)


def _tuples(batches: Batches, *names: str) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        yield from zip(*(batch.column(name).to_pylist() for name in names), strict=True)


def _histories(histories: dict[str, History]) -> Iterator[pa.RecordBatch]:
    rows = ((HISTORY, user_id, None, encode_history(history)) for user_id, history in histories.items())
    while taken := list(islice(rows, _BATCH_ROWS)):
        yield _batch(taken)


def _sums(made: Fold, events: int) -> Iterator[pa.RecordBatch]:
    yield _batch([(EVENTS, "", None, None)], _weight(events))
    items = ((ITEM, item_id, None, _item_encoder.encode(delta)) for item_id, delta in made.items.items())
    while taken := list(islice(items, _BATCH_ROWS)):
        yield _batch(taken)
    pairs = made.pairs.sums()
    ids = pa.array(pairs.ids, pa.string())
    for start in range(0, len(pairs), _BATCH_ROWS):
        rows = slice(start, start + _BATCH_ROWS)
        count = len(pairs.one[rows])
        yield pa.RecordBatch.from_arrays(
            [
                pa.repeat(pa.scalar(PAIR), count),
                ids.take(pa.array(pairs.one[rows])),
                ids.take(pa.array(pairs.other[rows])),
                *_nulls(count, pa.binary(), 1),
                *(pa.array(column) for column in pairs.sums[rows].T),
            ],
            schema=FOLDED,
        )


def _batch(rows: Sequence[tuple[str, str, None, bytes | None]], sums: Iterable[pa.Array] = ()) -> pa.RecordBatch:
    first = [
        pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), list(FOLDED)[:4], strict=True)
    ]
    return pa.RecordBatch.from_arrays(
        [*first, *(sums or _nulls(len(rows), pa.float64(), len(PAIR_SUMS)))], schema=FOLDED
    )


def _weight(value: int) -> list[pa.Array]:
    return [pa.array([float(value)]), *_nulls(1, pa.float64(), len(PAIR_SUMS) - 1)]


def _nulls(count: int, kind: pa.DataType, columns: int) -> list[pa.Array]:
    return [pa.nulls(count, kind) for _ in range(columns)]
