"""`python -m tests.faults.flawed NAME`: the service with one flaw in it, to show that the suite would find it."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import asyncpg

from app.adapters import features, ingest, outbox
from app.cli import main
from app.core import erasure
from app.core.events import Record
from workers.consumer import FeatureConsumer
from workers.retention import Retention

_insert_events: Final = ingest.insert_events
_claim_batch: Final = outbox.claim_batch
_consume: Final = features.consume
_add_to_pairs: Final = features.add_to_pairs
_apply: Final = FeatureConsumer._apply


async def outbox_before_events(connection: Any, records: Sequence[Record]) -> ingest.Inserted:
    """The outbox row is committed, and so published, before the event is.

    It is committed on a connection of its own: on the one of the flush, the readiness probe's insert may have gone
    through before, which is what the trap of the story waits for.
    """
    if connection.is_in_transaction():  # the readiness probe's, which is rolled back
        return await _insert_events(connection, records)
    apart = await asyncpg.connect(os.environ["DATABASE_URL"])
    await apart.executemany(
        "INSERT INTO event_outbox (event_id, topic, message_key, payload) VALUES ($1, $2, $3, $4)",
        [(record.event_id, record.topic, record.user_id, record.payload) for record in records],
    )
    await outbox.notify(apart)
    await apart.close()
    await connection.executemany(
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        [(r.event_id, r.event_type, r.user_id, r.session_id, r.ts_ms, r.content_hash, r.payload) for r in records],
    )
    return ingest.Inserted(["accepted"] * len(records))


async def acknowledge_one_too_many(connection: Any, records: Sequence[Record]) -> ingest.Inserted:
    """The last event of a flush of many is acknowledged and not stored."""
    if len(records) == 1:
        return await _insert_events(connection, records)
    inserted = await _insert_events(connection, records[:-1])
    return ingest.Inserted([*inserted.statuses, "accepted"], inserted.erasures)


async def delete_before_publish(connection: Any, *args: Any, **options: Any) -> Any:
    """The relay's deletion is committed before Kafka has acknowledged the rows."""
    rows = await _claim_batch(connection, *args, **options)
    await outbox.delete_published(connection, [row.id for row in rows])
    await connection.execute("COMMIT")
    await connection.execute("BEGIN")
    return rows


async def offset_before_commit(self: Any, subscription: Any, polled: Any, *rest: Any) -> Any:
    """The offsets are committed before Postgres has the batch."""
    await subscription.commit(polled)
    return await _apply(self, subscription, polled, *rest)


async def count_duplicates(connection: Any, event_ids: Sequence[str]) -> set[str]:
    """The dedupe rows are written, and nobody looks at what was there."""
    await _consume(connection, event_ids)
    return set(event_ids)


async def pairs_apart(connection: Any, pairs: Any, keys: Any) -> None:
    """The sums of pairs are committed on a connection of their own, before the rest of the batch is."""
    apart = await asyncpg.connect(os.environ["DATABASE_URL"])
    await _add_to_pairs(apart, pairs, keys)
    await apart.close()


async def never_sweep(self: Retention) -> dict[Any, int]:
    await asyncio.sleep(0)
    return {}


def by_the_clock_of_the_api(self: erasure.LastErasure, erasures: int | None, received_ms: int) -> bool:
    """The time of receipt, by the API's clock, is compared with the time of the erasure, by the database's."""
    return received_ms <= self.erased_ms


FLAWS: Final[dict[str, tuple[object, str, Callable[..., Any]]]] = {
    "publish before commit": (ingest, "insert_events", outbox_before_events),
    "acknowledged and not stored": (ingest, "insert_events", acknowledge_one_too_many),
    "delete before publish": (outbox, "claim_batch", delete_before_publish),
    "offset before commit": (FeatureConsumer, "_apply", offset_before_commit),
    "dedupe off": (features, "consume", count_duplicates),
    "pairs apart": (features, "add_to_pairs", pairs_apart),
    "retention off": (Retention, "sweep", never_sweep),
    "erasure by the wrong clock": (erasure.LastErasure, "came_after", by_the_clock_of_the_api),
}


def flawed(name: str) -> tuple[str, ...]:
    """The module and its argument, as `tests.support.service.running` takes them."""
    assert name in FLAWS
    return "tests.faults.flawed", name


if __name__ == "__main__":
    place, attribute, flaw = FLAWS[sys.argv[1]]
    assert hasattr(place, attribute)
    setattr(place, attribute, flaw)
    main(["serve"], prog_name="python -m tests.faults.flawed")
